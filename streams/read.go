package streams

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/redis/go-redis/v9"
)

// readLoop reads new entries, handles them and adds them to the backlog, while that is short.
func (c *Consumer) readLoop(ctx context.Context) {
	defer c.reader.close()
	fault := faultPause()
	ready := false // the group was seen
	for ctx.Err() == nil {
		err := c.readOnce(ctx, &ready)
		if err == nil {
			fault.reset()
			continue
		}
		if !fault.wait(ctx) {
			break
		}
	}
	if c.suspect {
		// The last read may have brought entries that nobody saw: they are finished here rather than left to others.
		_ = c.recoverOwn(ctx)
	}
}

func (c *Consumer) readOnce(ctx context.Context, ready *bool) error {
	// Once begun, a read is heard out, since its entries are pending on this consumer.
	hold := context.WithoutCancel(ctx)
	var err error
	switch {
	case !*ready:
		if err = c.ensureGroup(hold); err == nil {
			*ready = true
		}
	case c.suspect:
		if err = c.recoverOwn(ctx); err == nil {
			c.suspect = false
		}
	case !c.waitForRoom(ctx):
		return nil
	default:
		var got []delivery
		got, err = c.read(hold)
		c.stats.read.Add(uint64(len(got)))
		if len(got) > 0 {
			c.takeNew(got)
		}
		c.suspect = err != nil && !isRefusal(err)
	}
	if isNoGroup(err) {
		*ready = false
	}
	c.healthy(&c.readOK, "read", err)
	return err
}

// waitForRoom waits until the backlog is short enough to read more; false means that ctx has ended.
func (c *Consumer) waitForRoom(ctx context.Context) bool {
	for {
		if held, bytes := c.backlog.size(); held <= c.cfg.Batch/2 && bytes <= 4*c.cfg.BatchBytes {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-c.backlog.removed:
		}
	}
}

// read makes one XREADGROUP. It is built by hand since the typed one puts an entry's fields into a map, where their
// order and repetitions are lost.
func (c *Consumer) read(ctx context.Context) ([]delivery, error) {
	cmd := redis.NewCmd(ctx, "xreadgroup", "group", c.cfg.Group, c.cfg.Consumer, "count", c.cfg.Batch,
		"block", c.block.Milliseconds(), "streams", c.keys.events, ">")
	cmd.SetFirstKeyPos(9)
	err := c.reader.process(ctx, cmd)
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeRead(cmd.Val())
}

// takeNew handles entries that were read.
func (c *Consumer) takeNew(got []delivery) {
	h := c.handlings.begin(got)
	defer c.handlings.end(h)
	if entries, ok := inTime(h, func() []*entry { return c.handleAll(got, h) }); ok {
		c.backlog.add(entries)
	}
}

// handleAll handles deliveries that share their fate if one kills the process.
func (c *Consumer) handleAll(got []delivery, h *handling) []*entry {
	entries := make([]*entry, 0, len(got))
	for _, d := range got {
		if h.givenUp() {
			break
		}
		h.step.Add(1)
		entries = append(entries, c.handleOne(d, false))
		h.step.Add(1)
	}
	return entries
}

// handleOne never fails: what cannot be relayed is a dead letter.
func (c *Consumer) handleOne(d delivery, alone bool) *entry {
	ev, ignored, rejected := parsePairs(d.id, d.pairs)
	c.stats.ignored.Add(ignored)
	if rejected != nil {
		return c.deadEntry(d, rejected)
	}
	relay, rejected := c.guarded(ev, alone)
	if rejected != nil {
		return c.deadEntry(d, rejected)
	}
	return c.logEntry(d, ev, relay)
}

// guarded calls the handler, so that a panic costs this event alone.
func (c *Consumer) guarded(ev Event, alone bool) (relay Relay, rejected *RejectError) {
	defer func() {
		if p := recover(); p != nil {
			c.stats.panics.Add(1)
			c.log.Error("handler panicked", "id", ev.ID, "event", ev.Name, "panic", p, "stack", string(debug.Stack()))
			reason := ReasonPanic
			if alone {
				reason = ReasonPoison
			}
			relay, rejected = Relay{}, reject(reason, "%v", p)
		}
	}()
	relay, err := c.handle(ev)
	if err != nil {
		if errors.As(err, &rejected) && rejected != nil && rejected.Reason != "" {
			return Relay{}, rejected
		}
		return Relay{}, &RejectError{Reason: ReasonUnroutable, Err: err}
	}
	return relay, checkRelay(relay)
}

