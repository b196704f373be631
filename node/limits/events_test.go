package limits

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// events are of a socket with a rate of 50 and a burst of 100.
func events(t *testing.T) (*Limits, *Events) {
	t.Helper()
	cfg := DefaultConfig()
	cfg.EventRate, cfg.EventBurst = 50, 100
	l := mustNew(t, cfg)
	return l, l.NewEvents()
}

// send counts the verdicts on n events, evenly spaced.
func send(e *Events, n int, pause time.Duration) map[Verdict]int {
	verdicts := map[Verdict]int{}
	for range n {
		verdicts[e.Allow()]++
		time.Sleep(pause)
	}
	return verdicts
}

func TestEventsSustainedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, e := events(t)
		require.Equal(t, 100, send(e, 150, 0)[Pass], "the burst")
		time.Sleep(20 * time.Millisecond)
		verdicts := send(e, 100*200, 5*time.Millisecond) // 100 s of 200 a second
		require.InDelta(t, 100*50, verdicts[Pass], 2, "the sustained rate is what is configured")
		require.InDelta(t, 100, verdicts[Refuse], 2, "told once a second")
		require.Zero(t, verdicts[Flood], "four times the rate may go on for ever")
		require.EqualValues(t, 50+100*200-verdicts[Pass], l.Stats().EventsRefused)
		require.Equal(t, 500, send(e, 500, 20*time.Millisecond)[Pass], "within the rate nothing is refused")
	})
}

func TestEventFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, e := events(t)
		require.Zero(t, send(e, 5000, 0)[Flood], "a page that comes back sends what it has gathered")
		time.Sleep(time.Minute)
		require.Zero(t, send(e, 60*490, time.Second/490)[Flood], "under ten times the rate")
		time.Sleep(time.Minute)
		verdicts := send(e, 30*1000, time.Millisecond)
		require.Equal(t, 1, verdicts[Flood], "once, for there is one connection to close")
		require.Equal(t, RefuseQuietly, e.Allow())
		time.Sleep(time.Minute)
		require.Equal(t, RefuseQuietly, e.Allow(), "nothing passes any more")
		require.EqualValues(t, 1, l.Stats().EventFloods)
	})
}

func TestFloodOfASlowRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.EventRate, cfg.EventBurst = 1, 10
		e := mustNew(t, cfg).NewEvents()
		verdicts := send(e, 1010, 0)
		require.Equal(t, map[Verdict]int{Pass: 10, Refuse: 1, RefuseQuietly: 999}, verdicts)
		require.Equal(t, Flood, e.Allow())
	})
}

func BenchmarkEvent(b *testing.B) {
	e := mustNew(b, DefaultConfig()).NewEvents()
	b.ReportAllocs()
	for b.Loop() {
		e.Allow()
	}
}
