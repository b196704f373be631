package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// KeyCheck tells who has the operators' key, and ends the guessing of who has not, in bounded memory. Safe for
// concurrent use.
type KeyCheck struct {
	key   [sha256.Size]byte // the key's hash
	limit rate.Limit
	burst int
	now   func() time.Time

	mu   sync.Mutex
	seen *simplelru.LRU[netip.Prefix, *rate.Limiter] // guarded by mu; only addresses that have sent a wrong key
}

// NewKeyCheck lets an address (of IPv6, a /64) send perMinute wrong keys a minute, and watches that many addresses, the
// one longest silent being forgotten first; both are at least 1.
func NewKeyCheck(key string, perMinute, addresses int) *KeyCheck {
	seen, err := simplelru.NewLRU[netip.Prefix, *rate.Limiter](addresses, nil)
	if err != nil {
		panic(err) // a size below 1
	}
	return &KeyCheck{
		key: sha256.Sum256([]byte(key)), limit: rate.Limit(perMinute) / 60, burst: perMinute, now: time.Now, seen: seen,
	}
}

// Check tells whether addr came with the right key. If addr has sent too many wrong ones, wait is how long nothing of it
// counts, the right key included: else its guesses would go on. Hashes are compared, so that the time it takes tells
// nothing of the key, its length included.
func (k *KeyCheck) Check(addr netip.Addr, key string) (right bool, wait time.Duration) {
	hash := sha256.Sum256([]byte(key))
	right = subtle.ConstantTimeCompare(hash[:], k.key[:]) == 1
	k.mu.Lock()
	defer k.mu.Unlock()
	network, now := networkOf(addr), k.now()
	bucket, ok := k.seen.Get(network)
	if ok {
		if left := bucket.TokensAt(now); left < 1 {
			return false, time.Duration((1 - left) / float64(k.limit) * float64(time.Second))
		}
	}
	if right {
		return true, 0
	}
	if !ok {
		bucket = rate.NewLimiter(k.limit, k.burst)
		k.seen.Add(network, bucket)
	}
	bucket.AllowN(now, 1)
	return false, 0
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
