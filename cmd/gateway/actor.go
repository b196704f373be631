package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// actor is a part that runs on a goroutine of its own until it is stopped.
type actor struct {
	name   string
	cancel context.CancelFunc
	// done is closed when run has returned; err is set before.
	done chan struct{}
	err  error
}

// start runs run under a context of its own, so that parts end in the order of their stop calls and not all at once
// with the process' context. When run ends without having been stopped, failed is called with the reason.
func start(name string, run func(context.Context) error, failed context.CancelCauseFunc) *actor {
	ctx, cancel := context.WithCancel(context.Background())
	a := &actor{name: name, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.err = run(ctx)
		if ctx.Err() == nil {
			failed(fmt.Errorf("%s ended by itself: %w", name, errors.Join(a.err, errEndedEarly)))
		}
	}()
	return a
}

var errEndedEarly = errors.New("it was not asked to")

// stop ends the actor and waits for it until ctx ends.
func (a *actor) stop(ctx context.Context, log *slog.Logger) {
	a.cancel()
	began := time.Now()
	select {
	case <-a.done:
		if a.err != nil && !errors.Is(a.err, context.Canceled) {
			log.Warn("part stopped with an error", "part", a.name, "err", a.err)
			return
		}
		log.Debug("part stopped", "part", a.name, "took", time.Since(began))
	case <-ctx.Done():
		log.Error("part did not stop in time", "part", a.name, "took", time.Since(began))
	}
}
