package engine

import (
	"io"
	"runtime"
	"strings"
	"testing"
)

// BenchmarkFanOut sends one message to 1,000 clients over loopback. Its allocations are those of the whole process,
// so that what the writers do counts, too.
func BenchmarkFanOut(b *testing.B) {
	const clients = 1000
	r := newRig(b, func(c *Config) { c.Writers = runtime.GOMAXPROCS(0) }, nil)
	sessions := make([]*Session, clients)
	for i := range sessions {
		c, s := r.dial()
		sessions[i] = s
		go func() { _, _ = io.Copy(io.Discard, c.from) }()
	}
	frames := message(strings.Repeat("x", 200))
	gone := func() (frames uint64) {
		for _, w := range r.server.writers {
			frames += w.sent.frames.Load()
		}
		return frames
	}
	round := func() {
		want := gone() + clients
		for _, s := range sessions {
			s.WriteFrames(frames, false, false)
		}
		for gone() < want {
			runtime.Gosched()
		}
	}
	r.eventually(func() bool { return gone() == clients }, "the handshakes")
	round() // queues have their memory
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		round()
	}
	b.StopTimer()
	runtime.ReadMemStats(&after)
	deliveries := float64(b.N) * clients
	b.ReportMetric(b.Elapsed().Seconds()*1e9/deliveries, "ns/delivery")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/deliveries, "allocs/delivery")
	b.ReportMetric(deliveries/b.Elapsed().Seconds(), "deliveries/s")
}
