package adapter

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func nodeSessionText(t testing.TB, fields map[string]any) string {
	packed, err := packMsgpack(fields)
	require.NoError(t, err)
	return base64.StdEncoding.EncodeToString(packed)
}

func TestASessionOfANodeServer(t *testing.T) {
	session := func(change func(map[string]any)) string {
		fields := map[string]any{
			"sid": "s", "pid": fuzzPid, "rooms": []any{"s", "r1", "r2"}, "data": map[string]any{"user_id": "u", "more": int64(1)},
		}
		change(fields)
		return nodeSessionText(t, fields)
	}
	rec, ok := nodeSession(session(func(map[string]any) {}))
	require.True(t, ok)
	require.Equal(t, "u", rec.User)
	require.Equal(t, map[string]string{"s": "0-0", "r1": "0-0", "r2": "0-0"}, rec.Rooms, "its id goes on being a room of it")
	require.True(t, rec.Closed)
	rec, ok = nodeSession(session(func(f map[string]any) { f["data"] = map[string]any{"user_id": int64(17)} }))
	require.True(t, ok)
	require.Equal(t, "17", rec.User)
	rec, ok = nodeSession(session(func(f map[string]any) { f["rooms"] = []any{int64(7), -1.5, nil} }))
	require.True(t, ok)
	require.Equal(t, map[string]string{"7": "0-0", "-1.5": "0-0", "null": "0-0"}, rec.Rooms)
	for name, text := range map[string]string{
		"no data":             session(func(f map[string]any) { delete(f, "data") }),
		"no user":             session(func(f map[string]any) { f["data"] = map[string]any{"name": "u"} }),
		"an empty user":       session(func(f map[string]any) { f["data"] = map[string]any{"user_id": ""} }),
		"a user that is none": session(func(f map[string]any) { f["data"] = map[string]any{"user_id": []any{"u"}} }),
		"no socket":           session(func(f map[string]any) { delete(f, "sid") }),
		"rooms that are none": session(func(f map[string]any) { f["rooms"] = []any{"r", []any{}} }),
		"too many rooms":      session(func(f map[string]any) { f["rooms"] = make([]any, maxNodeRooms+1) }),
		"no map":              base64.StdEncoding.EncodeToString([]byte{0x90}),
		"no msgpack":          "AAAA" + session(func(map[string]any) {}),
		"no base64":           "!",
		"too long":            session(func(f map[string]any) { f["more"] = strings.Repeat("x", maxNodeSession) }),
	} {
		_, ok := nodeSession(text)
		require.False(t, ok, name)
	}
}

// fromANodeServer is a client, u, that has received e1 in the room r and is away, as if that had been at a Node server which
// took it for the user given.
func fromANodeServer(t *testing.T, c *redis.Client, user string) (*lobby, *visitor) {
	t.Helper()
	l := openLobby(t, c.Options().Addr, testConfig("a:1"))
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	l.tell("r", "e1")
	v.expect("| e1")
	v.cut()
	v.stored(c, func(r record) bool { return r.Closed })
	text := nodeSessionText(t, map[string]any{
		"sid": "s", "pid": v.pid, "rooms": []any{"s", "r", "club"}, "data": map[string]any{"user_id": user},
	})
	require.NoError(t, c.Set(context.Background(), sessionKey(v), text, time.Minute).Err())
	return l, v
}

func TestAClientComesFromANodeServer(t *testing.T) {
	onEachRedis(t, func(t *testing.T, c *redis.Client) {
		l, v := fromANodeServer(t, c, "u")
		l.tell("r", "e2")
		l.tell("club", "e3")
		l.tell("s", "e3a")
		l.caughtUp(c)
		v.mustVisit(l, true)
		l.tell("club", "e4")
		l.tell("s", "e4a")
		v.expect("| e1 e2 e3 e3a e4 e4a")
		rec := v.stored(c, isLive)
		require.Equal(t, int64(1), rec.Gen)
		v.cut()
		l.tell("r", "e5")
		l.caughtUp(c)
		v.mustVisit(l, true)
		v.expect("| e1 e2 e3 e3a e4 e4a e5")
	})
}

func TestASessionOfANodeServerIsTakenOnceAndAsItIs(t *testing.T) {
	onEachRedis(t, func(t *testing.T, c *redis.Client) {
		ctx := context.Background()
		call := func() *scriptCall { return &scriptCall{t: t, c: c} }
		text, other := nodeSessionText(t, map[string]any{"sid": "s"}), nodeSessionText(t, map[string]any{"sid": "t"})
		one, two := recordJSON("a:1", 1, "s1"), recordJSON("b:1", 1, "s2")
		call().take("k", text, 0, "s1", one).run(sessionTakeScript, 0)
		require.Zero(t, c.Exists(ctx, "k").Val(), "what is not there cannot be taken")
		require.NoError(t, c.Set(ctx, "k", other, time.Minute).Err())
		call().take("k", text, 0, "s1", one).take("k", text, 1, "s1", one).run(sessionTakeScript, 0, 0)
		require.NoError(t, c.Set(ctx, "k", text, time.Minute).Err())
		call().take("k", text, 0, "s1", one).take("k", text, 0, "s2", two).take("k", text, 0, "s1", one).run(sessionTakeScript, 1, 0, 1)
		requireStored(t, c, "k", one, time.Hour)
		call().take("k", text, 0, "s2", two).run(sessionTakeScript, 0)
	})
}

func TestANodeServersSessionIsItsUsers(t *testing.T) {
	onEachRedis(t, func(t *testing.T, c *redis.Client) {
		l, v := fromANodeServer(t, c, "somebody")
		require.ErrorIs(t, v.visit(l), errVisit)
		v.stored(c, isEnded)
		v.mustVisit(l, false)
	})
}
