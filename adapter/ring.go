package adapter

import (
	"errors"
	"slices"
	"time"
)

var (
	// errUncovered says that the entries after an offset are not all in memory.
	errUncovered = errors.New("the offset is not in the recent log")
	// errTooMany says that more entries were missed than may be replayed.
	errTooMany = errors.New("too many entries were missed")
)

// logged is an entry of the log as a ring keeps it. It is immutable once it is in one.
type logged struct {
	id     streamID
	source streamID // zero: the entry names none
	nsp    string
	opts   options
	// frame is what its receivers were sent; nil for anything but an event.
	frame *frame
	// resets marks an entry from which on source ids begin anew.
	resets bool
	// kicks marks an entry that disconnects its receivers.
	kicks bool
}

// size estimates the entry's memory in bytes, its places in the index included.
func (l *logged) size() int {
	const entry, place = 512, 64
	n := entry + place*len(l.opts.Rooms)
	if l.frame != nil {
		n += l.frame.size()
	}
	return n
}

// roomKey names a room of a namespace.
type roomKey struct{ nsp, room string }

// ringLimits bound a ring.
type ringLimits struct {
	entries, bytes int
	age            time.Duration
}

// ring keeps the recent log in memory, indexed by room, so that recovering costs what the client missed and not what
// the cluster sent. It is guarded by the delivery lock, under which it grows.
type ring struct {
	limits ringLimits
	all    queue
	rooms  map[roomKey]*queue
	// everyone holds, by namespace, the entries that name no room.
	everyone map[string]*queue
	bytes    int
	// from is the position behind which the ring has every entry.
	from streamID
	// source is the highest source id that it holds or held; lower ones are repetitions.
	source streamID
	// dropped is the highest source id of what the limits have dropped.
	dropped streamID
	// resetAt is the last entry that it holds or held from which on source ids begin anew.
	resetAt streamID
	found   []*queue // reused by indexes
}

func newRing(limits ringLimits) *ring {
	r := &ring{limits: limits}
	r.reset(streamID{})
	return r
}

// reset empties the ring; the next entry is the first one after from.
func (r *ring) reset(from streamID) {
	r.all, r.bytes, r.from, r.source, r.dropped, r.resetAt = queue{}, 0, from, streamID{}, streamID{}, streamID{}
	r.rooms = make(map[roomKey]*queue)
	r.everyone = make(map[string]*queue)
}

// repeats reports whether the ring holds or held an entry of this source.
func (r *ring) repeats(source streamID) bool { return source.compare(r.source) <= 0 }

// keep adds an entry, one that the ring has already under another id as a position only.
func (r *ring) keep(l *logged) {
	if !l.source.isZero() && r.repeats(l.source) {
		l = &logged{id: l.id, nsp: l.nsp, source: l.source} // others may be reading the entry itself
	}
	r.add(l)
}

// add appends an entry with a higher id than all others, and drops what exceeds the limits.
func (r *ring) add(l *logged) {
	r.all.push(l)
	r.bytes += l.size()
	r.source = l.above(r.source)
	if l.resets {
		r.resetAt = l.id
	}
	for _, q := range r.indexes(l, true) {
		q.push(l)
	}
	for r.exceeds(l.id) {
		r.evict()
	}
}

// exceeds reports whether the ring is over its limits. An entry can be too large for it by itself.
func (r *ring) exceeds(newest streamID) bool {
	if r.all.len() == 0 {
		return false
	}
	age := uint64(r.limits.age.Milliseconds())
	return r.all.len() > r.limits.entries || r.bytes > r.limits.bytes || r.all.first().id.ms+age < newest.ms
}

// indexes returns the queues in which an entry is, each once, until it is called again.
func (r *ring) indexes(l *logged, create bool) []*queue {
	if !l.replayed() {
		return nil
	}
	r.found = r.found[:0]
	if len(l.opts.Rooms) == 0 {
		r.found = append(r.found, obtain(r.everyone, l.nsp, create))
	}
	for _, room := range l.opts.Rooms {
		if q := obtain(r.rooms, roomKey{l.nsp, room}, create); !slices.Contains(r.found, q) {
			r.found = append(r.found, q)
		}
	}
	return r.found
}

func obtain[K comparable](index map[K]*queue, key K, create bool) *queue {
	q := index[key]
	if q == nil && create {
		q = &queue{}
		index[key] = q
	}
	return q
}

// evict drops the oldest entry, which is also the oldest of each of its rooms.
func (r *ring) evict() {
	l := r.all.popFirst()
	r.from, r.dropped = l.id, l.above(r.dropped)
	r.bytes -= l.size()
	for _, q := range r.indexes(l, false) {
		q.popFirst()
	}
	r.prune(l)
}

// forgetAbove drops the entries above id: a log that went back does not have them any more.
func (r *ring) forgetAbove(id streamID) {
	for r.all.len() > 0 && r.all.last().id.compare(id) > 0 {
		l := r.all.popLast()
		r.bytes -= l.size()
		for _, q := range r.indexes(l, false) {
			q.popLast()
		}
		r.prune(l)
	}
	if r.from.compare(id) > 0 {
		r.from, r.dropped = id, streamID{}
	}
	if r.resetAt.compare(id) > 0 {
		r.resetAt = streamID{}
	}
	r.source = r.dropped
	for _, l := range r.all.items() {
		r.source = l.above(r.source)
		if l.resets {
			r.resetAt = l.id
		}
	}
}

// above is the highest source id of entries up to this one, before which it was source.
func (l *logged) above(source streamID) streamID {
	if l.resets {
		return streamID{}
	}
	return maxID(l.source, source)
}

