package auth

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func revocations(t testing.TB, client redis.UniversalClient, change func(*RevocationsConfig)) *Revocations {
	t.Helper()
	cfg := DefaultRevocationsConfig()
	cfg.Poll = 5 * time.Millisecond
	if change != nil {
		change(&cfg)
	}
	r, err := NewRevocations(cfg, client, quiet())
	require.NoError(t, err)
	return r
}

// follow runs r until the test ends.
func follow(t testing.TB, r *Revocations) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

func becomes(t testing.TB, r *Revocations, id Identity, want error) {
	t.Helper()
	require.Eventually(t, func() bool { return errors.Is(r.Check(id), want) }, patience, time.Millisecond, "want %v, is %v", want, r.Check(id))
}

func eachRedis(t *testing.T, test func(*testing.T, redis.UniversalClient)) {
	t.Helper()
	mini := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = mini.Close() })
	for name, client := range map[string]redis.UniversalClient{"redis": redistest.Start(t).Client(), "miniredis": mini} {
		t.Run(name, func(t *testing.T) { test(t, client) })
	}
}

func TestRevokedTokensAndUsers(t *testing.T) {
	eachRedis(t, func(t *testing.T, client redis.UniversalClient) {
		ctx := t.Context()
		now := time.Now()
		r := revocations(t, client, nil)
		require.ErrorIs(t, r.Check(Identity{User: "u"}), ErrUnavailable, "there is no copy yet")
		require.False(t, r.Ready())
		require.NoError(t, r.poll(ctx))
		require.True(t, r.Ready())
		require.NoError(t, r.Check(Identity{User: "u"}))

		require.NoError(t, r.RevokeToken(ctx, "stolen", now.Add(time.Hour)))
		require.NoError(t, r.RevokeToken(ctx, "of unknown expiry", time.Time{}))
		require.NoError(t, r.RevokeToken(ctx, "over", now.Add(-time.Hour)))
		require.NoError(t, r.RevokeToken(ctx, "in its leeway", now.Add(-time.Minute)))
		require.NoError(t, r.RevokeUser(ctx, "gone"))
		require.NoError(t, r.RevokeUserBefore(ctx, "moved", now.Add(-time.Hour)))
		require.NoError(t, r.RevokeUserBefore(ctx, "barred", now.Add(time.Hour)))
		require.NoError(t, r.poll(ctx))
		for name, c := range map[string]struct {
			id   Identity
			want error
		}{
			"by its id":                {Identity{User: "u", TokenID: "stolen", IssuedAt: now}, ErrTokenRevoked},
			"of unknown expiry":        {Identity{User: "u", TokenID: "of unknown expiry"}, ErrTokenRevoked},
			"expired":                  {Identity{User: "u", TokenID: "over"}, nil},
			"expired and still taken":  {Identity{User: "u", TokenID: "in its leeway"}, ErrTokenRevoked},
			"another token":            {Identity{User: "u", TokenID: "jti:stolen", IssuedAt: now}, nil},
			"no id and no issue":       {Identity{User: "u"}, nil},
			"the user's":               {Identity{User: "gone", TokenID: "x", IssuedAt: now.Add(-time.Minute)}, ErrTokenRevoked},
			"issued this very second":  {Identity{User: "gone", IssuedAt: now}, ErrTokenRevoked},
			"the user's next":          {Identity{User: "gone", IssuedAt: now.Add(2 * time.Minute)}, nil},
			"without issue":            {Identity{User: "gone"}, ErrTokenRevoked},
			"before T":                 {Identity{User: "moved", IssuedAt: now.Add(-2 * time.Hour)}, ErrTokenRevoked},
			"in T's second":            {Identity{User: "moved", IssuedAt: time.Unix(now.Add(-time.Hour).Unix(), 999_999_999)}, ErrTokenRevoked},
			"after T":                  {Identity{User: "moved", IssuedAt: now.Add(-59 * time.Minute)}, nil},
			"before a T that comes":    {Identity{User: "barred", IssuedAt: now}, ErrTokenRevoked},
			"a user of another letter": {Identity{User: "Gone", IssuedAt: now}, nil},
		} {
			require.ErrorIs(t, r.Check(c.id), c.want, name)
		}
		require.Equal(t, "token_revoked", Code(r.Check(Identity{User: "gone"})))
		stats := r.Stats()
		require.Equal(t, 3, stats.Tokens)
		require.Equal(t, 3, stats.Users)
		require.EqualValues(t, 2, stats.Reads)
		require.WithinDuration(t, time.Now(), stats.ReadAt, time.Minute)
	})
}

