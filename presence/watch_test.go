package presence

import (
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// offline is a watcher that is handed its readings by the test: one of node "v:1" each, which has no subscriber.
type offline struct {
	*watcher
	t   *testing.T
	now time.Time
}

func newOffline(t *testing.T) *offline {
	cfg := DefaultConfig()
	cfg.Name, cfg.Node = "a", "a:1"
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = client.Close() })
	p, err := New(cfg, Deps{Redis: client, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return &offline{watcher: newWatcher(p), t: t, now: time.Now()}
}

// read has time pass by both clocks, then looks at an entry of v on a run of Redis.
func (o *offline) read(run string, v entry, passed, byRedis time.Duration) {
	o.t.Helper()
	o.now = o.now.Add(passed)
	redisNow := o.lastNow + byRedis.Milliseconds()
	v.Name, v.Reg, v.Beat = "v", 1, redisNow
	r := reading{now: redisNow, runID: run, nodes: map[string]entry{"v:1": v}, subscribers: map[string]int64{}}
	o.notice(r, o.now)
	o.suspect(o.t.Context(), r, o.now)
}

func TestAbsenceCountsOnTheRunWhereItWasSubscribed(t *testing.T) {
	for _, test := range []struct {
		name, run, registered string
		suspected             bool
	}{
		{"on this run", "r1", "r1", true},
		{"on another", "r2", "r1", false},
		{"nowhere", "r1", "", false},
		{"on a server without runs", "", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := newOffline(t)
			for range 3 {
				o.read(test.run, entry{Run: test.registered}, 200*time.Millisecond, 200*time.Millisecond)
			}
			require.Equal(t, test.suspected, o.suspects["v:1"] != nil)
		})
	}
}

func TestAbsenceIsForgottenWithTheRun(t *testing.T) {
	o := newOffline(t)
	for range 3 {
		o.read("r1", entry{Run: "r1"}, 200*time.Millisecond, 200*time.Millisecond)
	}
	require.NotNil(t, o.suspects["v:1"])
	o.read("r2", entry{Run: "r1"}, 200*time.Millisecond, 200*time.Millisecond)
	require.Nil(t, o.suspects["v:1"])
	require.Equal(t, o.now, o.calm)
}

func TestStallsAndClockJumps(t *testing.T) {
	const tick = 200 * time.Millisecond
	for _, test := range []struct {
		name            string
		passed, byRedis time.Duration
		restarts, upset bool
	}{
		{"none", tick, tick, false, false},
		{"a short stall", 2 * time.Second, 2 * time.Second, true, false},
		{"a short stall after the reply", 2 * time.Second, tick, true, false},
		{"a long stall", 4 * time.Second, 4 * time.Second, true, true},
		{"Redis' clock forward", tick, 10 * time.Second, true, true},
		{"Redis' clock back", tick, -10 * time.Second, true, true},
		{"a suspended machine", tick, time.Hour, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := newOffline(t)
			for range 3 {
				o.read("r1", entry{Run: "r1"}, tick, tick)
			}
			o.suspects["v:1"].absentBeat = o.lastNow + test.byRedis.Milliseconds() // no heartbeat since
			absent, calm := o.suspects["v:1"].absent, o.calm
			o.read("r1", entry{Run: "r1"}, test.passed, test.byRedis)
			require.Equal(t, test.restarts, !o.suspects["v:1"].absent.Equal(absent), "the absence begins anew")
			require.Equal(t, test.upset, !o.calm.Equal(calm), "no reaping for the grace")
		})
	}
}
