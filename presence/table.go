package presence

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// record counts one key's sockets. Its fields are guarded by the table's lock.
type record struct {
	key

	n      int64 // sockets now
	stored int64 // what Redis holds of it, as far as is known
	// unsure: what Redis holds is not known, so n has to be written even if it equals stored.
	unsure bool
	// dirty: it is in the table's dirt, between prev and next of its room.
	dirty      bool
	prev, next *record
	// inFlight: a call with this record is under way.
	inFlight bool
	// known: Redis was emptied, but held the member before: its joining is nothing new, its leaving is.
	known bool
	// fell: when its count last fell. ripe: that was long enough ago to be written.
	fell time.Time
	ripe bool
	// left: when the zero that Redis holds was sent; until the grace has passed, the record is kept, since an emptied
	// Redis has forgotten that user_left is due.
	left time.Time
}

// table counts sockets by key and knows what has to be written. It holds one record per key that has sockets, or has
// them in Redis, or left within the grace.
type table struct {
	grace      time.Duration
	underflows *atomic.Uint64
	// hold is how long a fallen count is not written, for the socket that is back by then.
	hold time.Duration

	mu      sync.Mutex
	records map[key]*record // guarded by mu
	dirty   dirt            // guarded by mu; what has to be written
	sockets int64           // guarded by mu
	leavers []leaver        // guarded by mu; in the order they left
	// held are those whose counts fell lately. Guarded by mu.
	held map[*record]struct{}
}

// leaver is a record that left at a time; if it has left again since, the record says a later one.
type leaver struct {
	rec  *record
	left time.Time
}

// dirt is a set of records, by room, since what changes in one room is cheaper to write together; each room's in the
// order they came.
type dirt map[string]linked

// linked is a list of records through their next and prev.
type linked struct {
	first, last *record
	n           int
}

func (d dirt) put(r *record) {
	if r.dirty {
		return
	}
	l := d[r.room]
	r.dirty, r.prev, r.next = true, l.last, nil
	if l.last == nil {
		l.first = r
	} else {
		l.last.next = r
	}
	l.last = r
	l.n++
	d[r.room] = l
}

func (d dirt) drop(r *record) {
	if !r.dirty {
		return
	}
	l := d[r.room]
	if r.prev == nil {
		l.first = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next == nil {
		l.last = r.prev
	} else {
		r.next.prev = r.prev
	}
	l.n--
	r.dirty, r.prev, r.next = false, nil, nil
	if l.n == 0 {
		delete(d, r.room)
	} else {
		d[r.room] = l
	}
}

func newTable(grace time.Duration, underflows *atomic.Uint64) *table {
	return &table{grace: grace, underflows: underflows, records: map[key]*record{}, dirty: dirt{}, held: map[*record]struct{}{}}
}

// add changes k's count by d. A count never falls under zero.
func (t *table) add(k key, d int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.records[k]
	if r == nil && d > 0 {
		r = &record{key: k}
		t.records[k] = r
	}
	if r == nil || r.n+d < 0 {
		t.underflows.Add(1)
		return
	}
	r.n += d
	t.sockets += d
	if d < 0 && t.hold > 0 {
		r.fell, r.ripe = time.Now(), false
	}
	t.touch(r)
}

// touch puts r where it belongs: to be written, at rest, or forgotten. The lock is held.
func (t *table) touch(r *record) {
	switch {
	case r.inFlight: // settle decides
	case t.hold > 0 && r.n < r.stored && !r.unsure && !r.known && !r.ripe:
		t.dirty.drop(r)
		t.held[r] = struct{}{}
		return
	case r.n != r.stored || r.unsure:
		t.dirty.put(r)
	default:
		t.dirty.drop(r)
		if r.n == 0 && r.left.IsZero() {
			delete(t.records, r.key)
		}
	}
	delete(t.held, r)
}

// ripen lets the counts be written that have been low for as long as they are held back.
func (t *table) ripen(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var due []*record
	for r := range t.held {
		if now.Sub(r.fell) >= t.hold {
			due = append(due, r)
		}
	}
	slices.SortFunc(due, func(a, b *record) int { return a.fell.Compare(b.fell) })
	for _, r := range due {
		r.ripe = true
		t.touch(r)
	}
}

// change is one record's part of a call.
type change struct {
	rec   *record
	n     int64
	ripe  bool // its falling was held back
	known bool
	fresh bool // Redis may see it come: an announcement may be due
}

// take returns up to limit changes, a room's together, which settle has to be called with. With hold, members that are new are left for
// later: other nodes may not yet have said again that the user is there.
func (t *table) take(limit int, hold bool) []change {
	t.mu.Lock()
	defer t.mu.Unlock()
	var taken []change
	for _, room := range t.dirty {
		for r := room.first; r != nil; {
			if len(taken) == limit {
				return taken
			}
			at := r
			r = r.next
			if hold && at.n > 0 && at.stored == 0 && !at.known {
				continue
			}
			at.inFlight = true
			t.dirty.drop(at)
			fresh := at.n > 0 && (at.stored == 0 || at.unsure) && !at.known
			taken = append(taken, change{rec: at, n: at.n, ripe: at.ripe, known: at.known, fresh: fresh})
			at.ripe = false
		}
	}
	return taken
}

// outcome of a call with changes.
type outcome int

const (
	applied outcome = iota
	refused         // nothing was applied
	unknown         // it failed: all or nothing of it was applied
)

// settle ends a call that began at sent.
func (t *table) settle(changes []change, how outcome, sent time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range changes {
		r := c.rec
		r.inFlight = false
		switch how {
		case applied:
			if t.grace > 0 && c.n == 0 && (r.stored > 0 || r.unsure || r.known) {
				r.left = sent
				t.leavers = append(t.leavers, leaver{r, sent})
			}
			r.stored, r.unsure, r.known = c.n, false, false
			t.touch(r)
		case refused:
			t.touch(r)
		case unknown:
			r.unsure = true
			t.touch(r)
		}
	}
}

// forget drops the records of those who left longer than the grace ago.
func (t *table) forget(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for ; n < len(t.leavers) && now.Sub(t.leavers[n].left) >= t.grace; n++ {
		if r := t.leavers[n].rec; r.left.Equal(t.leavers[n].left) {
			r.left = time.Time{}
			t.touch(r)
		}
	}
	t.leavers = slices.Delete(t.leavers, 0, n)
}

// emptied notes that Redis has lost everything it held.
func (t *table) emptied(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.records {
		if r.stored > 0 || (!r.left.IsZero() && now.Sub(r.left) < t.grace) {
			r.known = true
		}
		r.stored, r.unsure, r.ripe = 0, true, false
		t.dirty.put(r)
	}
}

// doubt has everything written again.
func (t *table) doubt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.records {
		r.unsure = true
		t.dirty.put(r)
	}
}

// stranger notes a key that Redis holds for this node: one that has no sockets here is written as zero.
func (t *table) stranger(k key, stored int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.records[k] != nil {
		return
	}
	r := &record{key: k, stored: stored, unsure: true}
	t.records[k] = r
	t.dirty.put(r)
}

// total is the number of sockets counted.
func (t *table) total() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sockets
}

// waiting is the number of changes to be written.
func (t *table) waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, room := range t.dirty {
		n += room.n
	}
	return n
}
