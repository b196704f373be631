package presence

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// scripts calls each script as the package does, with short keys.
type scripts struct {
	t *testing.T
	c *redis.Client
}

func newScripts(t *testing.T) scripts {
	return scripts{t, redistest.Start(t).Client()}
}

func (s scripts) run(script *redis.Script, keys []string, args ...any) any {
	s.t.Helper()
	reply, err := script.Run(context.Background(), s.c, keys, args...).Result()
	require.NoError(s.t, err)
	return reply
}

func (s scripts) beat(seq int) int64 {
	s.t.Helper()
	reply := s.run(beatScript, []string{"nodes", "epoch"}, "a", seq, `{"name":"a","connections":7}`, "e1").([]any)
	require.Len(s.t, reply, 3)
	return reply[0].(int64)
}

func (s scripts) entry() (e entry) {
	s.t.Helper()
	raw, err := s.c.HGet(context.Background(), "nodes", "a").Result()
	require.NoError(s.t, err)
	require.NoError(s.t, json.Unmarshal([]byte(raw), &e))
	return e
}

func (s scripts) hash(key string) map[string]string {
	s.t.Helper()
	return s.c.HGetAll(context.Background(), key).Val()
}

func (s scripts) room(args ...any) any {
	s.t.Helper()
	return s.run(roomsScript, []string{"nodes", "rooms:a", "leaving", "log", "room:r"}, append([]any{"a"}, args...)...)
}

func (s scripts) length(stream string) int64 { return s.c.XLen(context.Background(), stream).Val() }

func (s scripts) leaving() []string {
	return s.c.ZRange(context.Background(), "leaving", 0, -1).Val()
}

func TestBeatScript(t *testing.T) {
	s := newScripts(t)
	require.EqualValues(t, 5, s.beat(5), "registers")
	require.EqualValues(t, 5, s.beat(6), "renews")
	require.EqualValues(t, -1, s.beat(6), "a late one does nothing")
	require.EqualValues(t, 6, s.entry().Seq)
	require.EqualValues(t, 1, s.run(leaveScript, []string{"nodes"}, "a", 7))
	require.EqualValues(t, 1, s.run(leaveScript, []string{"nodes"}, "a", 8))
	require.EqualValues(t, 0, s.run(leaveScript, []string{"nodes"}, "b", 8))
	require.Positive(t, s.entry().Ended)
	require.EqualValues(t, -1, s.beat(7))
	require.EqualValues(t, 9, s.beat(9), "registers anew")
	require.Zero(t, s.entry().Ended)
	for _, garbage := range []string{"", "garbage", "3", "null", `{"x":1}`, "[]"} {
		require.NoError(t, s.c.HSet(context.Background(), "nodes", "a", garbage).Err())
		require.EqualValues(t, 2, s.beat(2), garbage)
	}
	require.Equal(t, "e1", s.c.Get(context.Background(), "epoch").Val())
}

func TestUsersScript(t *testing.T) {
	s := newScripts(t)
	keys := []string{"nodes", "node:a", "users", "role:client", "role:admin"}
	require.EqualValues(t, 0, s.run(usersScript, keys, "a", 1, 1, 0, "client|u", 4, 1), "not registered")
	s.beat(1)
	require.EqualValues(t, 1, s.run(usersScript, keys, "a", 2, 1, 3, "client|u", 4, 2, "admin|u", 5, 1))
	require.EqualValues(t, -1, s.run(usersScript, keys, "a", 2, 1, 3, "client|u", 4, 9), "late")
	require.EqualValues(t, 0, s.run(usersScript, keys, "a", 3, 7, 3, "client|u", 4, 9), "another registration")
	require.EqualValues(t, 1, s.run(usersScript, keys, "a", 3, 1, 3, "client|u", 4, 2, "admin|u", 5, 1), "repeated")
	require.Equal(t, map[string]string{"u": "3"}, s.hash("users"))
	require.Equal(t, map[string]string{"u": "2"}, s.hash("role:client"))
	require.Equal(t, map[string]string{"client|u": "2", "admin|u": "1"}, s.hash("node:a"))
	require.EqualValues(t, 3, s.entry().Connections)
	require.EqualValues(t, 1, s.run(usersScript, keys, "a", 4, 1, 1, "client|u", 4, 0))
	require.Empty(t, s.hash("role:client"))
	require.Equal(t, map[string]string{"u": "1"}, s.hash("users"))

	reap := []string{"nodes", "node:a", "users", "role:admin"}
	require.EqualValues(t, -1, s.run(reapScript, reap, "a", "", "admin|u", 4), "it lives")
	s.run(leaveScript, []string{"nodes"}, "a", 5)
	require.EqualValues(t, 0, s.run(usersScript, keys, "a", 6, 1, 1, "client|u", 4, 1), "it has ended")
	require.EqualValues(t, 0, s.run(finishScript, []string{"nodes", "node:a", "rooms:a"}, "a", 60000))
	require.NoError(t, s.c.HSet(context.Background(), "node:a", "garbage", "x").Err())
	require.EqualValues(t, 2, s.run(reapScript, reap, "a", "", "admin|u", 4, "garbage", 0))
	require.EqualValues(t, 0, s.run(reapScript, reap, "a", "", "admin|u", 4), "repeated")
	require.Empty(t, s.hash("users"))
	require.EqualValues(t, 1, s.run(finishScript, []string{"nodes", "node:a", "rooms:a"}, "a", 60000))
	require.True(t, s.entry().Done)
	require.EqualValues(t, 1, s.run(finishScript, []string{"nodes", "node:a", "rooms:a"}, "a", 60000))
	eventually(t, "forgotten", func() bool {
		return s.run(finishScript, []string{"nodes", "node:a", "rooms:a"}, "a", 1) == int64(2)
	})
	require.EqualValues(t, -1, s.run(finishScript, []string{"nodes", "node:a", "rooms:a"}, "a", 1))
}

