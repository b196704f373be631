package adapter

import (
	"fmt"
	"math/rand"
	"runtime"
	"slices"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/require"
)

// naiveRing is what a ring has to be, by the plainest means.
type naiveRing struct {
	limits ringLimits
	list   []*logged
	from   streamID
	source streamID
	// dropped is the highest source of what the limits dropped since the sources began.
	dropped streamID
}

func (n *naiveRing) reset(from streamID) {
	n.list, n.from, n.source, n.dropped = nil, from, streamID{}, streamID{}
}

func (n *naiveRing) keep(l logged) {
	if !l.source.isZero() && l.source.compare(n.source) <= 0 {
		l = logged{id: l.id, nsp: l.nsp, source: l.source}
	}
	n.list = append(n.list, &l)
	n.learn()
	for n.exceeds() {
		n.from = n.list[0].id
		switch l := n.list[0]; {
		case l.resets:
			n.dropped = streamID{}
		case l.source.compare(n.dropped) > 0:
			n.dropped = l.source
		}
		n.list = n.list[1:]
	}
}

func (n *naiveRing) learn() {
	switch l := n.list[len(n.list)-1]; {
	case l.resets:
		n.source = streamID{}
	case l.source.compare(n.source) > 0:
		n.source = l.source
	}
}

func (n *naiveRing) exceeds() bool {
	if len(n.list) == 0 {
		return false
	}
	bytes := 0
	for _, l := range n.list {
		bytes += l.size()
	}
	newest := n.list[len(n.list)-1]
	return len(n.list) > n.limits.entries || bytes > n.limits.bytes ||
		n.list[0].id.ms+uint64(n.limits.age.Milliseconds()) < newest.id.ms
}

func (n *naiveRing) forgetAbove(id streamID) {
	if n.from.compare(id) > 0 {
		n.from, n.dropped = id, streamID{}
	}
	list := n.list
	n.list, n.source = nil, n.dropped
	for _, l := range list {
		if l.id.compare(id) <= 0 {
			n.list = append(n.list, l)
			n.learn()
		}
	}
}

func (n *naiveRing) covers(id streamID) bool {
	return id == n.from || slices.ContainsFunc(n.list, func(l *logged) bool { return l.id == id })
}

// missed returns the ids; tooMany counts an entry that the socket is excepted from, too, if one room alone has so many.
func (n *naiveRing) missed(q question) (ids []streamID, tooMany bool) {
	perRoom := make(map[string]int)
	for _, l := range n.list {
		if l.nsp != q.nsp || l.id.compare(q.after) <= 0 || l.frame == nil && !l.kicks || l.frame != nil && l.frame.id.isZero() && !l.kicks {
			continue
		}
		in := len(l.opts.Rooms) == 0
		if in {
			perRoom["everyone"]++
		}
		seen := make(map[string]bool)
		for _, room := range l.opts.Rooms {
			if since, was := q.rooms[room]; was && l.id.compare(since) > 0 && !seen[room] {
				seen[room], in = true, true
				perRoom["room "+room]++
			}
		}
		excepted := false
		for _, room := range l.opts.Except {
			_, is := q.rooms[room]
			excepted = excepted || is
		}
		if in && !excepted {
			ids = append(ids, l.id)
		}
	}
	for _, count := range perRoom {
		tooMany = tooMany || count > q.limit
	}
	return ids, tooMany || len(ids) > q.limit
}

// ringTrial drives a ring and its naive twin through the same random life.
type ringTrial struct {
	t     *testing.T
	rnd   *rand.Rand
	ring  *ring
	naive *naiveRing
	id    streamID
	// known are ids that are or were an entry.
	known []streamID
}

func newRingTrial(t *testing.T, seed int64) *ringTrial {
	rnd := rand.New(rand.NewSource(seed))
	limits := ringLimits{
		entries: 1 + rnd.Intn(60), bytes: 700 + rnd.Intn(40_000), age: time.Duration(1+rnd.Intn(80)) * time.Millisecond,
	}
	start := streamID{ms: uint64(rnd.Intn(3)), seq: uint64(rnd.Intn(3))}
	x := &ringTrial{t: t, rnd: rnd, ring: newRing(limits), naive: &naiveRing{limits: limits}, id: start}
	x.ring.reset(start)
	x.naive.reset(start)
	x.known = []streamID{{}, start}
	return x
}

