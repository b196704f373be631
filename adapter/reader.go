package adapter

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// staleAfter is how long after the end of the log was seen a reader that was held up may not rely on it any longer.
	staleAfter = time.Second
	// readGrace is how much longer than it blocks a read may take, with its reply of up to ReadCount entries.
	readGrace = 5 * time.Second
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
	// sure says that the position was the log's end when it was last seen there, over a connection that still stands.
	sure  bool
	seen  time.Time
	dials uint64 // of the blocking client, when that was seen
	known uint64 // of them, those since which the sessions were written
	count int    // how many entries to ask for
	// source is the highest source id delivered; events at or below it are repetitions.
	source streamID
	// doubted is the position at which repetitions have been looked into.
	doubted streamID
	// origin is an entry that was once the oldest of this log, 0-0 if none is known.
	origin streamID
	recent idRing
	// behind says that the entries at hand were waiting to be read, lag how late they are.
	behind bool
	lag    lag
	// safe holds entries back until enough of Redis' replicas have them.
	safe replicas
	// traced is the entry just delivered if its trace goes on here.
	traced Delivered
}

func newReader(c *Cluster) *reader {
	return &reader{c: c, count: c.cfg.ReadCount, safe: replicas{c: c}}
}

func (r *reader) run(ctx context.Context) {
	defer r.c.reading.Store(false)
	if r.c.blocking != r.c.redis {
		defer context.AfterFunc(ctx, r.c.conns.end)()
	}
	var pace backoff
	for ctx.Err() == nil {
		err := r.step(ctx)
		if err == nil || errors.Is(err, errHeldBack) {
			pace.reset()
			continue
		}
		if ctx.Err() != nil {
			return
		}
		r.sure = false
		if late := net.Error(nil); errors.As(err, &late) && late.Timeout() {
			// It may be the reply's size that keeps it from arriving in time.
			r.count = max(r.count/2, 1)
		}
		r.c.reading.Store(false)
		r.c.count.readErrors.Add(1)
		r.c.warnf("read", "could not read the log", "err", err)
		pace.wait(ctx)
	}
}

// step reads on from the position once, or makes sure first that it is one of this log.
func (r *reader) step(ctx context.Context) error {
	switch {
	case !r.started:
		if err := r.start(ctx); err != nil {
			return err
		}
		r.setPosition(r.pos)
		return nil
	case r.sure && time.Since(r.seen) < staleAfter:
		return r.readNew(ctx)
	case r.anchored:
		return r.readAgain(ctx)
	}
	r.dials = r.c.conns.dials.Load()
	if err := r.settle(ctx); err != nil || r.anchored {
		return err
	}
	r.attached(true)
	return nil
}

// attached notes that the position is one of the log, and whether nothing after it can have been trimmed yet. A
// connection made meanwhile may have met another Redis.
func (r *reader) attached(atEnd bool) {
	r.seen = time.Now()
	r.count = min(2*r.count, r.c.cfg.ReadCount)
	if r.dials != r.known {
		// A Redis that was restarted or replaced may have lost the latest writes.
		r.known = r.dials
		r.c.sessions.local.refresh(time.Now())
	}
	r.sure = atEnd && r.c.conns.dials.Load() == r.dials
	r.c.reading.Store(true)
}

// settle finds the position's place in the log that is there now.
func (r *reader) settle(ctx context.Context) error {
	r.sure = false
	if err := r.verify(ctx); err != nil {
		return err
	}
	r.setPosition(r.pos)
	return nil
}

// readAgain reads the entry at the position and those that follow it, in one reply: so nothing between them was trimmed.
func (r *reader) readAgain(ctx context.Context) error {
	r.dials = r.c.conns.dials.Load()
	entries, err := r.read(ctx, r.pos.before(), r.count+1)
	if err != nil {
		return err
	}
	if len(entries) == 0 || entries[0].id != r.pos {
		return r.settle(ctx)
	}
	entries = entries[1:]
	if r.doubts(entries) {
		return r.settle(ctx)
	}
	r.attached(len(entries) < r.count)
	r.behind = true
	r.handleAll(entries)
	return nil
}

// readNew waits for entries after the position, which was the log's end a moment ago.
func (r *reader) readNew(ctx context.Context) error {
	entries, held, err := r.await(ctx)
	if err != nil {
		return err
	}
	// Quiet for a while: a log that was flushed, or whose new master's clock is behind, looks just like this.
	if len(entries) == 0 || r.c.conns.dials.Load() != r.dials {
		r.sure = false
		return nil
	}
	if !held {
		return r.settle(ctx)
	}
	if r.doubts(entries) {
		return r.settle(ctx)
	}
	r.behind = len(entries) >= r.count
	r.attached(!r.behind)
	r.handleAll(entries)
	return nil
}

// read returns the entries after a position, without waiting for any.
func (r *reader) read(ctx context.Context, after streamID, count int) ([]rawEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, readGrace)
	defer cancel()
	cmd := r.xread(ctx, after.String(), count)
	if !r.safe.wanted() {
		_ = r.c.blocking.Process(ctx, cmd) // the command carries its error
		return entriesOf(cmd)
	}
	pipe, err := r.safe.pipeline(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	_ = pipe.Process(ctx, cmd)
	have := r.safe.ask(ctx, pipe)
	_, _ = pipe.Exec(ctx) // each command carries its error
	entries, err := entriesOf(cmd)
	if err == nil && len(entries) > 0 {
		err = r.safe.passed(began, have)
	}
	return entries, err
}