// checkRelay refuses what Redis would refuse each time.
func checkRelay(r Relay) *RejectError {
	if len(r.Log) == 0 || len(r.Log)%2 != 0 || len(r.Log) > 2*maxLogPairs {
		return reject(ReasonUnroutable, "log entry of %d strings", len(r.Log))
	}
	if len(r.Grants) > maxGrants {
		return reject(ReasonUnroutable, "%d grants", len(r.Grants))
	}
	return nil
}

// recoverOwn claims entries that were delivered to this consumer by a read whose reply was lost.
func (c *Consumer) recoverOwn(ctx context.Context) error {
	c.claimMu.Lock()
	defer c.claimMu.Unlock()
	held := c.backlog.ids()
	args := make([]any, 0, 4+len(held))
	args = append(args, c.cfg.Group, c.cfg.Consumer, c.cfg.Consumer, len(held)+2*c.cfg.Batch)
	for _, id := range held {
		args = append(args, id)
	}
	got, lost, err := c.runClaim(ctx, claimFromScript, args...)
	if err != nil {
		return fmt.Errorf("recovering own entries: %w", err)
	}
	c.countLost(lost)
	c.takeOver(ctx, got)
	return nil
}

// takeOver handles claimed entries according to how often they were delivered.
func (c *Consumer) takeOver(ctx context.Context, got []delivery) {
	if len(got) == 0 {
		return
	}
	c.stats.reclaimed.Add(uint64(len(got)))
	var together, alone []delivery
	for _, d := range got {
		if d.number >= int64(c.cfg.MaxDeliveries) {
			alone = append(alone, d)
		} else {
			together = append(together, d)
		}
	}
	h := c.handlings.begin(slices.Concat(together, alone))
	defer c.handlings.end(h)
	entries, ok := inTime(h, func() []*entry { return c.handleAll(together, h) })
	if !ok {
		return
	}
	c.backlog.add(entries)
	for i, d := range alone {
		if h.givenUp() {
			return
		}
		h.step.Store(int64(2 * (len(together) + i)))
		if d.number > mostMarks*solitaryMark {
			c.backlog.add([]*entry{c.deadEntry(d, reject(ReasonPoison, "its handler did not survive it"))})
		} else if e := c.solitary(ctx, d, h); e != nil {
			c.backlog.add([]*entry{e})
		}
	}
}

// solitary handles one entry under a mark in the pending list that outlives this process. It returns nil when the entry
// is not this consumer's any more, could not be marked, or hangs its handler; then it becomes idle and is claimed again.
func (c *Consumer) solitary(ctx context.Context, d delivery, h *handling) *entry {
	if !c.markUntilAnswered(ctx, d.id, d.number+solitaryMark) {
		return nil
	}
	c.stats.solitary.Add(1)
	h.step.Add(1)
	e, ok := inTime(h, func() *entry { return c.handleOne(d, true) })
	if !ok {
		return nil // the mark stays
	}
	h.step.Add(1)
	// It may have to wait for its turn now, and its node may end meanwhile for a reason of its own: without marks, so
	// that it is not taken for poison then.
	c.markUntilAnswered(ctx, d.id, d.number%solitaryMark)
	return e
}

// markUntilAnswered tries until Redis says whether the count is set: a lost answer may have left a mark that the next
// claimer would take for poison. It gives up when the group is gone or ctx ends.
func (c *Consumer) markUntilAnswered(ctx context.Context, id string, number int64) bool {
	for fault := faultPause(); ; {
		marked, err := c.mark(ctx, id, number)
		switch {
		case err == nil:
			return marked
		case isNoGroup(err), !fault.wait(ctx):
			return false
		}
	}
}

func (c *Consumer) mark(ctx context.Context, id string, number int64) (bool, error) {
	ctx = context.WithoutCancel(ctx)
	done, err := markScript.Run(ctx, c.rdb, []string{c.keys.events}, c.cfg.Group, c.cfg.Consumer, id, number).Int64()
	if err != nil {
		c.stats.redisErrors.Add(1)
		return false, fmt.Errorf("setting a delivery count: %w", err)
	}
	return done == 1, nil
}
