package node

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPaceIsEven holds every second of a drain's window to less than twice its mean, for few and for many sockets.
func TestPaceIsEven(t *testing.T) {
	for _, count := range []int{1, 3, 40, 3000, 10_000} {
		synctest.Test(t, func(t *testing.T) {
			const window = 20 * time.Second
			began := time.Now()
			var perSecond [21]int
			total := 0
			pace(t.Context(), window, count, func(i int) {
				require.Equal(t, total, i, "each once, in order")
				total++
				perSecond[time.Since(began)/time.Second]++
			})
			require.Equal(t, count, total)
			require.LessOrEqual(t, time.Since(began), window+time.Second)
			mean := float64(count) / window.Seconds()
			for second, n := range perSecond {
				require.LessOrEqual(t, float64(n), max(1, 1.25*mean+1), "second %d of %d sockets", second, count)
			}
		})
	}
}

func TestPaceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := 0
		pace(ctx, 20*time.Second, 1000, func(i int) {
			done++
			if i == 100 {
				cancel()
			}
		})
		require.Less(t, done, 120, "the rest of a step at most")
		before := time.Now()
		pace(t.Context(), 0, 1000, func(int) { done++ })
		require.Zero(t, time.Since(before), "without a window there is nothing to wait for")
		pace(t.Context(), time.Second, 0, func(int) { t.Error("called for nobody") })
	})
}

func TestDrainIsOneForAllCalls(t *testing.T) {
	r := newRig(t, func(c *Config, _ *Deps) { c.DrainWindow = 600 * time.Millisecond })
	for _, user := range []string{"a", "b", "c", "d"} {
		_, _ = r.connect("advisor:" + user)
	}
	require.Equal(t, DrainStats{}, r.DrainStats())
	ctx, abandon := context.WithCancel(context.Background())
	first := make(chan error, 1)
	go func() { first <- r.Drain(ctx) }()
	r.eventually("the first has gone", func() bool { return r.DrainStats().Left < 4 && r.DrainStats().Draining })
	second := make(chan error, 1)
	go func() { second <- r.Drain(context.Background()) }()
	abandon()
	<-first
	require.NoError(t, <-second, "it goes on where the first was given up")
	require.Equal(t, DrainStats{Draining: true}, r.DrainStats())
	require.NoError(t, r.Drain(context.Background()))
}
