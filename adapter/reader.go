package adapter

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// recentIDs is how many handled entries the reader remembers, to find where a log that went back parted from what it
// has delivered.
const recentIDs = 1024

// reader follows the log. It belongs to one goroutine.
type reader struct {
	c *Cluster
	// pos is the last entry handled. anchored says that it is the id of an entry, which can be looked for; if it is not,
	// before says how many entries had been added to the log up to it.
	pos      streamID
	anchored bool
	before   int64
	started  bool
	verified bool
	dials    uint64 // of the blocking client, when the position was verified
	asked    time.Time
	// source is the highest source id delivered; events at or below it are repetitions.
	source streamID
	// doubted is the position at which repetitions have been looked into.
	doubted streamID
	recent  idRing
}

func newReader(c *Cluster) *reader { return &reader{c: c} }

func (r *reader) run(ctx context.Context) {
	defer r.c.reading.Store(false)
	var pace backoff
	for ctx.Err() == nil {
		err := r.step(ctx)
		if err == nil {
			pace.reset()
			continue
		}
		if ctx.Err() != nil {
			return
		}
		r.verified = false
		r.c.reading.Store(false)
		r.c.count.readErrors.Add(1)
		r.c.warnf("read", "could not read the log", "err", err)
		pace.wait(ctx)
	}
}

// step makes sure that the position is one of this log, and reads on from there once.
func (r *reader) step(ctx context.Context) error {
	if time.Since(r.asked) > r.c.cfg.LogMaxAge/4 {
		// Stopped or starved for long: the log may have been trimmed past the position, which a read would not tell.
		r.verified = false
	}
	for !r.verified {
		r.dials = r.c.dials.Load()
		if err := r.attach(ctx); err != nil {
			return err
		}
		r.setPosition(r.pos)
		// A connection made meanwhile may have met another Redis: look again over the connection that will be read from.
		r.verified = r.c.dials.Load() == r.dials
	}
	r.c.reading.Store(true)
	r.asked = time.Now()
	streams, err := r.c.blocking.XRead(ctx, &redis.XReadArgs{
		Streams: []string{r.c.logKey, r.pos.String()},
		Count:   int64(r.c.cfg.ReadCount),
		Block:   r.c.cfg.Block,
	}).Result()
	if errors.Is(err, redis.Nil) {
		// Quiet for a while: a log that was flushed, or whose new master's clock is behind, looks just like this.
		r.verified = false
		return nil
	}
	if err != nil {
		return err
	}
	if r.c.dials.Load() != r.dials {
		r.verified = false
		return nil
	}
	for _, stream := range streams {
		if r.repeats(stream.Messages) && r.doubted != r.pos {
			// Repetitions are dropped, so make sure first that this is not a new log with sources of its own.
			r.doubted, r.verified = r.pos, false
			return nil
		}
		for _, message := range stream.Messages {
			if err := r.handle(message); err != nil {
				return err
			}
		}
		// Behind the log's end, it may be trimmed past the position as well.
		r.verified = len(stream.Messages) < r.c.cfg.ReadCount
	}
	return nil
}

// setPosition publishes the position to the rest of the cluster membership.
func (r *reader) setPosition(id streamID) {
	r.c.deliverMu.Lock()
	r.c.moveTo(id)
	r.c.deliverMu.Unlock()
}

// handle applies one entry and moves past it, whatever it held.
func (r *reader) handle(message redis.XMessage) error {
	id, err := parseStreamID(message.ID)
	if err != nil {
		return err
	}
	after := r.deliver(id, message.Values)
	r.pos, r.anchored = id, true
	r.recent.push(id)
	if after != nil {
		r.c.guard("apply", after)
	}
	return nil
}

// deliver decodes an entry and queues it for its receivers, in one step with the position. What runs application code
// is returned, to be run outside the lock.
func (r *reader) deliver(id streamID, values map[string]any) (after func()) {
	r.c.deliverMu.Lock()
	defer r.c.deliverMu.Unlock()
	r.c.moveTo(id)
	l := &logged{id: id}
	r.c.guard("delivery", func() { after = r.dispatch(l, values) })
	// What was delivered before the log went back is in the ring for whom it had not reached.
	r.c.ring.keep(l)
	return after
}

