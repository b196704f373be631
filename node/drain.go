package node

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"
)

const (
	// drainSteps is into how many steps, each at a random moment of its part of the window, a drain is divided.
	drainSteps = 200
	// drainReport is how often a drain says how far it is.
	drainReport = 5 * time.Second
	// drainAfter is how long Drain waits, after the window, for the last sockets to have gone.
	drainAfter = 2 * time.Second
	// drainLook is how often Drain looks whether they have.
	drainLook = 20 * time.Millisecond
)

// drain is the state of a node's drain, of which there is one.
type drain struct {
	// turn is held by the call of Drain that closes sockets: two at once would close at twice the rate.
	turn chan struct{}
	// begun is when the first call came, in ns of the clock; 0: none did.
	begun atomic.Int64
}

// DrainStats says how far a drain is.
type DrainStats struct {
	// Draining: no new sessions are taken.
	Draining bool
	// Left counts the sockets that are still to go; 0 unless draining.
	Left int64
}

// DrainStats returns the current figures.
func (n *Node) DrainStats() DrainStats {
	if !n.draining.Load() {
		return DrainStats{}
	}
	return DrainStats{Draining: true, Left: n.seats.Load()}
}

// Drain takes no new sessions and closes the sockets in jittered steps spread over Config.DrainWindow, so that their
// clients, which come back by themselves after the close, reach the other nodes at an even rate. It returns when all
// are gone, or with an error when ctx ends or they have not gone 2 s after the window. A second call waits for the
// first, and goes on with what is left of its window if that was given up.
func (n *Node) Drain(ctx context.Context) error {
	n.drain.begun.CompareAndSwap(0, time.Now().UnixNano())
	n.draining.Store(true)
	select {
	case n.drain.turn <- struct{}{}:
		defer func() { <-n.drain.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	begun := time.Unix(0, n.drain.begun.Load())
	window := max(n.cfg.DrainWindow-time.Since(begun), 0)
	ctx, cancel := context.WithTimeout(ctx, window+drainAfter)
	defer cancel()
	sockets := n.sockets()
	n.log.Info("drain began", "sockets", len(sockets), "window", window)
	n.closeInSteps(ctx, window, sockets)
	err := n.awaitSeats(ctx)
	n.log.Info("drain ended", "took", time.Since(begun), "closed", len(sockets), "left", n.seats.Load())
	return err
}

// closeInSteps sends sockets away over the window, in random order, and says now and then how far it is.
func (n *Node) closeInSteps(ctx context.Context, window time.Duration, sockets []*socket.Socket) {
	rand.Shuffle(len(sockets), func(i, j int) { sockets[i], sockets[j] = sockets[j], sockets[i] })
	reported := time.Now()
	pace(ctx, window, len(sockets), func(i int) {
		n.sendAway(sockets[i])
		if now := time.Now(); now.Sub(reported) >= drainReport {
			reported = now
			n.log.Info("drain goes on", "closed", i+1, "left", len(sockets)-i-1)
		}
	})
}

// awaitSeats waits until nobody is connected. Those who were being admitted when the drain began are sent away, too.
func (n *Node) awaitSeats(ctx context.Context) error {
	tick := time.NewTicker(drainLook)
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

// pace calls do for 0 to count-1, the first at once and the others evenly over the window but for the jitter of the
// steps. It returns after the last, or when ctx has ended.
func pace(ctx context.Context, window time.Duration, count int, do func(i int)) {
	if count == 0 {
		return
	}
	began := time.Now()
	step := window / drainSteps
	timer := time.NewTimer(0)
	defer timer.Stop()
	for done, at := 0, 0; done < count; at++ {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		for ; done < due(time.Since(began), window, count); done++ {
			do(done)
		}
		next := time.Duration(at)*step + rand.N(step+1) //nolint:gosec // not a secret
		timer.Reset(max(next-time.Since(began), 0))
	}
}

// due is how many of count have their turn after so long; at least one.
func due(after, window time.Duration, count int) int {
	if after >= window {
		return count
	}
	return min(int(float64(count)*float64(after)/float64(window))+1, count)
}
