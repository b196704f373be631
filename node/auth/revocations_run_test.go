package auth

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func TestRevocationsReachOtherNodesAndLaterOnes(t *testing.T) {
	eachRedis(t, func(t *testing.T, client redis.UniversalClient) {
		one, two := revocations(t, client, nil), revocations(t, client, nil)
		follow(t, one)
		follow(t, two)
		stolen := Identity{User: "u", TokenID: "stolen"}
		becomes(t, two, stolen, nil)
		require.NoError(t, one.RevokeToken(t.Context(), "stolen", time.Now().Add(time.Hour)))
		becomes(t, one, stolen, ErrTokenRevoked)
		becomes(t, two, stolen, ErrTokenRevoked)

		restarted := revocations(t, client, nil)
		require.ErrorIs(t, restarted.Check(stolen), ErrUnavailable)
		follow(t, restarted)
		becomes(t, restarted, stolen, ErrTokenRevoked)
	})
}

func TestPlainCommandsAreSeenWithinASecond(t *testing.T) {
	client := redistest.Start(t).Client()
	ctx := t.Context()
	r, err := NewRevocations(DefaultRevocationsConfig(), client, quiet())
	require.NoError(t, err)
	follow(t, r)
	becomes(t, r, Identity{}, nil)
	in := func(what func(redis.Pipeliner), id Identity) time.Duration {
		_, err := client.TxPipelined(ctx, func(p redis.Pipeliner) error {
			what(p)
			p.Incr(ctx, "{teloo}:revoked:version")
			return nil
		})
		require.NoError(t, err)
		start := time.Now()
		becomes(t, r, id, ErrTokenRevoked)
		return time.Since(start)
	}
	fastest := time.Hour
	for _, name := range []string{"a", "b", "c"} { // the machine may be busy for one of them
		fastest = min(fastest, in(func(p redis.Pipeliner) {
			p.ZAddGT(ctx, "{teloo}:revoked", redis.Z{Score: float64(time.Now().Add(time.Hour).UnixMilli()), Member: "jti:" + name})
		}, Identity{TokenID: name}))
		fastest = min(fastest, in(func(p redis.Pipeliner) {
			p.HSet(ctx, "{teloo}:revoked:before", "user:"+name, time.Now().Unix())
		}, Identity{User: name, IssuedAt: time.Now()}))
	}
	require.Less(t, fastest, time.Second)
	t.Log("seen after", fastest)
}

func TestOutageKeepsTheCopy(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	client := server.Client()
	var log logBuffer
	cfg := DefaultRevocationsConfig()
	cfg.Poll = 5 * time.Millisecond
	r, err := NewRevocations(cfg, client, log.logger())
	require.NoError(t, err)
	follow(t, r)
	becomes(t, r, Identity{}, nil)
	require.NoError(t, r.RevokeUser(t.Context(), "u"))
	becomes(t, r, Identity{User: "u"}, ErrTokenRevoked)

	server.Kill()
	require.Eventually(t, func() bool { return r.Stats().Failures >= 2 }, patience, time.Millisecond)
	require.ErrorIs(t, r.Check(Identity{User: "u"}), ErrTokenRevoked)
	require.NoError(t, r.Check(Identity{User: "v"}), "a node with a copy goes on")
	require.Error(t, r.RevokeUser(t.Context(), "v"))
	without := revocations(t, client, nil)
	follow(t, without)
	require.Eventually(t, func() bool { return without.Stats().Failures >= 1 }, patience, time.Millisecond)
	require.ErrorIs(t, without.Check(Identity{User: "v"}), ErrUnavailable)

	server.Launch()
	reads := r.Stats().Reads
	require.Eventually(t, func() bool { return r.Stats().Reads > reads }, patience, time.Millisecond, "read again though the version is the same")
	becomes(t, without, Identity{User: "u"}, ErrTokenRevoked)
	becomes(t, r, Identity{User: "v"}, nil)
	require.ErrorIs(t, r.Check(Identity{User: "u"}), ErrTokenRevoked)
	require.Equal(t, 1, strings.Count(log.String(), "cannot be read"), log.String())
	require.Contains(t, log.String(), "read again")
}

func TestFlushEmptiesTheCopy(t *testing.T) {
	client := redistest.Start(t).Client()
	r := revocations(t, client, nil)
	follow(t, r)
	becomes(t, r, Identity{}, nil)
	require.NoError(t, r.RevokeUser(t.Context(), "u"))
	becomes(t, r, Identity{User: "u"}, ErrTokenRevoked)
	require.NoError(t, client.FlushAll(t.Context()).Err())
	becomes(t, r, Identity{User: "u"}, nil)
}

// A change without a new version is found by the reading that comes in any case, and callers are told of changes alone.
func TestRereadAndOnChange(t *testing.T) {
	client := redistest.Start(t).Client()
	var changes atomic.Int64
	var r *Revocations
	r = revocations(t, client, func(c *RevocationsConfig) {
		c.Reread = c.Poll
		c.OnChange = func() {
			if !r.Ready() {
				t.Error("told before the copy was in place")
			}
			changes.Add(1)
		}
	})
	follow(t, r)
	require.Eventually(t, func() bool { return r.Stats().Reads >= 3 }, patience, time.Millisecond)
	require.EqualValues(t, 1, changes.Load(), "the first copy")
	require.NoError(t, client.HSet(t.Context(), r.beforeKey(), "user:u", time.Now().Unix()).Err())
	becomes(t, r, Identity{User: "u"}, ErrTokenRevoked)
	reads := r.Stats().Reads
	require.Eventually(t, func() bool { return r.Stats().Reads >= reads+3 }, patience, time.Millisecond)
	require.EqualValues(t, 2, changes.Load())
}

func TestRunEndsWhileRedisIsDown(t *testing.T) {
	server := redistest.Start(t)
	r := revocations(t, server.Client(), nil)
	server.Kill()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	require.Eventually(t, func() bool { return r.Stats().Failures >= 1 }, patience, time.Millisecond)
	cancel()
	require.NoError(t, <-done)
}
