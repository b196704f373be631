package gossip

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func newBudget(t *testing.T, live *atomic.Int64, change func(*BudgetConfig)) *Budget {
	t.Helper()
	cfg := DefaultBudgetConfig()
	cfg.PerSecond = 90
	if change != nil {
		change(&cfg)
	}
	b, err := NewBudget(cfg, func() int { return int(live.Load()) })
	require.NoError(t, err)
	return b
}

func TestBudgetSharesByMembership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var live atomic.Int64
		live.Store(3)
		b := newBudget(t, &live, nil)
		turns := func(n int) time.Duration {
			begin := time.Now()
			for range n {
				require.NoError(t, b.Wait(t.Context()))
			}
			return time.Since(begin)
		}
		turns(30) // uses up what may be done at once
		require.InDelta(t, 2, turns(60).Seconds(), 0.1, "a third of 90 each second")
		live.Store(1)
		turns(30)
		require.InDelta(t, 2, turns(180).Seconds(), 0.1, "all of it")
		live.Store(9)
		turns(30)
		require.InDelta(t, 2, turns(20).Seconds(), 0.2, "a ninth")
		live.Store(0)
		turns(30)
		require.InDelta(t, 1, turns(90).Seconds(), 0.1, "nobody counts as one")
	})
}

func TestBudgetRefusesLateTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var live atomic.Int64
		live.Store(3)
		b := newBudget(t, &live, func(c *BudgetConfig) { c.MaxWait = time.Second })
		var served, refused atomic.Int64
		var all sync.WaitGroup
		begin := time.Now()
		for range 200 {
			all.Go(func() {
				if err := b.Wait(t.Context()); err != nil {
					require.ErrorIs(t, err, ErrBudgetExhausted)
					require.Zero(t, time.Since(begin), "refused at once")
					refused.Add(1)
					return
				}
				served.Add(1)
			})
		}
		synctest.Wait()
		require.Equal(t, int(200-refused.Load()-served.Load()), b.Waiting())
		all.Wait()
		require.InDelta(t, 32, served.Load(), 3, "a second's worth and what may be done at once")
		require.Equal(t, 200-served.Load(), refused.Load())
		require.EqualValues(t, refused.Load(), b.Refused())
		require.Zero(t, b.Waiting())
		require.LessOrEqual(t, time.Since(begin), time.Second)
	})
}

func TestBudgetBoundsWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var live atomic.Int64
		b := newBudget(t, &live, func(c *BudgetConfig) { c.PerSecond, c.MaxWaiters, c.MaxWait = 1, 2, time.Minute })
		require.NoError(t, b.Wait(t.Context()))
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() { require.NoError(t, b.Wait(t.Context())) })
		}
		synctest.Wait()
		require.Equal(t, 2, b.Waiting())
		require.ErrorIs(t, b.Wait(t.Context()), ErrBudgetExhausted)
		all.Wait()
	})
}

func TestBudgetGivesTurnsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var live atomic.Int64
		b := newBudget(t, &live, func(c *BudgetConfig) { c.PerSecond = 1 })
		require.NoError(t, b.Wait(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() { left <- b.Wait(ctx) }()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-left, context.Canceled)
		begin := time.Now()
		require.NoError(t, b.Wait(t.Context()))
		require.LessOrEqual(t, time.Since(begin), time.Second)
		require.Zero(t, b.Refused())
	})
}

func TestBudgetReadyAgreesWithWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var live atomic.Int64
		live.Store(3)
		b := newBudget(t, &live, func(c *BudgetConfig) { c.MaxWait = time.Second })
		var all sync.WaitGroup
		defer all.Wait()
		taken := 0
		for {
			for range 1000 {
				b.Ready()
			}
			if _, ok := b.Ready(); !ok {
				break
			}
			taken++
			all.Go(func() { require.NoError(t, b.Wait(t.Context()), "who was told to come gets a turn") })
			synctest.Wait()
		}
		require.InDelta(t, 32, taken, 3, "asking takes nothing")
		require.ErrorIs(t, b.Wait(t.Context()), ErrBudgetExhausted)
		retryAfter, _ := b.Ready()
		require.InDelta(t, time.Second/30, retryAfter, float64(time.Second/30))
		time.Sleep(retryAfter + time.Millisecond)
		_, ok := b.Ready()
		require.True(t, ok, "the time it told was right")
	})
}

func TestBudgetReadyBoundsWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var live atomic.Int64
		b := newBudget(t, &live, func(c *BudgetConfig) { c.PerSecond, c.MaxWaiters, c.MaxWait = 2, 1, time.Minute })
		require.NoError(t, b.Wait(t.Context()))
		var all sync.WaitGroup
		all.Go(func() { require.NoError(t, b.Wait(t.Context())) })
		synctest.Wait()
		retryAfter, ok := b.Ready()
		require.False(t, ok)
		require.Equal(t, 500*time.Millisecond, retryAfter)
		all.Wait()
		_, ok = b.Ready()
		require.True(t, ok)
	})
}

func TestBudgetUnlimited(t *testing.T) {
	var live atomic.Int64
	b := newBudget(t, &live, func(c *BudgetConfig) { c.PerSecond = 0 })
	for range 10_000 {
		require.NoError(t, b.Wait(t.Context()))
		_, ok := b.Ready()
		require.True(t, ok)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.Wait(ctx), context.Canceled)
}

func TestBudgetFaults(t *testing.T) {
	for _, c := range []BudgetConfig{
		{PerSecond: -1, MaxWait: 1, MaxWaiters: 1},
		{PerSecond: math.NaN(), MaxWait: 1, MaxWaiters: 1},
		{PerSecond: math.Inf(1), MaxWait: 1, MaxWaiters: 1},
		{MaxWaiters: 1},
		{MaxWait: 1},
	} {
		_, err := NewBudget(c, nil)
		require.Error(t, err)
	}
}
