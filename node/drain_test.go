package node

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The other nodes get the clients of one that drains at a steady rate: never twice the mean of the window.
func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const count, over = 3000, 18 * time.Second
		began := time.Now()
		perSecond := make([]int, over/time.Second)
		next, last := 0, time.Duration(0)
		var gaps []time.Duration
		spread(t.Context(), count, over, func(i int) {
			require.Equal(t, next, i)
			next++
			at := time.Since(began)
			gaps, last = append(gaps, at-last), at
			perSecond[at/time.Second]++
		})
		require.Equal(t, count, next)
		require.LessOrEqual(t, time.Since(began), over)
		for _, n := range []int{slices.Min(perSecond), slices.Max(perSecond)} {
			require.InDelta(t, count/len(perSecond), n, 2)
		}
		slices.Sort(gaps)
		require.NotEqual(t, gaps[100], gaps[len(gaps)-100], "not jittered")
	})
}

func TestSpreadEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		done := 0
		spread(ctx, 100, 100*time.Second, func(int) { done++ })
		require.InDelta(t, 5, done, 1)
		spread(t.Context(), 0, 0, func(int) { done = -1 })
		require.NotEqual(t, -1, done)
	})
}

func TestDrainTime(t *testing.T) {
	for connections, want := range map[int]time.Duration{
		0: 0, 1: 50 * time.Millisecond, 100: 5 * time.Second, 360: 18 * time.Second, 3000: 18 * time.Second, 100_000: 18 * time.Second,
	} {
		require.Equal(t, want, drainTime(connections, 20*time.Second), connections)
	}
}

// A node that is told to drain and then to end closes its connections no faster for that.
func TestDrainIsOneForAllCalls(t *testing.T) {
	r := newRig(t, func(c *Config, _ *Deps) { c.DrainWindow = time.Minute })
	for _, user := range []string{"a", "b", "c", "d"} {
		_, _ = r.connect("advisor:" + user)
	}
	ctx, abandon := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- r.Drain(ctx) }()
	r.eventually("the first has begun", func() bool { return r.Stats().Drained > 0 })
	hasty, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	require.ErrorIs(t, r.Drain(hasty), context.DeadlineExceeded, "it has to wait for the first")
	go func() { second <- r.Drain(t.Context()) }()
	abandon()
	<-first
	require.NoError(t, <-second, "it goes on where the first was given up")
	require.Zero(t, r.Stats().Connections)
	require.True(t, r.Stats().Draining)
}
