package adapter

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// onEachRedis runs a test on a real Redis and on the embedded one.
func onEachRedis(t *testing.T, test func(t *testing.T, c *redis.Client)) {
	t.Run("redis", func(t *testing.T) { test(t, redistest.Start(t).Client()) })
	t.Run("miniredis", func(t *testing.T) {
		c := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr(), MaxRetries: -1})
		t.Cleanup(func() { _ = c.Close() })
		test(t, c)
	})
}

// scriptCall is one call of a session script, put together of several sessions.
type scriptCall struct {
	t    *testing.T
	c    *redis.Client
	keys []string
	args []any
}

func (s *scriptCall) write(key, owner string, gen int64, ttl time.Duration, rec string) *scriptCall {
	s.keys = append(s.keys, key)
	s.args = append(s.args, owner, gen, ttl.Milliseconds(), rec)
	return s
}

func (s *scriptCall) take(key, owner string, gen int64, sid, rec string) *scriptCall {
	s.keys = append(s.keys, key)
	s.args = append(s.args, owner, gen, sid, time.Hour.Milliseconds(), rec)
	return s
}

func (s *scriptCall) run(script *redis.Script, want ...int64) {
	s.t.Helper()
	reply, err := script.Run(context.Background(), s.c, s.keys, s.args...).Int64Slice()
	require.NoError(s.t, err)
	if len(want) == 0 {
		require.Empty(s.t, reply)
		return
	}
	require.Equal(s.t, want, reply)
}