func TestRoomsScript(t *testing.T) {
	s := newScripts(t)
	const roles = "admin|client"
	join := []any{"r|client|u", 5, 1, 0, 2, "event", "joined"}
	require.EqualValues(t, -2, s.room(append([]any{1, 1, roles, 60000}, join...)...))
	s.beat(1)
	require.EqualValues(t, 1, s.room(append([]any{2, 1, roles, 60000}, join...)...))
	require.EqualValues(t, -1, s.room(append([]any{2, 1, roles, 60000}, join...)...), "late")
	require.EqualValues(t, 0, s.room(append([]any{3, 1, roles, 60000}, join...)...), "repeated")
	require.EqualValues(t, 0, s.room(4, 1, roles, 60000, "r|admin|u", 5, 1, 0, 2, "event", "joined"), "the same user")
	require.EqualValues(t, 0, s.room(5, 1, roles, 60000, "r|client|u", 5, 0, 0, 0), "still there as admin")
	require.Empty(t, s.leaving())
	require.EqualValues(t, 0, s.room(6, 1, roles, 60000, "r|admin|u", 5, 0, 0, 0))
	require.Equal(t, []string{"r|admin|u"}, s.leaving())
	require.EqualValues(t, 0, s.room(append([]any{7, 1, roles, 60000}, join...)...), "back in time, in another role")
	require.Empty(t, s.leaving())
	require.EqualValues(t, 1, s.length("log"))
	require.EqualValues(t, 1, s.room(8, 1, roles, 60000, "r|client|v", 5, 1, 0, 0, "r|client|w", 5, 2, 0, 2, "event", "joined"), "one is not to be announced")
	require.Equal(t, map[string]string{"u": "1", "v": "1", "w": "2"}, s.hash("room:r"))

	s.c.FlushAll(context.Background())
	s.beat(9)
	require.EqualValues(t, 0, s.room(10, 9, roles, 0, "r|client|u", 5, 1, 1, 2, "event", "joined", "r|client|v", 5, 0, 1, 0), "known before")
	require.Zero(t, s.length("log"))
	require.Equal(t, []string{"r|client|v"}, s.leaving(), "who left meanwhile")

	s.run(leaveScript, []string{"nodes"}, "a", 11)
	reap := []string{"nodes", "rooms:a", "leaving", "room:r"}
	require.EqualValues(t, 1, s.run(reapScript, reap, "a", 60000, "r|client|u", 4, "no such", 4, "garbage", 0))
	require.Empty(t, s.hash("room:r"))
	require.Equal(t, []string{"r|client|v", "r|client|u"}, s.leaving())
	require.EqualValues(t, -1, s.run(reapScript, reap, "b", 60000, "r|client|u", 4))
}

func TestLeftScript(t *testing.T) {
	s := newScripts(t)
	ctx := context.Background()
	require.NoError(t, s.c.ZAdd(ctx, "leaving", redis.Z{Score: 1, Member: "due"}, redis.Z{Score: 1, Member: "quiet"}, redis.Z{Score: 1e13, Member: "later"}).Err())
	require.Equal(t, []any{"due"}, s.run(dueScript, []string{"leaving"}, 1))
	require.Equal(t, []any{"due", "quiet"}, s.run(dueScript, []string{"leaving"}, 10))
	for _, want := range []int64{1, 0} {
		require.Equal(t, want, s.run(leftScript, []string{"leaving", "log"},
			"due", 2, "event", "left", "later", 2, "event", "left", "back", 2, "event", "left", "quiet", 0))
	}
	require.Equal(t, []string{"later"}, s.leaving())
	require.EqualValues(t, 1, s.length("log"))
}

func TestMarkScript(t *testing.T) {
	s := newScripts(t)
	mark := func(beat, age int64) any { return s.run(markScript, []string{"nodes"}, "a", beat, age) }
	require.EqualValues(t, 0, mark(1, 0), "no entry")
	s.beat(1)
	beat := s.entry().Beat
	require.EqualValues(t, 0, mark(beat, 60000), "too young")
	require.EqualValues(t, 0, mark(beat-1, 0), "it has beaten since")
	require.EqualValues(t, 1, mark(beat, 0))
	ended := s.entry().Ended
	require.Positive(t, ended)
	require.EqualValues(t, 1, mark(beat, 0))
	require.Equal(t, ended, s.entry().Ended)
}

func TestStatsScript(t *testing.T) {
	s := newScripts(t)
	s.beat(1)
	require.NoError(t, s.c.HSet(context.Background(), "role:x", "u", 1, "v", 1).Err())
	reply := s.run(statsScript, []string{"nodes", "users", "role:x"}).([]any)
	require.Len(t, reply, 4)
	require.Len(t, reply[1], 2)
	require.EqualValues(t, 0, reply[2])
	require.EqualValues(t, 2, reply[3])
}
