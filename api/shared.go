package api

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// shared makes one reading answer everybody who asks while it runs and for a short time after, so that hammering an
// endpoint costs what one reading per keep costs. Safe for concurrent use; it owns no goroutine: the first who asks reads.
type shared[T any] struct {
	read    func(context.Context) (T, error)
	timeout time.Duration // of one reading, and of waiting for somebody else's
	keep    time.Duration // from a reading's start

	mu      sync.Mutex
	current *reading[T] // guarded by mu
}

type reading[T any] struct {
	started time.Time
	done    chan struct{}
	value   T     // written before done closes
	err     error // the same
}

func (s *shared[T]) get(ctx context.Context) (T, error) {
	s.mu.Lock()
	r := s.current
	if r == nil || (r.ended() && time.Since(r.started) >= s.keep) {
		r = &reading[T]{started: time.Now(), done: make(chan struct{})}
		s.current = r
		s.mu.Unlock()
		s.lead(ctx, r)
		return r.value, r.err
	}
	s.mu.Unlock()
	return s.follow(ctx, r)
}

// lead reads for all; the reader's own request ending must not spoil it for the others.
func (s *shared[T]) lead(ctx context.Context, r *reading[T]) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	defer close(r.done)
	defer func() {
		if p := recover(); p != nil {
			r.err = fmt.Errorf("panic: %v", p)
		}
	}()
	r.value, r.err = s.read(ctx)
}

func (s *shared[T]) follow(ctx context.Context, r *reading[T]) (T, error) {
	if !r.ended() {
		ctx, cancel := context.WithTimeout(ctx, s.timeout)
		defer cancel()
		select {
		case <-r.done:
		case <-ctx.Done():
			var none T
			return none, fmt.Errorf("waiting for a reading: %w", ctx.Err())
		}
	}
	return r.value, r.err
}

func (r *reading[T]) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}