func TestWhatIsNoRevocation(t *testing.T) {
	client := redistest.Start(t).Client()
	ctx := t.Context()
	r := revocations(t, client, nil)
	long := strings.Repeat("x", maxID+1)
	for _, id := range []string{"", long, "a\n", "\xff"} {
		require.ErrorIs(t, r.RevokeToken(ctx, id, time.Time{}), ErrBadRevocation)
		require.ErrorIs(t, r.RevokeUser(ctx, id), ErrBadRevocation)
	}
	require.ErrorIs(t, r.RevokeToken(ctx, "x", time.Unix(maxTime+1, 0)), ErrBadRevocation)
	require.ErrorIs(t, r.RevokeUserBefore(ctx, "x", time.Unix(maxTime+1, 0)), ErrBadRevocation)
	require.ErrorIs(t, r.RevokeUserBefore(ctx, "x", time.Time{}), ErrBadRevocation)
	require.Zero(t, client.DBSize(ctx).Val())

	for _, change := range []func(*RevocationsConfig){
		func(c *RevocationsConfig) { c.Prefix = "" },
		func(c *RevocationsConfig) { c.Poll = 0 },
		func(c *RevocationsConfig) { c.Poll = 2 * time.Second },
		func(c *RevocationsConfig) { c.Reread = time.Millisecond },
		func(c *RevocationsConfig) { c.MaxTokenLife = 0 },
	} {
		cfg := DefaultRevocationsConfig()
		require.NoError(t, cfg.Validate())
		change(&cfg)
		_, err := NewRevocations(cfg, client, quiet())
		require.Error(t, err)
	}
}

func TestRevokeScript(t *testing.T) {
	eachRedis(t, func(t *testing.T, client redis.UniversalClient) {
		ctx := t.Context()
		r := revocations(t, client, nil)
		now := time.Now().Truncate(time.Second)
		r.now = func() time.Time { return now }
		version := func() string { return client.Get(ctx, r.versionKey()).Val() }
		score := func(member string) int64 { return int64(client.ZScore(ctx, r.tokensKey(), member).Val()) }
		second := func(field string) string { return client.HGet(ctx, r.beforeKey(), field).Val() }

		require.NoError(t, r.RevokeToken(ctx, "a", now.Add(time.Hour)))
		require.NoError(t, r.RevokeToken(ctx, "a", now.Add(time.Minute)), "an earlier expiry")
		require.Equal(t, now.Add(time.Hour).UnixMilli(), score("jti:a"))
		require.NoError(t, r.RevokeToken(ctx, "a", now.Add(2*time.Hour)))
		require.Equal(t, now.Add(2*time.Hour).UnixMilli(), score("jti:a"))
		require.Equal(t, "3", version())

		require.NoError(t, r.RevokeUser(ctx, "u"))
		require.NoError(t, r.RevokeUserBefore(ctx, "u", now.Add(-time.Hour)), "an earlier second")
		require.Equal(t, strconv.FormatInt(now.Unix(), 10), second("user:u"))
		require.NoError(t, client.HSet(ctx, r.beforeKey(), "user:w", "nonsense").Err())
		require.NoError(t, r.RevokeUser(ctx, "w"))
		require.Equal(t, strconv.FormatInt(now.Unix(), 10), second("user:w"))
		require.Equal(t, "6", version())

		// What no token can need goes with the next write, and with nothing to write the version stays.
		for i := range 5 {
			require.NoError(t, client.ZAdd(ctx, r.tokensKey(), redis.Z{Score: float64(i), Member: "jti:old" + strconv.Itoa(i)}).Err())
			require.NoError(t, client.HSet(ctx, r.beforeKey(), "user:old"+strconv.Itoa(i), i).Err())
		}
		require.NoError(t, r.RevokeUser(ctx, "v"))
		require.EqualValues(t, 1, client.ZCard(ctx, r.tokensKey()).Val())
		require.EqualValues(t, 3, client.HLen(ctx, r.beforeKey()).Val())
		require.NoError(t, client.HSet(ctx, r.beforeKey(), "user:old", now.Add(-r.cfg.MaxTokenLife).Unix()).Err())
		r.forget(ctx)
		require.EqualValues(t, 4, client.HLen(ctx, r.beforeKey()).Val(), "one that a token may still need")
		now = now.Add(forgetAfter + time.Second)
		r.forget(ctx)
		require.EqualValues(t, 3, client.HLen(ctx, r.beforeKey()).Val())
		require.Equal(t, "7", version())
		for _, key := range []string{r.tokensKey(), r.beforeKey(), r.versionKey()} {
			require.Equal(t, time.Duration(-1), client.TTL(ctx, key).Val())
		}
	})
}

func TestRevokeScriptMeetsOtherTypes(t *testing.T) {
	eachRedis(t, func(t *testing.T, client redis.UniversalClient) {
		ctx := t.Context()
		r := revocations(t, client, nil)
		r.forget(ctx) // nothing is there
		require.Zero(t, client.DBSize(ctx).Val())

		require.NoError(t, client.Set(ctx, r.beforeKey(), "text", 0).Err())
		require.NoError(t, r.RevokeToken(ctx, "a", time.Time{}), "the users' key is none of its business")
		require.ErrorContains(t, r.RevokeUser(ctx, "u"), "WRONGTYPE")
		require.ErrorContains(t, r.poll(ctx), "WRONGTYPE")
		require.ErrorIs(t, r.Check(Identity{User: "u"}), ErrUnavailable)

		require.NoError(t, client.Del(ctx, r.beforeKey()).Err())
		require.NoError(t, client.Set(ctx, r.tokensKey(), "text", 0).Err())
		require.NoError(t, r.RevokeUser(ctx, "u"))
		require.ErrorContains(t, r.RevokeToken(ctx, "a", time.Time{}), "WRONGTYPE")
		require.ErrorContains(t, r.poll(ctx), "WRONGTYPE")

		require.NoError(t, client.Set(ctx, r.versionKey(), "text", 0).Err())
		require.Error(t, r.RevokeUser(ctx, "other"))
		require.False(t, client.HExists(ctx, r.beforeKey(), "user:other").Val(), "a change that nobody would see")
	})
}

