package adapter

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// What becomes of ring, sockets and sessions when the log is not simply read on.

// fill puts the newest entries of the log, latest first, and older ones as far as the ring takes them, into the ring.
func (r *reader) fill(ctx context.Context, newest []redis.XMessage) error {
	c := r.c
	entries := newest
	for page := newest; len(page) == c.cfg.ReadCount && len(entries) < c.cfg.RingMaxEntries && c.young(newest[0], page[len(page)-1]); {
		var err error
		page, err = c.blocking.XRevRangeN(ctx, c.logKey, "("+page[len(page)-1].ID, "-", int64(c.cfg.ReadCount)).Result()
		if err != nil {
			return err
		}
		entries = append(entries, page...)
	}
	oldest, err := parseStreamID(entries[len(entries)-1].ID)
	if err != nil {
		return err
	}
	c.deliverMu.Lock()
	defer c.deliverMu.Unlock()
	c.ring.reset(oldest.before())
	for _, message := range slices.Backward(entries) {
		l := c.loggedOf(message)
		if l == nil {
			continue
		}
		c.ring.keep(l)
		r.recent.push(l.id)
		r.pos = l.id
	}
	r.source = c.ring.source
	return nil
}

// young reports whether what precedes an entry of the log may still be young enough for the ring.
func (c *Cluster) young(newest, entry redis.XMessage) bool {
	n, err := parseStreamID(newest.ID)
	if err != nil {
		return false
	}
	e, err := parseStreamID(entry.ID)
	return err == nil && n.ms < e.ms+uint64(c.cfg.LogMaxAge.Milliseconds())
}

// restart makes what was read of the log void: ring and position begin behind to, and no socket of this node can be
// served on.
func (r *reader) restart(to streamID, reason string) {
	c := r.c
	c.deliverMu.Lock()
	c.torn.Add(1)
	c.moveTo(&to)
	c.ring.reset(to)
	c.lower(to)
	c.sessions.local.endAll()
	c.deliverMu.Unlock()
	r.recent = idRing{}
	c.guard("gap", func() { c.onGap(reason) })
}

// rewind makes the sockets expect what the log has behind to, once more.
func (r *reader) rewind(to streamID) {
	c := r.c
	c.deliverMu.Lock()
	defer c.deliverMu.Unlock()
	c.torn.Add(1)
	c.moveTo(&to)
	c.ring.forgetAbove(to)
	c.lower(to)
	// What Redis lost of the log it has lost of the sessions, too.
	c.sessions.local.refresh(time.Now())
}

// lower makes the sockets take every entry behind to, now and when they are recovered. For holders of the delivery lock.
func (c *Cluster) lower(to streamID) {
	for _, name := range c.namespaces() {
		a := c.adapterOf(name)
		if a == nil {
			continue
		}
		for _, m := range a.table.selected(options{}) {
			m.upTo, m.floor = minID(m.upTo, to), minID(m.floor, to)
			c.sessions.local.lower(m.id, to, m.lowerSince(to))
		}
	}
}