func recordJSON(owner string, gen int64, sid string, change ...func(*record)) string {
	rec := record{Owner: owner, Gen: gen, Sid: sid, User: "u"}
	for _, fn := range change {
		fn(&rec)
	}
	text, err := json.Marshal(rec)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func requireStored(t *testing.T, c *redis.Client, key, want string, ttl time.Duration) {
	t.Helper()
	got, err := c.Get(context.Background(), key).Result()
	require.NoError(t, err)
	require.Equal(t, want, got)
	left, err := c.PTTL(context.Background(), key).Result()
	require.NoError(t, err)
	require.LessOrEqual(t, left, ttl)
	require.Greater(t, left, ttl/2)
}

// faulty are values that a session's key should never hold.
var faulty = []string{
	"", "{", "null", "true", "7", `"text"`, "[]", "{}", `{"gen":null}`, `{"gen":{}}`, `{"gen":"many"}`, `{"gen":[1]}`,
	`{"owner":"a"}`, "\xff\xfe", `{"gen":5`,
}

func TestWritingASessionYieldsToANewerOwner(t *testing.T) {
	onEachRedis(t, func(t *testing.T, c *redis.Client) {
		ctx := context.Background()
		call := func() *scriptCall { return &scriptCall{t: t, c: c} }
		one, again := recordJSON("a:1", 1, "s1"), recordJSON("a:1", 1, "s1", func(r *record) { r.Closed = true })
		call().write("k", "a:1", 1, time.Hour, one).run(sessionWriteScript)
		requireStored(t, c, "k", one, time.Hour)
		call().write("k", "a:1", 1, time.Minute, again).run(sessionWriteScript)
		requireStored(t, c, "k", again, time.Minute)
		three := recordJSON("b:1", 3, "s3")
		call().write("k", "b:1", 3, time.Hour, three).run(sessionWriteScript)
		for _, other := range []struct {
			owner string
			gen   int64
		}{{"a:1", 1}, {"b:1", 2}, {"a:1", 3}, {"b:2", 3}} {
			call().write("k", other.owner, other.gen, time.Hour, one).run(sessionWriteScript, 1)
			requireStored(t, c, "k", three, time.Hour)
		}
		// A tombstone is kept against an older writer as anything else is.
		ended := recordJSON("b:1", 3, "s3", func(r *record) { r.Ended = true })
		call().write("k", "b:1", 3, time.Minute, ended).run(sessionWriteScript)
		call().write("k", "a:1", 2, time.Hour, one).run(sessionWriteScript, 1)
		requireStored(t, c, "k", ended, time.Minute)
		call().
			write("k", "a:1", 2, time.Hour, one).write("new", "a:1", 1, time.Hour, one).
			write("k", "z:1", 3, time.Hour, one).write("new2", "a:1", 1, time.Hour, one).
			run(sessionWriteScript, 1, 3)
		requireStored(t, c, "new2", one, time.Hour)
		for i, value := range faulty {
			key := fmt.Sprint("faulty", i)
			require.NoError(t, c.Set(ctx, key, value, 0).Err())
			call().write(key, "a:1", 1, time.Hour, one).run(sessionWriteScript)
			requireStored(t, c, key, one, time.Hour)
		}
		require.NoError(t, c.HSet(ctx, "hash", "f", "v").Err())
		call().write("hash", "a:1", 1, time.Hour, one).run(sessionWriteScript)
		requireStored(t, c, "hash", one, time.Hour)
		// Generations written as text by hand still count.
		require.NoError(t, c.Set(ctx, "text", `{"gen":"9","owner":"x"}`, 0).Err())
		call().write("text", "a:1", 1, time.Hour, one).run(sessionWriteScript, 1)
	})
}

func TestTakingASessionNeedsItToBeAsItWasRead(t *testing.T) {
	onEachRedis(t, func(t *testing.T, c *redis.Client) {
		ctx := context.Background()
		call := func() *scriptCall { return &scriptCall{t: t, c: c} }
		one, two := recordJSON("a:1", 1, "s1"), recordJSON("b:1", 2, "s2")
		call().take("k", "a:1", 1, "s2", two).run(sessionTakeScript, 0)
		require.Zero(t, c.Exists(ctx, "k").Val(), "what is not there cannot be taken")
		call().write("k", "a:1", 1, time.Minute, one).run(sessionWriteScript)
		call().take("k", "c:1", 1, "s2", two).run(sessionTakeScript, 0)
		call().take("k", "a:1", 2, "s2", two).run(sessionTakeScript, 0)
		call().take("k", "a:1", 0, "s2", two).run(sessionTakeScript, 0)
		requireStored(t, c, "k", one, time.Minute)
		call().take("k", "a:1", 1, "s2", two).run(sessionTakeScript, 1)
		requireStored(t, c, "k", two, time.Hour)
		call().take("k", "a:1", 1, "s2", two).run(sessionTakeScript, 1)
		call().take("k", "a:1", 1, "s9", two).run(sessionTakeScript, 0)
		requireStored(t, c, "k", two, time.Hour)
		// Two connections in one call, and one that is repeated within it.
		three := recordJSON("b:1", 3, "s3")
		call().
			take("k", "b:1", 2, "s3", three).take("k", "b:1", 2, "s4", recordJSON("b:1", 3, "s4")).
			take("k", "b:1", 2, "s3", three).take("none", "b:1", 2, "s5", three).
			run(sessionTakeScript, 1, 0, 1, 0)
		requireStored(t, c, "k", three, time.Hour)
		// One after the other within a call, as a chain.
		call().
			take("k", "b:1", 3, "s4", recordJSON("c:1", 4, "s4")).
			take("k", "c:1", 4, "s5", recordJSON("d:1", 5, "s5")).
			run(sessionTakeScript, 1, 1)
		ended := recordJSON("d:1", 5, "s5", func(r *record) { r.Ended = true })
		call().write("k", "d:1", 5, time.Minute, ended).run(sessionWriteScript)
		call().take("k", "d:1", 5, "s6", one).take("k", "d:1", 4, "s5", one).run(sessionTakeScript, 0, 0)
		requireStored(t, c, "k", ended, time.Minute)
		for i, value := range faulty {
			key := fmt.Sprint("faulty", i)
			require.NoError(t, c.Set(ctx, key, value, 0).Err())
			call().take(key, "", 0, "s", one).take(key, "a", 5, "s", one).run(sessionTakeScript, 0, 0)
			require.Equal(t, value, c.Get(ctx, key).Val())
		}
		require.NoError(t, c.HSet(ctx, "hash", "f", "v").Err())
		call().take("hash", "", 0, "s", one).run(sessionTakeScript, 0)
	})
}