// prune forgets the queues of a dropped entry that are empty now.
func (r *ring) prune(l *logged) {
	if q := r.everyone[l.nsp]; q != nil && q.len() == 0 {
		delete(r.everyone, l.nsp)
	}
	for _, room := range l.opts.Rooms {
		key := roomKey{l.nsp, room}
		if q := r.rooms[key]; q != nil && q.len() == 0 {
			delete(r.rooms, key)
		}
	}
}

// covers reports whether a client with this offset can be told all that came after it: only what once was a position of
// this log is an offset of it.
func (r *ring) covers(offset streamID) bool {
	if offset == r.from {
		return true
	}
	i := r.all.after(offset)
	return i > 0 && r.all.items()[i-1].id == offset
}

// knows reports whether q's rooms, as far as they were joined behind q.after and within the ring, were joined at
// positions of this log.
func (r *ring) knows(q question) bool {
	if r.all.len() == 0 {
		return true
	}
	end := r.all.last().id
	for _, since := range q.rooms {
		if since.compare(q.after) > 0 && since.compare(r.from) > 0 && since.compare(end) <= 0 && !r.covers(since) {
			return false
		}
	}
	return true
}

// hasAllAfter reports whether every entry after id is in memory, whether or not id is an entry.
func (r *ring) hasAllAfter(id streamID) bool { return id.compare(r.from) >= 0 }

// question asks which entries a socket missed.
type question struct {
	nsp   string
	after streamID
	// rooms are the socket's, each with the position from which on it was in it.
	rooms map[string]streamID
	// had is the highest source that the socket was sent of a tail which the log has lost, behind lost. It means nothing
	// behind hadTo, if that is not zero.
	had, lost, hadTo streamID
	limit            int
}

// boundHad notes from where on the log's source ids are others than those of had.
func (r *ring) boundHad(q *question) {
	if r.resetAt.compare(q.lost) > 0 && (q.hadTo.isZero() || r.resetAt.compare(q.hadTo) < 0) {
		q.hadTo = r.resetAt
	}
}

// missed returns, in order, the entries after q.after that a socket in q.rooms would have been sent. The error is
// errTooMany. Whether the ring reaches back that far is for the caller to know.
func (r *ring) missed(q question) ([]*logged, error) {
	r.boundHad(&q)
	var found []*logged
	take := func(queue *queue, since streamID) error {
		if queue == nil {
			return nil
		}
		if since.compare(q.after) < 0 {
			since = q.after
		}
		items := queue.items()[queue.after(since):]
		if len(items) > q.limit {
			return errTooMany
		}
		found = append(found, items...)
		return nil
	}
	if err := take(r.everyone[q.nsp], streamID{}); err != nil {
		return nil, err
	}
	for room, since := range q.rooms {
		if err := take(r.rooms[roomKey{q.nsp, room}], since); err != nil {
			return nil, err
		}
	}
	return q.sorted(found)
}

// sorted orders entries, and drops repetitions and those that the socket is excepted from or had.
func (q question) sorted(found []*logged) ([]*logged, error) {
	slices.SortFunc(found, func(a, b *logged) int { return a.id.compare(b.id) })
	found = slices.CompactFunc(found, func(a, b *logged) bool { return a.id == b.id })
	found = slices.DeleteFunc(found, q.excepted)
	if len(found) > q.limit {
		return nil, errTooMany
	}
	return found, nil
}

func (q question) excepted(l *logged) bool {
	if !l.source.isZero() && l.source.compare(q.had) <= 0 && (q.hadTo.isZero() || l.id.compare(q.hadTo) <= 0) {
		return true
	}
	for _, room := range l.opts.Except {
		if _, in := q.rooms[room]; in {
			return true
		}
	}
	return false
}

// wants reports whether the socket would have been sent an entry; for entries that are in no index.
func (q question) wants(l *logged) bool {
	if !l.replayed() || l.nsp != q.nsp || l.id.compare(q.after) <= 0 || q.excepted(l) {
		return false
	}
	if len(l.opts.Rooms) == 0 {
		return true
	}
	return slices.ContainsFunc(l.opts.Rooms, func(room string) bool {
		since, in := q.rooms[room]
		return in && l.id.compare(since) > 0
	})
}

// queue holds entries by ascending id; entries come and go at both ends.
type queue struct {
	list []*logged
	head int // list[:head] is spent
}

func (q *queue) items() []*logged { return q.list[q.head:] }
func (q *queue) len() int         { return len(q.list) - q.head }
func (q *queue) first() *logged   { return q.list[q.head] }
func (q *queue) last() *logged    { return q.list[len(q.list)-1] }

func (q *queue) push(l *logged) {
	// Moving only when half is spent costs nothing to speak of for each entry.
	if len(q.list) == cap(q.list) && q.head > len(q.list)/2 {
		n := copy(q.list, q.list[q.head:])
		clear(q.list[n:])
		q.list, q.head = q.list[:n], 0
	}
	q.list = append(q.list, l)
}

func (q *queue) popFirst() *logged {
	l := q.list[q.head]
	q.list[q.head] = nil
	q.head++
	return l
}

func (q *queue) popLast() *logged {
	end := len(q.list) - 1
	l := q.list[end]
	q.list[end] = nil
	q.list = q.list[:end]
	return l
}

// after is the index in items of the first entry above id.
func (q *queue) after(id streamID) int {
	i, found := slices.BinarySearchFunc(q.items(), id, func(l *logged, id streamID) int { return l.id.compare(id) })
	if found {
		i++
	}
	return i
}
