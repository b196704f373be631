package adapter

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// mostRefs is how many receivers of one delivery are remembered one by one.
	mostRefs = 16
	// refsPerEntry is how many are remembered for an entry on average.
	refsPerEntry = 4
)

// What a ref says of its frame besides the frame's number.
const (
	frameWaits   = 0              // in the socket's outbox
	frameRefused = ^uint64(0)     // the connection did not take it
	frameUncount = ^uint64(0) - 1 // given to a connection that does not number frames
)

// journal remembers this node's latest deliveries and replays, so that it can be told afterwards whom an entry has
// reached. It holds no socket: members are known by their serial numbers, and those that have gone by their departures.
// Nothing is allocated for a delivery.
type journal struct {
	began      time.Time
	deliveries notes
	replays    notes
	departures departures
}

// newJournal returns nil if nothing is to be remembered.
func newJournal(entries int) *journal {
	if entries == 0 {
		return nil
	}
	j := &journal{began: time.Now()}
	j.deliveries.init(entries, refsPerEntry*entries)
	j.replays.init(entries, entries)
	j.departures.list = make([]departure, 0, min(entries, 1024))
	j.departures.limit = entries
	return j
}

// noted is what happened to one entry of the log: 56 bytes.
type noted struct {
	id, source streamID
	at         int64  // unix ms
	ref        uint64 // the first of its refs, counted since the start
	sockets    uint32
	kept       uint32 // how many refs it has
}

// ref is a receiver of an entry: a member's serial number, and the number of the frame on its connection.
type ref struct{ member, frame atomic.Uint64 }

// fill says which frame a socket's outbox has made of what waited there, unless the place serves another by now.
func (r *ref) fill(member, frame uint64) {
	if r != nil && r.member.Load() == member {
		r.frame.CompareAndSwap(frameWaits, frame)
	}
}

// notes are the latest records. They are added under the delivery lock.
type notes struct {
	mu      sync.Mutex
	records []noted // mu; a ring
	next    uint64  // mu: how many have been added
	nextRef uint64  // mu, and the delivery lock, either of which is enough to read it
	refs    []ref   // a ring
}

func (n *notes) init(records, refs int) {
	n.records = make([]noted, records)
	n.refs = make([]ref, max(refs, 2*mostRefs))
}

// take gives the i-th receiver of the record that will be added next its place. For holders of the delivery lock.
func (n *notes) take(i, member uint64) *ref {
	r := &n.refs[(n.nextRef+i)%uint64(len(n.refs))]
	r.member.Store(member)
	r.frame.Store(frameWaits)
	return r
}

// add notes a record whose receivers have their places. For holders of the delivery lock.
func (n *notes) add(r noted) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r.ref = n.nextRef
	n.records[n.next%uint64(len(n.records))] = r
	n.next++
	n.nextRef += uint64(r.kept)
}

// receipt is a ref as it was when it was looked at.
type receipt struct {
	member, frame uint64
	at            int64
}

// find returns the records of an entry, or of a source, with those of their refs that are still there.
func (n *notes) find(id, source streamID) (found []noted, receipts []receipt) {
	n.mu.Lock()
	defer n.mu.Unlock()
	size := uint64(len(n.records))
	for i := n.next - min(n.next, size); i < n.next; i++ {
		r := &n.records[i%size]
		if r.id != id && (source.isZero() || r.source != source) {
			continue
		}
		found = append(found, *r)
		// The next delivery may be taking the oldest places.
		if oldest := int64(n.nextRef) - int64(len(n.refs)) + mostRefs; int64(r.ref) < oldest {
			continue
		}
		for k := range uint64(r.kept) {
			place := &n.refs[(r.ref+k)%uint64(len(n.refs))]
			receipts = append(receipts, receipt{member: place.member.Load(), frame: place.frame.Load(), at: r.at})
		}
	}
	return found, receipts
}

// since is the time from which on all is remembered; the zero time if nothing was forgotten.
func (n *notes) since() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	size := uint64(len(n.records))
	if n.next <= size {
		return time.Time{}
	}
	return time.UnixMilli(n.records[n.next%size].at)
}

// departure is a socket that has gone.
type departure struct {
	member    uint64
	sid, user string
	written   *atomic.Uint64 // frames; nil if its connection does not count them
	why       string         // its connection's word; "" if the connection was still there
	at        time.Time
}

// departures are the latest ones.
type departures struct {
	mu    sync.Mutex
	limit int
	list  []departure // mu; a ring once it has limit
	next  int         // mu: the oldest
}

func (d *departures) add(one departure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.list) < d.limit {
		d.list = append(d.list, one)
		return
	}
	d.list[d.next] = one
	d.next = (d.next + 1) % d.limit
}

func (d *departures) of(members map[uint64]struct{}) map[uint64]departure {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := make(map[uint64]departure, len(members))
	for _, one := range d.list {
		if _, wanted := members[one.member]; wanted {
			found[one.member] = one
		}
	}
	return found
}

// numberingWriter is a frameWriter that tells a frame's number, and how far it has come.
type numberingWriter interface {
	frameWriter
	// WriteNumbered is WriteFrames that returns the number of the last frame; 0: dropped.
	WriteNumbered(frames [][]byte, volatile, uncharged bool) uint64
	// Added is the number of the last frame that was taken.
	Added() uint64
	// Written counts the frames that have gone out; it outlives the connection.
	Written() *atomic.Uint64
	// Why is a word on why the connection has ended, "" if it has not.
	Why() string
}

// give hands a frame to a connection and returns what a ref says of it.
func give(conn frameWriter, f *frame, uncharged bool) uint64 {
	if numbering, ok := conn.(numberingWriter); ok {
		if number := numbering.WriteNumbered(f.frames, f.volatile, uncharged); number > 0 {
			return number
		}
		return frameRefused
	}
	if conn.WriteFrames(f.frames, f.volatile, uncharged) {
		return frameUncount
	}
	return frameRefused
}

// notesOf is where a frame's receivers are noted, nil if that is nowhere.
func (c *Cluster) notesOf(f *frame) *notes {
	if c.journal == nil || f.id.isZero() {
		return nil
	}
	return &c.journal.deliveries
}

// place is take for a member, nil for one that is not remembered.
func (n *notes) place(i uint64, m *member) *ref {
	if n == nil || i >= mostRefs {
		return nil
	}
	return n.take(i, m.serial)
}

// noteDelivery notes whom an entry has reached. For holders of the delivery lock.
func (n *notes) noteDelivery(d *delivery, receivers uint64) {
	if n == nil {
		return
	}
	n.add(noted{
		id: d.frame.id, source: d.source, at: time.Now().UnixMilli(), sockets: uint32(receivers), kept: uint32(min(receivers, mostRefs)),
	})
}

// noteReplay notes that a member is sent an entry that it missed. For holders of the delivery lock.
func (c *Cluster) noteReplay(l *logged, m *member) *ref {
	if c.journal == nil {
		return nil
	}
	place := c.journal.replays.take(0, m.serial)
	c.journal.replays.add(noted{id: l.id, source: l.source, at: time.Now().UnixMilli(), sockets: 1, kept: 1})
	return place
}

// departed notes that a member has gone.
func (c *Cluster) departed(m *member) {
	user := m.user.Load()
	if c.journal == nil || user == nil {
		return
	}
	d := departure{member: m.serial, sid: string(m.id), user: *user, at: time.Now()}
	if s := m.sock.Load(); s != nil {
		if conn, ok := s.Conn().(numberingWriter); ok {
			d.written, d.why = conn.Written(), conn.Why()
		}
	}
	c.journal.departures.add(d)
}