func (x *ringTrial) someRooms(most int) []string {
	var rooms []string
	for range x.rnd.Intn(most + 1) {
		rooms = append(rooms, string(rune('a'+x.rnd.Intn(5)))) // one may come twice
	}
	return rooms
}

func (x *ringTrial) someID() streamID {
	id := x.known[x.rnd.Intn(len(x.known))]
	switch x.rnd.Intn(6) {
	case 0:
		return streamID{ms: id.ms, seq: id.seq + 1}
	case 1:
		return id.before()
	}
	return id
}

func (x *ringTrial) grow() {
	if x.rnd.Intn(3) == 0 && x.id.seq < 1<<40 {
		x.id.seq++
	} else {
		x.id = streamID{ms: x.id.ms + 1 + uint64(x.rnd.Intn(6)), seq: uint64(x.rnd.Intn(2))}
	}
	if x.rnd.Intn(200) == 0 {
		x.id.ms += 1000 // nothing of before is young enough any more
	}
	l := logged{id: x.id, nsp: []string{"/", "/other"}[x.rnd.Intn(5)/4]}
	l.opts = options{Rooms: x.someRooms(4), Except: x.someRooms(1)}
	switch x.rnd.Intn(12) {
	case 0: // a position
		l = logged{id: x.id, resets: x.rnd.Intn(2) == 0}
	case 1:
		l.kicks = true
	case 2: // nothing that is replayed
		l.frame = &frame{frames: [][]byte{make([]byte, 10)}}
	default:
		l.frame = &frame{id: x.id, frames: [][]byte{make([]byte, x.rnd.Intn(900))}}
	}
	if !l.resets && x.rnd.Intn(2) == 0 {
		l.source = streamID{ms: x.id.ms, seq: uint64(x.rnd.Intn(3))}
		if x.rnd.Intn(4) == 0 {
			l.source = x.someID()
		}
	}
	x.known = append(x.known, x.id)
	x.naive.keep(l)
	x.ring.keep(&l)
}

func (x *ringTrial) step() {
	switch n := x.rnd.Intn(300); {
	case n == 0:
		to := x.someID()
		x.naive.reset(to)
		x.ring.reset(to)
		x.id = to
	case n < 4:
		to := x.someID()
		x.naive.forgetAbove(to)
		x.ring.forgetAbove(to)
		if x.id.compare(to) > 0 {
			x.id = maxID(to, x.naive.from)
		}
	default:
		x.grow()
	}
}

func (x *ringTrial) compare() {
	require.Equal(x.t, x.naive.from, x.ring.from)
	require.Equal(x.t, x.naive.source, x.ring.source)
	require.Equal(x.t, len(x.naive.list), x.ring.all.len())
	bytes := 0
	for _, l := range x.naive.list {
		bytes += l.size()
	}
	require.Equal(x.t, bytes, x.ring.bytes)
	id := x.someID()
	require.Equal(x.t, x.naive.covers(id), x.ring.covers(id), id)
	require.Equal(x.t, id.compare(x.naive.from) >= 0, x.ring.hasAllAfter(id))
	q := question{nsp: []string{"/", "/other", "/none"}[x.rnd.Intn(3)], after: x.someID(), rooms: make(map[string]streamID), limit: x.rnd.Intn(40)}
	for _, room := range x.someRooms(4) {
		q.rooms[room] = x.someID()
		if x.rnd.Intn(2) == 0 {
			q.rooms[room] = streamID{}
		}
	}
	ids, tooMany := x.naive.missed(q)
	found, err := x.ring.missed(q)
	if tooMany {
		require.ErrorIs(x.t, err, errTooMany)
		return
	}
	require.NoError(x.t, err)
	var got []streamID
	for _, l := range found {
		got = append(got, l.id)
		require.True(x.t, q.wants(l), "what is missed is wanted")
	}
	require.Equal(x.t, ids, got)
	wanted := 0
	for _, l := range x.ring.all.items() {
		if q.wants(l) {
			wanted++
		}
	}
	require.Len(x.t, ids, wanted, "the two ways of asking agree")
}

