package adapter

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// What becomes of ring, sockets and sessions when the log is not simply read on.

// fill puts the newest entries of the log, latest first, and older ones as far as the ring takes them, into the ring.
func (r *reader) fill(ctx context.Context, newest []redis.XMessage) error {
	c := r.c
	entries, size := c.decodeAll(nil, newest)
	for page := newest; len(page) == c.cfg.ReadCount && c.young(newest[0], page[len(page)-1]); {
		if len(entries) >= c.cfg.RingMaxEntries || size > c.cfg.RingMaxBytes {
			break
		}
		var err error
		page, err = c.blocking.XRevRangeN(ctx, c.logKey, "("+page[len(page)-1].ID, "-", int64(c.cfg.ReadCount)).Result()
		if err != nil {
			return err
		}
		var more int
		entries, more = c.decodeAll(entries, page)
		size += more
	}
	if len(entries) == 0 {
		_, err := parseStreamID(newest[0].ID)
		return err
	}
	c.deliverMu.Lock()
	defer c.deliverMu.Unlock()
	c.ring.reset(entries[len(entries)-1].id.before())
	for _, l := range slices.Backward(entries) {
		c.ring.keep(l)
		r.recent.push(l.id)
		r.pos = l.id
	}
	r.source = c.ring.source
	return nil
}

// decodeAll appends a page of the log to found, and returns how much memory the page takes in a ring.
func (c *Cluster) decodeAll(found []*logged, page []redis.XMessage) (all []*logged, size int) {
	for _, message := range page {
		if l := c.loggedOf(message); l != nil {
			found = append(found, l)
			size += l.size()
		}
	}
	return found, size
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
	c.forgetHad()
	c.lower(to)
	c.sessions.local.endAll()
	c.deliverMu.Unlock()
	r.recent = idRing{}
	c.guard("gap", func() { c.onGap(reason) })
}

// rewind makes the sockets expect what the log has behind to, once more. Events that it lost come again, in front of the
// others or behind some: to members that had them, which are all if it is unknown who had, as repetitions.
func (r *reader) rewind(to streamID, known bool) {
	c := r.c
	c.deliverMu.Lock()
	defer c.deliverMu.Unlock()
	c.torn.Add(1)
	c.moveTo(&to)
	c.ring.forgetAbove(to)
	if r.source.compare(c.ring.source) > 0 {
		c.noteHad(r.source, to, known)
		r.source = c.ring.source
	}
	c.lower(to)
	// What Redis lost of the log it has lost of the sessions, too.
	c.sessions.local.refresh(time.Now())
}

// noteHad makes the members that were sent anything behind to remember that they have had the events up to source. For
// holders of the delivery lock.
func (c *Cluster) noteHad(source, to streamID, known bool) {
	c.had = maxID(c.had, source)
	for m := range c.localMembers() {
		if known && m.upTo.compare(to) <= 0 {
			continue
		}
		m.had = maxID(m.had, source)
		c.sessions.local.noteHad(m.id, m.had, to)
	}
}

// forgetHad makes that no event is a repetition to one member and not to another. For holders of the delivery lock.
func (c *Cluster) forgetHad() {
	c.had = streamID{}
	for m := range c.localMembers() {
		m.had = streamID{}
		c.sessions.local.noteHad(m.id, streamID{}, streamID{})
	}
}

// again returns source if there may be members that had it and others that had not, else 0-0. Sources ascend, so it
// forgets the former when they are past. For holders of the delivery lock.
func (c *Cluster) again(source streamID) streamID {
	switch {
	case c.had.isZero() || source.isZero():
		return streamID{}
	case source.compare(c.had) > 0:
		c.had = streamID{}
		return streamID{}
	}
	c.count.duplicates.Add(1)
	return source
}

// localMembers are those of all namespaces.
func (c *Cluster) localMembers() iter.Seq[*member] {
	return func(yield func(*member) bool) {
		for _, name := range c.namespaces() {
			a := c.adapterOf(name)
			if a == nil {
				continue
			}
			for _, m := range a.table.selected(options{}) {
				if !yield(m) {
					return
				}
			}
		}
	}
}

// lower makes the sockets take every entry behind to, now and when they are recovered. For holders of the delivery lock.
func (c *Cluster) lower(to streamID) {
	for m := range c.localMembers() {
		m.upTo, m.floor = minID(m.upTo, to), minID(m.floor, to)
		c.sessions.local.lower(m.id, to, m.lowerSince(to))
	}
	for m := range c.listeners {
		m.upTo = minID(m.upTo, to)
	}
}