// What others wrote, and wrote wrongly.
func TestRevocationsNotUnderstood(t *testing.T) {
	client := redistest.Start(t).Client()
	ctx := t.Context()
	var log logBuffer
	r, err := NewRevocations(DefaultRevocationsConfig(), client, log.logger())
	require.NoError(t, err)
	later := float64(time.Now().Add(time.Hour).UnixMilli())
	require.NoError(t, client.ZAdd(ctx, r.tokensKey(),
		redis.Z{Score: later, Member: "jti:a"}, redis.Z{Score: later, Member: "b"}, redis.Z{Score: later, Member: "jti:"},
	).Err())
	require.NoError(t, client.HSet(ctx, r.beforeKey(),
		"user:text", "yesterday", "user:ms", time.Now().UnixMilli(), "user:nan", "nan", "user:early", "-5", "user:half", "1000.5", "x", "1",
	).Err())
	require.NoError(t, r.poll(ctx))
	next := time.Now().Add(time.Hour)
	require.ErrorIs(t, r.Check(Identity{TokenID: "a"}), ErrTokenRevoked)
	require.NoError(t, r.Check(Identity{TokenID: "b"}))
	for _, user := range []string{"text", "ms", "nan"} {
		require.ErrorIs(t, r.Check(Identity{User: user, IssuedAt: next}), ErrTokenRevoked, "somebody wanted it refused")
	}
	require.NoError(t, r.Check(Identity{User: "early", IssuedAt: time.Unix(0, 0)}))
	require.ErrorIs(t, r.Check(Identity{User: "half", IssuedAt: time.Unix(1000, 0)}), ErrTokenRevoked)
	require.NoError(t, r.Check(Identity{User: "half", IssuedAt: time.Unix(1001, 0)}))
	require.Contains(t, log.String(), "entries=6")
	require.False(t, client.HExists(ctx, r.beforeKey(), "user:early").Val(), "what is old goes though nobody calls the script")

	r.failed = true
	require.NoError(t, r.poll(ctx))
	require.Equal(t, 1, strings.Count(log.String(), "not understood"), log.String())

	many := reading{revoked: &revoked{tokens: map[string]bool{}}}
	for i := range manyRevocations + 1 {
		many.tokens[strconv.Itoa(i)] = true
	}
	r.remark(many)
	r.remark(many)
	require.Equal(t, 1, strings.Count(log.String(), "very many"))
}

func TestManyRevocationsAreReadInPages(t *testing.T) {
	client := redistest.Start(t).Client()
	ctx := t.Context()
	r := revocations(t, client, nil)
	const n = 2*revokedPage + 500
	later := float64(time.Now().Add(time.Hour).UnixMilli())
	pipe := client.Pipeline()
	for i := range n {
		pipe.ZAdd(ctx, r.tokensKey(), redis.Z{Score: later, Member: fmt.Sprintf("jti:t%d", i)})
		pipe.HSet(ctx, r.beforeKey(), fmt.Sprintf("user:u%d", i), time.Now().Unix())
	}
	_, err := pipe.Exec(ctx)
	require.NoError(t, err)
	require.NoError(t, r.poll(ctx))
	require.Equal(t, n, r.Stats().Tokens)
	require.Equal(t, n, r.Stats().Users)
}

func TestCheckAllocatesNothing(t *testing.T) {
	r := revocations(t, redistest.Start(t).Client(), nil)
	require.NoError(t, r.RevokeUser(t.Context(), "u"))
	require.NoError(t, r.poll(t.Context()))
	bad, good := Identity{User: "u"}, Identity{User: "v", TokenID: "x"}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if r.Check(bad) == nil || r.Check(good) != nil {
			panic("wrong")
		}
	}))
}

func TestCheckWhileTheCopyChanges(t *testing.T) {
	client := redistest.Start(t).Client()
	var changes atomic.Int64
	r := revocations(t, client, func(c *RevocationsConfig) { c.OnChange = func() { changes.Add(1) } })
	require.NoError(t, r.RevokeUser(t.Context(), "always"))
	require.NoError(t, r.poll(t.Context()))
	follow(t, r)
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if !errors.Is(r.Check(Identity{User: "always"}), ErrTokenRevoked) || r.Check(Identity{User: "never"}) != nil {
					t.Error("a copy that was half there")
					return
				}
			}
		})
	}
	for i := range 50 {
		user := strconv.Itoa(i)
		require.NoError(t, r.RevokeUser(t.Context(), user))
		becomes(t, r, Identity{User: user}, ErrTokenRevoked)
	}
	close(stop)
	all.Wait()
	require.GreaterOrEqual(t, changes.Load(), int64(50))
}
