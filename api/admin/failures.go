package admin

import (
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// failures counts the wrong keys of each address, in bounded memory. Safe for concurrent use.
type failures struct {
	limit rate.Limit
	burst int
	now   func() time.Time

	mu   sync.Mutex
	seen *simplelru.LRU[netip.Prefix, *rate.Limiter] // guarded by mu; only addresses that have sent a wrong key
}

func newFailures(perMinute, addresses int) *failures {
	seen, err := simplelru.NewLRU[netip.Prefix, *rate.Limiter](addresses, nil)
	if err != nil {
		panic(err) // a size below 1, which Config.Validate excludes
	}
	return &failures{limit: rate.Limit(perMinute) / 60, burst: perMinute, now: time.Now, seen: seen}
}

// try notes whether addr came with the right key. If addr has sent too many wrong ones, wait is how long nothing of it
// counts, the right key included: else its guesses would go on.
func (f *failures) try(addr netip.Addr, right bool) (wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	network, now := networkOf(addr), f.now()
	bucket, ok := f.seen.Get(network)
	if ok {
		if left := bucket.TokensAt(now); left < 1 {
			return time.Duration((1 - left) / float64(f.limit) * float64(time.Second))
		}
	}
	if right {
		return 0
	}
	if !ok {
		bucket = rate.NewLimiter(f.limit, f.burst)
		f.seen.Add(network, bucket)
	}
	bucket.AllowN(now, 1)
	return 0
}

// networkOf is what counts as one address: of IPv6 a /64, in which anybody has as many addresses as they like.
func networkOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap()
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	network, _ := addr.Prefix(bits) // without a zone; of no address, the zero Prefix
	return network
}
