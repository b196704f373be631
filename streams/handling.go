package streams

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// handling is a group of deliveries that one loop handles, one after the other. Until they are in the backlog they are
// renewed from here.
type handling struct {
	ids   []string
	step  atomic.Int64  // 2n before delivery n is handled, 2n+1 meanwhile
	stuck chan struct{} // closed by the renew loop when the handler hangs; then the whole group is given up

	// Owned by the renew loop.
	looked bool
	seen   int64     // step at the last look
	since  time.Time // when that was first seen
}

func (h *handling) givenUp() bool {
	select {
	case <-h.stuck:
		return true
	default:
		return false
	}
}

// inTime calls f, which calls the handler for h's deliveries, on a goroutine of its own: a handler that hangs must cost
// that goroutine alone. ok is false when h was given up first; what f returns later is dropped.
func inTime[T any](h *handling, f func() T) (result T, ok bool) {
	done := make(chan T, 1)
	go func() { done <- f() }()
	select {
	case result = <-done:
		return result, true
	case <-h.stuck:
		return result, false
	}
}

// handlings are those in progress.
type handlings struct {
	mu  sync.Mutex
	all []*handling // guarded by mu
}

// begin notes that deliveries are about to be handled, in this order.
func (h *handlings) begin(got []delivery) *handling {
	one := &handling{ids: make([]string, len(got)), stuck: make(chan struct{})}
	for i, d := range got {
		one.ids[i] = d.id
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, one)
	return one
}

// end notes that all of them are in the backlog or given up.
func (h *handlings) end(one *handling) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = slices.DeleteFunc(h.all, func(o *handling) bool { return o == one })
}

func (h *handlings) list() []*handling {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.all)
}

// renewLoop renews what is being handled until producersDone is closed. When ctx ends sooner it renews no more and gives
// up whatever hangs.
func (c *Consumer) renewLoop(ctx context.Context, producersDone <-chan struct{}) {
	ticker := time.NewTicker(c.cfg.MinIdle / 4)
	defer ticker.Stop()
	for {
		select {
		case <-producersDone:
			return
		case now := <-ticker.C:
			patience := c.cfg.HandleTimeout
			if ctx.Err() != nil {
				patience = 0
			}
			for _, h := range c.handlings.list() {
				if c.alive(h, now, patience) && ctx.Err() == nil {
					c.renewHandling(ctx, h)
				}
			}
		}
	}
}

// alive tells whether h is to be renewed: it was in progress at the last look, and its handler does not hang.
func (c *Consumer) alive(h *handling, now time.Time, patience time.Duration) bool {
	step := h.step.Load()
	first := !h.looked
	switch inHandler := step%2 == 1; {
	case h.givenUp():
		return false
	case first || step != h.seen:
		h.looked, h.seen, h.since = true, step, now
		return !first
	case !inHandler || now.Sub(h.since) < patience:
		return true
	}
	c.stats.stuck.Add(1)
	c.log.Warn("the handler does not return; its entries are given up to be reclaimed",
		"id", h.ids[step/2], "entries", len(h.ids), "patience", patience)
	close(h.stuck)
	return false
}

func (c *Consumer) renewHandling(ctx context.Context, h *handling) {
	for ids := range slices.Chunk(h.ids, maxRenewals) {
		gone, err := c.renew(ctx, ids)
		if err != nil {
			return // counted; the next look tries again
		}
		// Those that are in the backlog by now, or settled, are no fault.
		c.stats.renewed.Add(uint64(len(ids) - len(gone)))
	}
}

// maxRenewals keeps one renewal short for Redis.
const maxRenewals = 512

// renew begins the idle time of entries again and returns the ids that are not this consumer's any more.
func (c *Consumer) renew(ctx context.Context, ids []string) (gone []string, err error) {
	args := make([]any, 0, 2+len(ids))
	args = append(args, c.cfg.Group, c.cfg.Consumer)
	for _, id := range ids {
		args = append(args, id)
	}
	gone, err = renewScript.Run(ctx, c.rdb, []string{c.keys.events}, args...).StringSlice()
	if err != nil {
		c.stats.redisErrors.Add(1)
	}
	return gone, err
}
