package presence

import (
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// idle is a presence that runs nothing; the test sets what it has last read.
func idle(t *testing.T) *Presence {
	cfg := DefaultConfig()
	cfg.Name, cfg.Node = "a", "a:1"
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = client.Close() })
	p, err := New(cfg, Deps{Redis: client, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return p
}

func TestExpired(t *testing.T) {
	const redisNow = int64(1_700_000_000_000)
	window := DefaultConfig().Window
	ended := func(ago time.Duration) map[string]entry {
		return map[string]entry{"b:1": {Name: "b", Reg: 1, Ended: redisNow - ago.Milliseconds(), Done: true}}
	}
	for _, test := range []struct {
		name      string
		identity  string
		nodes     map[string]entry
		read      time.Duration // ago
		disturbed time.Duration // before it was read
		expired   bool
	}{
		{"live", "b:1", map[string]entry{"b:1": {Name: "b", Reg: 1, Beat: redisNow}}, 0, time.Hour, false},
		{"ended just now", "b:1", ended(0), 0, time.Hour, false},
		{"ended the window ago", "b:1", ended(window), 0, time.Hour, false},
		{"ended before the window", "b:1", ended(window + time.Millisecond), 0, time.Hour, true},
		{"ended before the window, soon after a disturbance", "b:1", ended(window + time.Millisecond), 0, 0, true},
		{"reaped and forgotten", "b:1", nil, 0, time.Hour, true},
		{"just starting", "b:1699999999000", nil, 0, time.Hour, false},
		{"list not fresh, ended before", "b:1", ended(2 * window), time.Minute, time.Hour, false},
		{"list not fresh, unknown", "b:1", nil, time.Minute, time.Hour, false},
		{"Redis emptied recently", "b:1", nil, 0, DefaultConfig().ReconnectGrace - time.Millisecond, false},
		{"this node", "a:1", nil, 0, time.Hour, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := idle(t)
			require.False(t, p.Expired(test.identity), "nothing read yet")
			at := time.Now().Add(-test.read)
			p.view.Store(&view{at: at, now: redisNow, calm: at.Add(-test.disturbed), nodes: test.nodes})
			require.Equal(t, test.expired, p.Expired(test.identity))
		})
	}
}

// TestExpiredGoesByOneReading has the node be seen ended while it is asked for.
func TestExpiredGoesByOneReading(t *testing.T) {
	p := idle(t)
	now := time.Now().UnixMilli()
	var views []*view
	for _, nodes := range []map[string]entry{
		{"b:1": {Name: "b", Reg: 1, Beat: now}}, {"b:1": {Name: "b", Reg: 1, Ended: now}},
	} {
		views = append(views, &view{at: time.Now().Add(time.Minute), now: now, nodes: nodes})
	}
	p.view.Store(views[0])
	asked := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-asked:
				return
			default:
				p.view.Store(views[i%2])
			}
		}
	})
	wrong := 0
	for range 1_000_000 {
		if p.Expired("b:1") {
			wrong++
		}
	}
	close(asked)
	reading.Wait()
	require.Zero(t, wrong)
}

// TestAnEndedNodeIsKeptForTheWindow looks at the moment when the entry goes.
func TestAnEndedNodeIsKeptForTheWindow(t *testing.T) {
	s := newScripts(t)
	ctx := t.Context()
	const window = 60_000
	end := func(ago time.Duration, done bool) int64 {
		now := s.c.Time(ctx).Val()
		body, err := json.Marshal(entry{Name: "a", Reg: 1, Ended: now.Add(-ago).UnixMilli(), Done: done})
		require.NoError(t, err)
		require.NoError(t, s.c.HSet(ctx, "nodes", "a", body).Err())
		return s.run(finishScript, []string{"nodes", "node:a", "rooms:a"}, "a", window).(int64)
	}
	for _, done := range []bool{false, true} {
		require.EqualValues(t, 1, end(0, done))
		require.EqualValues(t, 1, end(window*time.Millisecond-10*time.Second, done))
		require.True(t, s.entry().Done)
		require.EqualValues(t, 2, end(window*time.Millisecond+time.Millisecond, done))
		require.Empty(t, s.hash("nodes"))
	}
}

// TestExpiredFollowsTheEnd asks all along from a node's life to when it is forgotten.
func TestExpiredFollowsTheEnd(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	short := func(c *Config, _ *Deps, _ *hooks) { c.Window = 4 * time.Second }
	a, b := startNode(t, srv.Addr(), "a", fast, short), startNode(t, srv.Addr(), "b", fast, short)
	ready(t, a, b)
	id := b.cfg.Node
	require.False(t, a.Expired(id))
	b.stop()
	var ended int64
	eventually(t, "seen ended", func() bool {
		require.False(t, a.Expired(id))
		ended = a.view.Load().nodes[id].Ended
		return ended != 0
	})
	eventually(t, "expired", func() bool {
		expired := a.Expired(id)
		if v := a.view.Load(); expired {
			require.Greater(t, v.now-ended, a.cfg.Window.Milliseconds())
		}
		return expired
	})
	eventually(t, "forgotten", func() bool {
		return a.Expired(id) && !a.client.HExists(t.Context(), a.keys.nodes, id).Val()
	})
	eventually(t, "seen forgotten", func() bool {
		_, known := a.view.Load().nodes[id]
		return !known && a.Expired(id)
	})
	require.False(t, a.Expired(a.cfg.Node))
	require.NoError(t, a.client.FlushAll(t.Context()).Err())
	eventually(t, "the emptying noticed", func() bool { return time.Since(a.view.Load().calm) < a.cfg.ReconnectGrace/2 })
	if v := a.view.Load(); v.at.Sub(v.calm) < a.cfg.ReconnectGrace/2 {
		require.False(t, a.Expired(id))
	}
}
