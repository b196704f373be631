package limits

import (
	"container/heap"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Handshakes is a token bucket for each address. A bucket that has filled up again is forgotten, as it is no different
// from a new one. Where Config.MaxAddresses are not enough, the bucket nearest to full goes first and is counted:
// nobody is refused for want of room, and who is to have an empty bucket forgotten has to keep that many others emptier,
// with as many handshakes as he could have had anyway. It is safe for concurrent use.
type Handshakes struct {
	rate  rate.Limit
	burst int
	most  int
	began time.Time

	mu      sync.Mutex
	buckets map[[16]byte]*bucket // mu
	order   byFull               // mu
	evicted uint64               // mu
}

// bucket belongs to the Handshakes' lock.
type bucket struct {
	limiter *rate.Limiter
	key     [16]byte
	// full is when it will be full again, after Handshakes.began.
	full time.Duration
	// at is its place in the heap.
	at int
}

// NewHandshakes takes the handshakes' part of a valid Config; nil if that has no limit for them.
func NewHandshakes(cfg Config) *Handshakes {
	if cfg.HandshakeRate == 0 {
		return nil
	}
	return &Handshakes{
		rate: rate.Limit(cfg.HandshakeRate), burst: cfg.HandshakeBurst, most: cfg.MaxAddresses, began: time.Now(),
		buckets: make(map[[16]byte]*bucket),
	}
}

// Allow takes a handshake of addr's, which Group has passed; if there is none left it takes nothing, and returns how
// long it will be until there is. nil allows everything.
func (h *Handshakes) Allow(addr netip.Addr) (retryAfter time.Duration, ok bool) {
	if h == nil {
		return 0, true
	}
	now := time.Now()
	since := now.Sub(h.began)
	key := addr.As16()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forgetFull(since)
	b := h.buckets[key]
	if b == nil {
		b = h.add(key, since)
	}
	if !b.limiter.AllowN(now, 1) {
		return h.fillTime(1 - b.limiter.TokensAt(now)), false
	}
	b.full = since + h.fillTime(float64(h.burst)-b.limiter.TokensAt(now))
	heap.Fix(&h.order, b.at)
	return 0, true
}

// fillTime is how long that many tokens take to come, at most a year.
func (h *Handshakes) fillTime(tokens float64) time.Duration {
	const year = 365 * 24 * time.Hour
	return time.Duration(min(tokens/float64(h.rate)*float64(time.Second), float64(year)))
}

// forgetFull drops full buckets, two for each call, which can add one. For holders of mu.
func (h *Handshakes) forgetFull(since time.Duration) {
	for range 2 {
		if len(h.order) == 0 || h.order[0].full > since {
			return
		}
		h.forget()
	}
}

// forget drops the bucket nearest to full. For holders of mu.
func (h *Handshakes) forget() {
	b, _ := heap.Pop(&h.order).(*bucket)
	delete(h.buckets, b.key)
}

// add makes a full bucket. For holders of mu.
func (h *Handshakes) add(key [16]byte, since time.Duration) *bucket {
	if len(h.order) >= h.most {
		h.forget()
		h.evicted++
	}
	b := &bucket{limiter: rate.NewLimiter(h.rate, h.burst), key: key, full: since}
	h.buckets[key] = b
	heap.Push(&h.order, b)
	return b
}

// figures returns how many addresses are told apart now, and how many had to be forgotten too early.
func (h *Handshakes) figures() (addresses int, evicted uint64) {
	if h == nil {
		return 0, 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.order), h.evicted
}

// byFull is a heap of buckets, with the one nearest to full on top.
type byFull []*bucket //nolint:recvcheck // heap.Interface needs pointers for two of them

var _ heap.Interface = (*byFull)(nil)

func (f byFull) Len() int           { return len(f) }
func (f byFull) Less(i, j int) bool { return f[i].full < f[j].full }
func (f byFull) Swap(i, j int) {
	f[i], f[j] = f[j], f[i]
	f[i].at, f[j].at = i, j
}

// Push implements heap.Interface.
func (f *byFull) Push(x any) {
	b, _ := x.(*bucket)
	b.at = len(*f)
	*f = append(*f, b)
}

// Pop implements heap.Interface.
func (f *byFull) Pop() any {
	last := len(*f) - 1
	b := (*f)[last]
	(*f)[last] = nil
	*f = (*f)[:last]
	return b
}