// xread makes the command by hand, since the typed one puts each entry's fields into a map.
func (r *reader) xread(ctx context.Context, after string, count int, block ...any) *redis.Cmd {
	args := append([]any{"xread", "count", int64(count)}, block...)
	cmd := redis.NewCmd(ctx, append(args, "streams", r.c.logKey, after)...)
	cmd.SetFirstKeyPos(int8(len(args) + 1))
	return cmd
}

// await blocks until there are entries after the position, and says whether the log then still holds that: if it was
// emptied meanwhile, others came and went unseen.
func (r *reader) await(ctx context.Context) (entries []rawEntry, held bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.c.cfg.Block+readGrace)
	defer cancel()
	pos := r.pos.String()
	pipe, err := r.safe.pipeline(ctx)
	if err != nil {
		return nil, false, err
	}
	began := time.Now()
	read := r.xread(ctx, pos, r.count, "block", r.c.cfg.Block.Milliseconds())
	_ = pipe.Process(ctx, read)
	at := pipe.XRangeN(ctx, r.c.logKey, pos, pos, 1)
	have := r.safe.ask(ctx, pipe)
	_, _ = pipe.Exec(ctx) // each command carries its error
	if entries, err = entriesOf(read); err == nil {
		err = at.Err()
	}
	if err == nil && len(entries) > 0 {
		err = r.safe.passed(began, have)
	}
	return entries, !r.anchored || len(at.Val()) > 0, err
}

func (r *reader) handleAll(entries []rawEntry) {
	r.lag.tick()
	r.c.deliverMu.Lock()
	r.c.untimed = -1 // they were waited for
	r.c.deliverMu.Unlock()
	for i := range entries {
		r.handle(&entries[i])
	}
}

// late reports whether an entry is delivered late because of an outage, and not because of its receivers.
func (r *reader) late(id streamID) bool { return r.lag.of(id) > lateAfter && r.behind }

// setPosition publishes the position to the rest of the cluster membership.
func (r *reader) setPosition(id streamID) {
	r.c.deliverMu.Lock()
	r.c.moveTo(&id)
	r.c.deliverMu.Unlock()
}

// handle applies one entry and moves past it, whatever it held.
func (r *reader) handle(raw *rawEntry) {
	if r.pos.isZero() {
		r.origin = raw.id
	}
	after := r.deliver(raw)
	r.pos, r.anchored = raw.id, true
	r.recent.push(raw.id)
	if after != nil {
		r.c.guard("apply", after)
	}
	if r.traced.TraceParent != "" {
		one := r.traced
		r.traced = Delivered{}
		r.c.guard("trace", func() { r.c.tracedTo(one) })
	}
}

// deliver decodes an entry and queues it for its receivers, in one step with the position. What runs application code
// is returned, to be run outside the lock.
func (r *reader) deliver(raw *rawEntry) (after func()) {
	r.c.deliverMu.Lock()
	defer r.c.deliverMu.Unlock()
	l := &logged{id: raw.id}
	r.c.moveTo(&l.id)
	r.c.guard("delivery", func() { after = r.dispatch(l, raw) })
	// What was delivered before the log went back is in the ring for whom it had not reached.
	r.c.ring.keep(l)
	r.c.agedMs.Store(r.c.ring.from.ms)
	return after
}

// dispatch completes l, which goes into the ring, and delivers it.
func (r *reader) dispatch(l *logged, raw *rawEntry) (after func()) {
	e, err := l.decode(raw)
	switch {
	case l.resets:
		r.source = streamID{}
		r.c.forgetHad()
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
	switch e.kind {
	case typeServerSideEmit:
		a.hear(e)
		return nil
	case typeBroadcast:
		d := delivery{frame: l.frame, opts: e.opts, uncharged: r.late(l.id), again: r.c.again(l.source), source: l.source}
		if r.c.tracedTo == nil || raw.trace == "" {
			a.deliver(d)
		} else {
			r.traced = a.deliverTraced(d, raw)
		}
		return nil
	}
	change := e // so that e itself, of which there are many more, need not outlive this
	return func() { a.apply(change) }
}

// doubts reports whether some of the entries look delivered already, once at each position: repetitions are dropped, so
// make sure first that this is not a new log with sources of its own.
func (r *reader) doubts(entries []rawEntry) bool {
	if r.doubted == r.pos || !r.repeats(entries) {
		return false
	}
	r.doubted = r.pos
	return true
}

func (r *reader) repeats(entries []rawEntry) bool {
	for i := range entries {
		if from := entries[i].from; from != "" && from != sourceReset {
			if id, err := parseStreamID(from); err == nil && id.compare(r.source) <= 0 {
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
	info, err := infoOf(state)
	if err != nil {
		return err
	}
	r.origin = info.first
	if len(newest) == 0 {
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
	added  int64    // entries ever added; 0 if this Redis (before 7.0) does not say
	first  streamID // 0-0 if there is none, or an emulation leaves it out
	last   streamID
}

// errNotAnswered is a command without an answer or an error: the library's, when the server refuses the connection itself.
var errNotAnswered = errors.New("no answer from Redis")

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
	if info == nil {
		return logInfo{}, errNotAnswered
	}
	last, err := parseStreamID(info.LastGeneratedID)
	if err != nil {
		// An emulation may leave it out for an empty stream.
		last = streamID{}
	}
	first, err := parseStreamID(info.FirstEntry.ID)
	if err != nil {
		first = streamID{}
	}
	return logInfo{exists: true, length: info.Length, added: info.EntriesAdded, first: first, last: last}, nil
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
