package limits

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// host is the nth of many addresses.
func host(n int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 0x0a000000+uint32(n))
	return netip.AddrFrom4(b)
}

func handshakes(change func(*Config)) *Handshakes {
	cfg := DefaultConfig()
	cfg.HandshakeRate, cfg.HandshakeBurst, cfg.MaxAddresses = 10, 20, 100
	if change != nil {
		change(&cfg)
	}
	return NewHandshakes(cfg)
}

// take counts how many of n handshakes of addr are allowed.
func take(h *Handshakes, addr netip.Addr, n int) int {
	taken := 0
	for range n {
		if _, ok := h.Allow(addr); ok {
			taken++
		}
	}
	return taken
}

func TestHandshakesSustainedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := handshakes(nil)
		require.Equal(t, 20, take(h, host(1), 100), "the burst")
		retryAfter, ok := h.Allow(host(1))
		require.False(t, ok)
		require.Equal(t, 100*time.Millisecond, retryAfter.Round(time.Millisecond))
		time.Sleep(retryAfter)
		require.Equal(t, 1, take(h, host(1), 5), "what Retry-After promised")
		taken := 0
		for range 10_000 { // 100 s of 100 a second
			time.Sleep(10 * time.Millisecond)
			taken += take(h, host(1), 1)
		}
		require.InDelta(t, 1000, taken, 2)
		require.Equal(t, 20, take(h, host(2), 100), "another address has its own")
	})
}

func TestHandshakesForgetsFullBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := handshakes(nil)
		for n := range 50 {
			take(h, host(n), 20)
		}
		addresses, _ := h.figures()
		require.Equal(t, 50, addresses)
		time.Sleep(1900 * time.Millisecond)
		take(h, host(99), 1)
		addresses, _ = h.figures()
		require.Equal(t, 51, addresses, "none is full yet")
		time.Sleep(time.Second)
		for range 60 {
			take(h, host(99), 1)
		}
		addresses, evicted := h.figures()
		require.Equal(t, 1, addresses)
		require.Zero(t, evicted, "none was forgotten too early")
	})
}

// An attacker with any number of addresses neither gets an empty bucket forgotten nor keeps others out.
func TestHandshakesWithMoreAddressesThanRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := handshakes(nil)
		empty := host(1_000_000)
		require.Equal(t, 20, take(h, empty, 30))
		for n := range 10_000 {
			require.Equal(t, 3, take(h, host(n), 3), "there is always room for another")
		}
		addresses, evicted := h.figures()
		require.Equal(t, 100, addresses)
		require.EqualValues(t, 9901, evicted)
		require.Zero(t, take(h, empty, 1), "the emptiest bucket is forgotten last")
		require.Len(t, h.buckets, 100)
	})
}

func TestHandshakesSlowRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := handshakes(func(c *Config) { c.HandshakeRate, c.HandshakeBurst = 1e-12, 1 })
		require.Equal(t, 1, take(h, host(1), 3))
		retryAfter, _ := h.Allow(host(1))
		require.Positive(t, retryAfter)
		var nothing *Handshakes
		require.Equal(t, 3, take(nothing, host(1), 3))
		require.Nil(t, handshakes(func(c *Config) { c.HandshakeRate = 0 }))
	})
}

func TestHandshakesAtOnce(t *testing.T) {
	h := handshakes(func(c *Config) { c.HandshakeRate, c.MaxAddresses = 1e-6, 8 })
	var all sync.WaitGroup
	var taken atomic.Int64
	for n := range 8 {
		all.Go(func() {
			for range 100 {
				taken.Add(int64(take(h, host(0), 1)))
				take(h, host(n), 1)
			}
		})
	}
	all.Wait()
	require.LessOrEqual(t, taken.Load(), int64(20))
	addresses, _ := h.figures()
	require.Equal(t, 8, addresses)
	for i, b := range h.order {
		require.Equal(t, i, b.at)
		require.Same(t, b, h.buckets[b.key])
		if i > 0 {
			require.GreaterOrEqual(t, b.full, h.order[(i-1)/2].full)
		}
	}
}

// BenchmarkAddresses says what an address takes while it is told apart.
func BenchmarkAddresses(b *testing.B) {
	for b.Loop() {
		h := handshakes(func(c *Config) { c.MaxAddresses = 100_000; c.HandshakeRate = 0.001 })
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for n := range 100_000 {
			h.Allow(host(n))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/100_000, "B/address")
		runtime.KeepAlive(h)
	}
}

// BenchmarkFullTable is the worst case: each handshake is another address', and another has to be forgotten for it.
func BenchmarkFullTable(b *testing.B) {
	h := handshakes(func(c *Config) { c.MaxAddresses = 100_000; c.HandshakeRate = 0.001 })
	n := 0
	for ; n < 100_000; n++ {
		h.Allow(host(n))
	}
	for b.Loop() {
		n++
		h.Allow(host(n))
	}
}
