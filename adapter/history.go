package adapter

import (
	"context"
	"errors"
	"slices"
	"time"
)

const (
	// historyPage is how many entries one read of the older log takes.
	historyPage = 2000
	// historyTimeout bounds the reading for one client, which goes on for the next when that client has given up.
	historyTimeout = 30 * time.Second
	// historyKeep is how long what was read of the older log is kept for the next client.
	historyKeep = 10 * time.Second
)

// history serves offsets that are older than the ring, from the log in Redis. What one client had read serves the
// others: in a storm each entry is read once.
type history struct {
	c *Cluster
	// turn is held by who reads or asks; it is a channel so that waiting for it can end.
	turn chan struct{}
	// older is the log before the ring's beginning, as far as it was asked for. turn
	older *ring
	used  time.Time // turn

	torn uint64 // turn: the log that older was read from
	// tooFar is the highest offset that was found to be too far back. turn
	tooFar streamID
}

func (h *history) init(c *Cluster) {
	h.c = c
	h.turn = make(chan struct{}, 1)
}

// missed returns what q's socket missed up to the entry `to`, where the ring begins. The errors are errUncovered,
// errTooMany, and ErrUnavailable if Redis or the turn did not come in time.
func (h *history) missed(ctx context.Context, q question, to streamID) ([]*logged, error) {
	select {
	case h.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ErrUnavailable
	}
	var found []*logged
	err := ErrUnavailable // should answering panic
	done := make(chan struct{})
	h.c.tasks.spawn(func() {
		defer func() { <-h.turn }()
		defer close(done)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), historyTimeout)
		defer cancel()
		h.c.guard("history", func() { found, err = h.answer(ctx, q, to) })
	})
	select {
	case <-done:
		return found, err
	case <-ctx.Done():
		return nil, ErrUnavailable
	}
}

// answer is missed for the holder of turn.
func (h *history) answer(ctx context.Context, q question, to streamID) ([]*logged, error) {
	if err := h.reach(ctx, q.after, to); err != nil {
		return nil, err
	}
	h.used = time.Now()
	if !h.older.covers(q.after) || !h.older.knows(q) {
		return nil, errUncovered
	}
	found, err := h.older.missed(q)
	if err != nil {
		return nil, err
	}
	// Others may have had more read, beyond the beginning of the ring as this client met it.
	return slices.DeleteFunc(found, func(l *logged) bool { return l.id.compare(to) > 0 }), nil
}

// reach sees to it that older holds the entries from `from` to `to`, both included.
func (h *history) reach(ctx context.Context, from, to streamID) error {
	if torn := h.c.torn.Load(); h.older == nil || h.torn != torn {
		h.forget(to)
		h.torn = torn
	}
	if !h.tooFar.isZero() && from.compare(h.tooFar) <= 0 {
		return errUncovered
	}
	if err := h.catchUp(ctx, to); err != nil {
		return err
	}
	if from.compare(h.older.from) > 0 {
		return nil
	}
	if known, err := h.isPosition(ctx, from); err != nil || !known {
		return errors.Join(errUncovered, err)
	}
	before, err := h.backTo(ctx, from, h.older.from)
	if err != nil {
		return err
	}
	if known, err := h.isPosition(ctx, from); err != nil || !known {
		return errors.Join(errUncovered, err) // trimmed while it was read
	}
	begin := from.before()
	grown := h.empty(begin)
	for _, l := range slices.Concat(before, h.older.all.items()) {
		grown.keep(l)
	}
	if grown.from != begin {
		return h.exceeded(from)
	}
	h.older = grown
	return nil
}

// exceeded notes that from is further back than the limits allow; as the log only grows, it stays so.
func (h *history) exceeded(from streamID) error {
	h.tooFar = maxID(h.tooFar, from)
	return errUncovered
}

// forget begins anew, at the ring's beginning.
func (h *history) forget(to streamID) { h.older, h.tooFar = h.empty(to), streamID{} }

// catchUp makes older reach to the entry `to`; if the log does not have all of what is between any more, anew from there.
func (h *history) catchUp(ctx context.Context, to streamID) error {
	end := h.end()
	if end.compare(to) >= 0 {
		return nil
	}
	newer, err := h.backTo(ctx, end, to)
	if err != nil && !errors.Is(err, errUncovered) {
		return err
	}
	if len(newer) < 2 || newer[0].id != end || newer[len(newer)-1].id != to {
		h.older = h.empty(to)
		return nil
	}
	for _, l := range newer[1:] {
		h.older.keep(l)
	}
	return nil
}

// isPosition reports whether an offset was a position of this log: one of its entries, or the beginning of a log that
// was never trimmed. It spares Redis the reading for what a client made up.
func (h *history) isPosition(ctx context.Context, id streamID) (bool, error) {
	if id.isZero() {
		info, err := infoOf(h.c.redis.XInfoStream(ctx, h.c.logKey))
		if err != nil {
			return false, ErrUnavailable
		}
		return info.added > 0 && info.trimmed() == 0, nil
	}
	found, err := h.c.redis.XRangeN(ctx, h.c.logKey, id.String(), id.String(), 1).Result()
	if err != nil {
		return false, ErrUnavailable
	}
	return len(found) > 0, nil
}

// empty is a ring that begins after from, as large as the one in memory and of any age.
func (h *history) empty(from streamID) *ring {
	limits := h.c.ring.limits
	limits.age = 100 * 365 * 24 * time.Hour
	r := newRing(limits)
	r.reset(from)
	return r
}

// end is the last position that older reaches to.
func (h *history) end() streamID {
	if h.older.all.len() == 0 {
		return h.older.from
	}
	return h.older.all.last().id
}

// backTo reads the entries from `from` to `to`, both included: latest first, so that what was read is a whole.
func (h *history) backTo(ctx context.Context, from, to streamID) ([]*logged, error) {
	var found []*logged
	limits, size := h.c.ring.limits, 0
	for end := to.String(); ; {
		page, err := h.c.redis.XRevRangeN(ctx, h.c.logKey, end, from.String(), historyPage).Result()
		if err != nil {
			return nil, ErrUnavailable
		}
		var more int
		found, more = h.c.decodeAll(found, page)
		if size += more; size > limits.bytes {
			return nil, h.exceeded(from)
		}
		if len(page) < historyPage {
			slices.Reverse(found)
			return found, nil
		}
		if len(found) > limits.entries {
			return nil, h.exceeded(from)
		}
		end = "(" + page[len(page)-1].ID
	}
}

// tidy forgets what nobody has asked for lately.
func (h *history) tidy() {
	select {
	case h.turn <- struct{}{}:
	default:
		return
	}
	defer func() { <-h.turn }()
	if h.older != nil && time.Since(h.used) > historyKeep {
		h.older = nil
	}
}