func TestTheRingAgreesWithANaiveOne(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	for trial := range 60 {
		x := newRingTrial(t, seed+int64(trial))
		for range 400 {
			x.step()
			x.compare()
		}
	}
}

func TestTheRingLetsGoOfWhatItEvicts(t *testing.T) {
	limits := ringLimits{entries: 100, bytes: 1 << 30, age: time.Hour}
	r := newRing(limits)
	var refs []weak.Pointer[logged]
	for i := range 5000 {
		id := streamID{ms: uint64(i + 1)}
		l := &logged{id: id, nsp: "/", frame: &frame{id: id}, opts: options{Rooms: []string{"all", fmt.Sprint("own", i), fmt.Sprint("shared", i%7)}}}
		if i%5 == 0 {
			l.opts.Rooms = nil
		}
		refs = append(refs, weak.Make(l))
		r.keep(l)
		if i%1000 == 999 {
			r.forgetAbove(streamID{ms: uint64(i - 20)})
		}
	}
	runtime.GC()
	alive := 0
	for _, ref := range refs {
		if ref.Value() != nil {
			alive++
		}
	}
	require.Equal(t, r.all.len(), alive)
	require.LessOrEqual(t, cap(r.all.list), 512)
	require.LessOrEqual(t, len(r.rooms), 100+8, "a room without an entry has no place in the index")
	for _, q := range r.rooms {
		require.LessOrEqual(t, cap(q.list), 512)
	}
	r.forgetAbove(streamID{})
	require.Empty(t, r.rooms)
	require.Empty(t, r.everyone)
	require.Zero(t, r.bytes)
	runtime.KeepAlive(r)
}

// A ring that is built of another one's entries must leave that one as it is, and others may be reading them.
func TestKeepingARepetitionLeavesTheEntryAlone(t *testing.T) {
	id := streamID{ms: 5}
	l := &logged{id: id, nsp: "/", source: streamID{ms: 1}, frame: &frame{id: id}, opts: options{Rooms: []string{"r"}}}
	older := newRing(ringLimits{entries: 2, bytes: 1 << 20, age: time.Hour})
	older.keep(l)
	grown := newRing(older.limits)
	grown.keep(&logged{id: streamID{ms: 4}, nsp: "/", source: streamID{ms: 1}, frame: &frame{id: streamID{ms: 4}}, opts: l.opts})
	grown.keep(l)
	require.NotNil(t, l.frame)
	q := question{nsp: "/", rooms: map[string]streamID{"r": {}}, limit: 10}
	found, err := older.missed(q)
	require.NoError(t, err)
	require.Equal(t, []*logged{l}, found)
	found, err = grown.missed(q)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, streamID{ms: 4}, found[0].id)
}

// What a client had of a lost tail says nothing of sources that have begun anew since.
func TestWhatWasHadEndsWhereSourcesBeginAnew(t *testing.T) {
	r := newRing(ringLimits{entries: 5, bytes: 1 << 20, age: time.Hour})
	event := func(ms, source uint64) *logged {
		id := streamID{ms: ms}
		return &logged{id: id, nsp: "/", source: streamID{ms: source}, frame: &frame{id: id}}
	}
	missed := func(lost uint64) (ms []uint64) {
		found, err := r.missed(question{nsp: "/", after: streamID{ms: 10}, had: streamID{ms: 3}, lost: streamID{ms: lost}, limit: 10})
		require.NoError(t, err)
		for _, l := range found {
			ms = append(ms, l.id.ms)
		}
		return ms
	}
	r.keep(event(11, 2))
	r.keep(event(12, 4))
	require.Equal(t, []uint64{12}, missed(5))
	r.keep(&logged{id: streamID{ms: 13}, resets: true})
	r.keep(event(14, 1))
	require.Equal(t, []uint64{12, 14}, missed(5))
	require.Equal(t, []uint64{12}, missed(13), "lost after that")
	for ms := range uint64(6) {
		r.keep(event(20+ms, 10+ms))
	}
	require.Equal(t, streamID{ms: 13}, r.resetAt, "remembered, though dropped")
	r.forgetAbove(streamID{ms: 22})
	require.Equal(t, streamID{ms: 13}, r.resetAt)
	r.forgetAbove(streamID{ms: 12})
	require.Zero(t, r.resetAt)
}
