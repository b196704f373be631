package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

const sweepDeadline = 30 * time.Second

func TestSweepRemovesExpiredGrants(t *testing.T) {
	mini := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = mini.Close() })
	for name, client := range map[string]redis.UniversalClient{"redis": redistest.Start(t).Client(), "miniredis": mini} {
		t.Run(name, func(t *testing.T) { testSweep(t, client) })
	}
}

func testSweep(t *testing.T, client redis.UniversalClient) {
	ctx := t.Context()
	g := NewGrants(client, "{teloo}", slog.New(slog.DiscardHandler))
	now := float64(client.Time(ctx).Val().UnixMilli())
	const hour = 3_600_000
	add := func(key string, members ...redis.Z) {
		t.Helper()
		require.NoError(t, client.ZAdd(ctx, key, members...).Err())
	}
	index := GrantsIndex("{teloo}")
	at := func(score float64, member string) redis.Z { return redis.Z{Score: score, Member: member} }
	add(GrantsKey("{teloo}", "over/1"), at(now-2, "a"), at(now-1, "b"))
	add(GrantsKey("{teloo}", "some"), at(now-1, "a"), at(now+hour, "later"), at(now+2*hour, "latest"))
	add(GrantsKey("{teloo}", "ever"), at(now-1, "a"), at(math.Inf(1), "admin"))
	add(GrantsKey("{teloo}", "not due"), at(now-1, "a"), at(now+hour, "b"))
	require.NoError(t, client.Set(ctx, GrantsKey("{teloo}", "text"), "x", 0).Err())
	add(index, at(now-1, "over%2F1"), at(now-1, "some"), at(now-1, "ever"), at(now-1, "text"), at(now-1, "missing"), at(now+hour, "not%20due"))
	for i := range 2*sweepBatch + 50 {
		solicitud := "n" + strconv.Itoa(i)
		add(GrantsKey("{teloo}", solicitud), at(now-hour, "u"))
		add(index, at(now-hour, solicitud))
	}

	for round := range 2 {
		require.NoError(t, g.sweep(ctx))
		rows, err := client.ZRangeWithScores(ctx, index, 0, -1).Result()
		require.NoError(t, err)
		require.Equal(t, []redis.Z{at(now+hour, "not%20due"), at(now+2*hour, "some"), at(math.Inf(1), "ever")}, rows, "round %d", round)
		keys, err := client.Keys(ctx, "{teloo}:grants:*").Result()
		require.NoError(t, err)
		require.ElementsMatch(t, []string{
			"{teloo}:grants:some", "{teloo}:grants:ever", "{teloo}:grants:not%20due", "{teloo}:grants:text",
		}, keys)
		require.Equal(t, []string{"later", "latest"}, client.ZRange(ctx, "{teloo}:grants:some", 0, -1).Val())
		require.Equal(t, []string{"admin"}, client.ZRange(ctx, "{teloo}:grants:ever", 0, -1).Val())
		require.Equal(t, int64(2), client.ZCard(ctx, "{teloo}:grants:not%20due").Val(), "not looked at before it is due")
		for _, key := range append(keys, index) {
			require.Equal(t, time.Duration(-1), client.TTL(ctx, key).Val(), "a TTL would take later grants along")
		}
	}
}

func TestSweepersAtOnce(t *testing.T) {
	client := redistest.Start(t).Client()
	ctx := t.Context()
	for i := range 500 {
		solicitud := strconv.Itoa(i)
		require.NoError(t, client.ZAdd(ctx, GrantsKey("{teloo}", solicitud), redis.Z{Score: 1, Member: "u"}).Err())
		require.NoError(t, client.ZAdd(ctx, GrantsIndex("{teloo}"), redis.Z{Score: 1, Member: solicitud}).Err())
	}
	faults := make(chan error, 4)
	for range cap(faults) {
		go func() { faults <- NewGrants(client, "{teloo}", slog.New(slog.DiscardHandler)).sweep(ctx) }()
	}
	for range cap(faults) {
		require.NoError(t, <-faults)
	}
	require.Zero(t, client.DBSize(ctx).Val())
}

func TestGrantsRunSweepsAgainAndAgain(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client()
	g := NewGrants(client, "{teloo}", slog.New(slog.DiscardHandler))
	g.every = 20 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	expire := func(solicitud string) {
		t.Helper()
		require.NoError(t, client.ZAdd(t.Context(), GrantsKey("{teloo}", solicitud), redis.Z{Score: 1, Member: "u"}).Err())
		require.NoError(t, client.ZAdd(t.Context(), GrantsIndex("{teloo}"), redis.Z{Score: 1, Member: solicitud}).Err())
	}
	swept := func() bool {
		n, err := client.DBSize(t.Context()).Result()
		return err == nil && n == 0
	}
	expire("1")
	require.Eventually(t, swept, sweepDeadline, 10*time.Millisecond)
	server.Kill()
	require.Eventually(t, func() bool { return g.failures.Load() >= 2 }, sweepDeadline, 10*time.Millisecond, "tries while Redis is down")
	server.Launch()
	expire("2")
	require.Eventually(t, swept, sweepDeadline, 10*time.Millisecond)
	cancel()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(sweepDeadline):
		t.Fatal("Run did not return")
	}
}

func TestSweepFailsWithRedis(t *testing.T) {
	server := redistest.Start(t)
	g := NewGrants(server.Client(), "{teloo}", slog.New(slog.DiscardHandler))
	require.NoError(t, server.Client().Set(t.Context(), GrantsIndex("{teloo}"), "x", 0).Err())
	require.ErrorContains(t, g.sweep(t.Context()), "WRONGTYPE")
	server.Kill()
	require.Error(t, g.sweep(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := g.sweep(ctx)
	require.True(t, err != nil && !errors.Is(err, redis.Nil), fmt.Sprint(err))
}