// dispatch completes l, which goes into the ring, and delivers it.
func (r *reader) dispatch(l *logged, values map[string]any) (after func()) {
	e, err := l.decode(values)
	switch {
	case l.resets:
		r.source = streamID{}
		return nil
	case err != nil:
		r.c.badEntry(err)
		return nil
	case e.nsp == "":
		return nil
	}
	news := l.source.isZero() || r.isNews(l.source)
	if !news {
		return nil
	}
	a := r.c.adapterOf(e.nsp)
	if a == nil {
		r.c.count.unknownNamespace.Add(1)
		return nil
	}
	r.c.count.delivered.Add(1)
	if e.kind == typeBroadcast {
		a.deliver(l.frame, e.opts)
		return nil
	}
	return func() { a.apply(e) }
}

// repeats reports whether some of the entries look delivered already.
func (r *reader) repeats(messages []redis.XMessage) bool {
	for _, message := range messages {
		if src, ok := message.Values[fieldSrc].(string); ok && src != sourceReset {
			if id, err := parseStreamID(src); err == nil && id.compare(r.source) <= 0 {
				return true
			}
		}
	}
	return false
}

// isNews reports whether an event's source is above all that were delivered, and remembers it.
func (r *reader) isNews(id streamID) bool {
	if id.compare(r.source) <= 0 {
		r.c.count.duplicates.Add(1)
		return false
	}
	r.source = id
	return true
}

func (c *Cluster) badEntry(err error) {
	c.count.badEntries.Add(1)
	c.warnf("entry", "log entry skipped", "err", err)
}

// attach finds the position to start from, or sees to it that the present one still stands.
func (r *reader) attach(ctx context.Context) error {
	if !r.started {
		return r.start(ctx)
	}
	return r.verify(ctx)
}

// start takes the log's end as the position: of a log that has no entry, its beginning, so that none is missed.
func (r *reader) start(ctx context.Context) error {
	pipe := r.c.blocking.TxPipeline()
	entries := pipe.XRevRangeN(ctx, r.c.logKey, "+", "-", int64(r.c.cfg.ReadCount))
	state := pipe.XInfoStream(ctx, r.c.logKey)
	_, _ = pipe.Exec(ctx) // each command carries its error
	newest, err := entries.Result()
	if err != nil {
		return err
	}
	if len(newest) == 0 {
		info, err := infoOf(state)
		if err != nil {
			return err
		}
		r.started = true
		r.moveTo(info.last, info.added)
		r.c.deliverMu.Lock()
		r.c.ring.reset(info.last)
		r.c.deliverMu.Unlock()
		return nil
	}
	// What others have delivered counts as delivered.
	if err := r.fill(ctx, newest); err != nil {
		return err
	}
	r.started, r.anchored = true, true
	return nil
}

// logInfo is what Redis tells of a stream's past. The zero value stands for a stream that does not exist.
type logInfo struct {
	exists bool
	length int64
	added  int64 // entries ever added; 0 if this Redis (before 7.0) does not say
	last   streamID
}

// trimmed is how many entries are no longer there.
func (i logInfo) trimmed() int64 { return max(i.added-i.length, 0) }

func infoOf(cmd *redis.XInfoStreamCmd) (logInfo, error) {
	info, err := cmd.Result()
	if err != nil {
		if strings.Contains(err.Error(), "no such key") {
			return logInfo{}, nil
		}
		return logInfo{}, err
	}
	last, err := parseStreamID(info.LastGeneratedID)
	if err != nil {
		// An emulation may leave it out for an empty stream.
		last = streamID{}
	}
	return logInfo{exists: true, length: info.Length, added: info.EntriesAdded, last: last}, nil
}

// idRing remembers the latest ids handled, oldest first.
type idRing struct{ ids []streamID }

func (r *idRing) push(id streamID) {
	// Let it grow to twice its size before moving, so that a push costs nothing to speak of.
	if len(r.ids) >= 2*recentIDs {
		r.ids = append(r.ids[:0], r.ids[len(r.ids)-recentIDs:]...)
	}
	r.ids = append(r.ids, id)
}

func (r *idRing) has(id streamID) bool {
	for _, known := range slices.Backward(r.ids) {
		switch c := known.compare(id); {
		case c == 0:
			return true
		case c < 0:
			return false
		}
	}
	return false
}

// oldest is the oldest id remembered; 0-0 if there is none.
func (r *idRing) oldest() streamID {
	if len(r.ids) == 0 {
		return streamID{}
	}
	return r.ids[0]
}

// forgetAbove drops the ids above id.
func (r *idRing) forgetAbove(id streamID) {
	for len(r.ids) > 0 && r.ids[len(r.ids)-1].compare(id) > 0 {
		r.ids = r.ids[:len(r.ids)-1]
	}
}
