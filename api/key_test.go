package api

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func newTestCheck(perMinute, addresses int) *KeyCheck {
	return NewKeyCheck("right", perMinute, addresses)
}

// try brings the right key or a wrong one, and returns how long nothing of addr counts.
func try(k *KeyCheck, addr netip.Addr, right bool) time.Duration {
	key := "wrong"
	if right {
		key = "right"
	}
	_, wait := k.Check(addr, key)
	return wait
}

func TestOnlyTheKeyIsRight(t *testing.T) {
	k := NewKeyCheck("right", 10, 16)
	for key, want := range map[string]bool{"right": true, "": false, "righ": false, "rightt": false, "Right": false} {
		right, wait := k.Check(netip.MustParseAddr("192.0.2.1"), key)
		require.Equal(t, want, right, key)
		require.Zero(t, wait)
	}
}

func TestFailuresWearOff(t *testing.T) {
	f := newTestCheck(6, 16)
	now := time.Unix(1e9, 0)
	f.now = func() time.Time { return now }
	addr := netip.MustParseAddr("192.0.2.1")
	for range 6 {
		require.Zero(t, try(f, addr, false))
	}
	require.Equal(t, 10*time.Second, try(f, addr, true))
	now = now.Add(9 * time.Second)
	require.InDelta(t, float64(time.Second), float64(try(f, addr, true)), float64(time.Millisecond))
	now = now.Add(time.Second + time.Millisecond)
	require.Zero(t, try(f, addr, true))
	require.Zero(t, try(f, addr, true), "a right key costs nothing")
	require.Zero(t, try(f, addr, false))
	require.NotZero(t, try(f, addr, false))
}

func TestFailuresRememberABoundedNumberOfNetworks(t *testing.T) {
	f := newTestCheck(1, 16)
	for range 3 {
		require.Zero(t, try(f, netip.MustParseAddr("192.0.2.9"), true))
	}
	require.Zero(t, f.seen.Len(), "a right key is nothing to remember")
	for i := range 1000 {
		require.Zero(t, try(f, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), false))
		require.Zero(t, try(f, netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)}), true))
	}
	require.Equal(t, 16, f.seen.Len())

	for _, same := range [][2]string{
		{"2001:db8::1", "2001:db8::ffff:0:0:1"}, {"::ffff:192.0.2.1", "192.0.2.1"}, {"fe80::1%eth0", "fe80::2%eth1"},
	} {
		require.Zero(t, try(f, netip.MustParseAddr(same[0]), false))
		require.NotZero(t, try(f, netip.MustParseAddr(same[1]), true), same)
	}
	require.Zero(t, try(f, netip.MustParseAddr("2001:db8:0:1::1"), true))
	require.Zero(t, try(f, netip.Addr{}, false))
	require.NotZero(t, try(f, netip.Addr{}, true), "those without an address count as one")
}

// TestFailuresAtOnce: as many guesses as are allowed, however many come at the same time.
func TestFailuresAtOnce(t *testing.T) {
	f := newTestCheck(5, 16)
	now := time.Now()
	f.now = func() time.Time { return now }
	var wg sync.WaitGroup
	var mu sync.Mutex
	counted := 0
	for range 100 {
		wg.Go(func() {
			if try(f, netip.MustParseAddr("192.0.2.1"), false) == 0 {
				mu.Lock()
				counted++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Equal(t, 5, counted)
}
