package streams

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// BenchmarkConsumers measures how many events a second three consumers move through one Redis.
func BenchmarkConsumers(b *testing.B) {
	r := newRig(b)
	r.group()
	data := fmt.Sprintf(`{"solicitud_id":"%s"}`, strings.Repeat("x", 200))
	for left := b.N; left > 0; {
		pipe := r.rdb.Pipeline()
		count := min(left, 1000)
		for range count {
			pipe.XAdd(b.Context(), &redis.XAddArgs{Stream: r.keys.events, Values: rigEvent(data)})
		}
		_, err := pipe.Exec(b.Context())
		require.NoError(b, err)
		left -= count
	}
	b.ReportAllocs()
	b.ResetTimer()
	production := func(c *Config, _ *Deps) {
		c.Batch, c.MinIdle, c.ReclaimEvery, c.TrimEvery = 256, 2*time.Second, 500*time.Millisecond, 5*time.Second
		c.LogMaxEntries = 10_000_000
	}
	nodes := []*rigNode{r.start("a:1", production), r.start("b:1", production), r.start("c:1", production)}
	deadline := time.Now().Add(2 * time.Minute)
	for rigEach(nodes, func(s Stats) uint64 { return s.Relayed }) < uint64(b.N) {
		if time.Now().After(deadline) {
			b.Fatal("not relayed in time")
		}
		time.Sleep(time.Millisecond) // the measured work runs elsewhere
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
