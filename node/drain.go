package node

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// fewestDrained is how many connections a second are closed at least, so that a node with few need not take long.
	fewestDrained = 20
	// drainTold is how often the log tells how far draining has come.
	drainTold = 5 * time.Second
)

// Drain takes no new sessions and closes the connections one by one, spread over nine tenths of Config.DrainWindow, or
// less if they are few: their clients reconnect elsewhere as steadily. It returns when all are gone, or with an error when
// ctx or the window ends first. A second call goes on where the first was, once that has returned.
func (n *Node) Drain(ctx context.Context) error {
	n.draining.Store(true)
	select {
	case n.drainTurn <- struct{}{}:
		defer func() { <-n.drainTurn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, n.cfg.DrainWindow)
	defer cancel()
	began := time.Now()
	sockets := n.sockets()
	n.log.Info("draining", "sockets", len(sockets), "window", n.cfg.DrainWindow)
	told := began
	spread(ctx, len(sockets), drainTime(len(sockets), n.cfg.DrainWindow), func(i int) {
		if transportOpen(sockets[i]) { // else its client has left by itself
			n.drained.Add(1)
		}
		n.sendAway(sockets[i])
		if time.Since(told) >= drainTold {
			told = time.Now()
			n.log.Info("still draining", "asked", i+1, "of", len(sockets), "left", n.seats.Load())
		}
	})
	if err := n.awaitEmpty(ctx); err != nil {
		return err
	}
	n.log.Info("drained", "sockets", len(sockets), "took", time.Since(began))
	return nil
}

// awaitEmpty waits until no socket is left, and closes those that were being admitted when draining began.
func (n *Node) awaitEmpty(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n.seats.Load() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			for _, s := range n.sockets() {
				n.sendAway(s)
			}
		}
	}
	return nil
}

// drainTime is how long closing the connections is spread over: the rest of the window is for the last ones to end.
func drainTime(connections int, window time.Duration) time.Duration {
	return min(window*9/10, time.Duration(connections)*time.Second/fewestDrained)
}

// spread calls do with 0 to count-1, each at a random moment of its own share of the time given, and returns when it has
// or ctx has ended.
func spread(ctx context.Context, count int, over time.Duration, do func(i int)) {
	began := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range count {
		at := time.Duration((float64(i) + rand.Float64()) / float64(count) * float64(over)) //nolint:gosec // nobody gains by guessing it
		timer.Reset(max(at-time.Since(began), 0))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		do(i)
	}
}
