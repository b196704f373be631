package adapter

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/api/metrics"
)

// observedSink is a connection whose frames have been written when it is asked.
type observedSink struct {
	mu      sync.Mutex
	taken   uint64 // mu
	written func(int64)
}

func (s *observedSink) WriteFrames([][]byte, bool, bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken++
	return true
}

func (s *observedSink) NoteWritten(mark int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written(mark)
}

// BenchmarkObserved is what an entry of the log costs a node from Redis' reply to the connections, of which none writes,
// with and without the observers of latency, in turns. It reports how much more one costs with them, in percent.
func BenchmarkObserved(b *testing.B) {
	for _, receivers := range []int{1, 10, 1000} {
		b.Run(fmt.Sprint(receivers, " receivers"), func(b *testing.B) { benchmarkObserved(b, receivers) })
	}
}

func benchmarkObserved(b *testing.B, receivers int) {
	registry, began := metrics.New(), time.Now()
	handed := metrics.NewDuration(registry, "teloo_a_seconds", "A")
	written := metrics.NewDuration(registry, "teloo_b_seconds", "B")
	var now time.Duration
	observe := func(ms, _ uint64, soon bool) {
		if !soon {
			now = time.Since(began)
		}
		handed.ObserveOf(now, now-time.Duration(ms), "event", func() string { return "7-1" })
	}
	note := func(ms int64) { written.Observe(time.Since(began) - time.Duration(ms)) }

	cfg := testConfig("a:1")
	cfg.RingMaxEntries = 10_000
	clients := redisClients(b, "127.0.0.1:1")
	c, err := New(cfg, Deps{Redis: clients.redis, Blocking: clients.blocking})
	require.NoError(b, err)
	a := bareAdapter()
	a.c, c.nsps["/"] = c, a
	const rooms = 100
	var entries []*rawEntry
	for room := range rooms {
		name := fmt.Sprint("user_", room)
		for i := range receivers {
			a.attach(fmt.Sprint("s", room, "-", i), &observedSink{written: note}, socket.Room(name))
		}
		fields, err := EncodeBroadcast("n:1", Broadcast{Event: "notificacion_nueva", Rooms: []string{name}, Args: raw(payload)})
		require.NoError(b, err)
		entries = append(entries, rawOf(fieldMap(fields)))
	}
	r, id := newReader(c), streamID{ms: 1}
	turn := func(n int) time.Duration {
		start := time.Now()
		c.untimed = -1
		for i := range n {
			id.seq++
			e := entries[i%rooms]
			e.id, e.from, e.sourced = id, id.String(), true
			r.handle(e)
		}
		return time.Since(start)
	}
	each := max(20_000/receivers, 50)
	turn(each)
	var without, with []time.Duration
	for b.Loop() {
		c.delivered = nil
		without = append(without, turn(each))
		c.delivered = observe
		with = append(with, turn(each))
	}
	// The fastest turns are those that nothing else has disturbed.
	b.ReportMetric(100*(float64(slices.Min(with))/float64(slices.Min(without))-1), "%more")
	require.Positive(b, written.Snapshot().Count)
}
