package adapter

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	backoffMin = 50 * time.Millisecond
	backoffMax = 2 * time.Second
	warnEvery  = 5 * time.Second
	taskPoll   = 5 * time.Millisecond
)

// backoff paces retries of idempotent operations. It belongs to one goroutine.
type backoff struct{ next time.Duration }

// wait sleeps longer with every call, with jitter, or until ctx ends.
func (b *backoff) wait(ctx context.Context) {
	b.next = min(max(b.next*2, backoffMin), backoffMax)
	pause(ctx, b.next/2+rand.N(b.next/2)) //nolint:gosec // jitter needs no cryptographic randomness
}

func (b *backoff) reset() { b.next = 0 }

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// throttle lets one warning of a kind through every few seconds and counts the others.
type throttle struct {
	mu    sync.Mutex
	kinds map[string]*throttled // mu; the kinds are constants of this package
}

type throttled struct {
	last    time.Time
	skipped int
}

func (t *throttle) allow(kind string) (skipped int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kinds == nil {
		t.kinds = make(map[string]*throttled)
	}
	k := t.kinds[kind]
	if k == nil {
		k = &throttled{}
		t.kinds[kind] = k
	}
	if time.Since(k.last) < warnEvery {
		k.skipped++
		return 0, false
	}
	skipped = k.skipped
	k.last, k.skipped = time.Now(), 0
	return skipped, true
}

// tasks counts the short goroutines that write to a socket or call an application's callback. Run waits for them, but
// not for ever: the library underneath can hold one.
type tasks struct{ running atomic.Int64 }

func (t *tasks) spawn(fn func()) {
	t.running.Add(1)
	go func() {
		defer t.running.Add(-1)
		fn()
	}()
}

// wait returns how many are still running after at most limit.
func (t *tasks) wait(limit time.Duration) int64 {
	deadline := time.Now().Add(limit)
	for {
		left := t.running.Load()
		if left == 0 || time.Now().After(deadline) {
			return left
		}
		time.Sleep(taskPoll)
	}
}
