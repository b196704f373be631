package gossip

import (
	"cmp"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// A node that ended is remembered for Answers this long, and as one of this many at most.
	rememberEnded    = 10 * time.Minute
	rememberEndedMax = 1024
)

// Member is a node as the cluster knows it.
type Member struct {
	// Identity is the process, "name:incarnation".
	Identity string
	Meta
}

// told is what the callbacks last said of a node.
type told int

const (
	toldNothing told = iota
	toldJoined
	toldLeft
)

type record struct {
	member Member
	addr   net.UDPAddr
	alive  bool
	since  time.Time // of alive's last change
	told   told
}

// members is the state memberlist's events leave. They come under memberlist's own lock, so they only note and signal:
// a listener that is slow sees states, not a queue that could overflow; what it misses in between has cancelled out.
type members struct {
	self    string
	changed chan struct{} // holds one signal

	joins, leaves, badMeta atomic.Uint64
	changes                atomic.Uint64 // of what list returns

	mu    sync.Mutex // never held while calling memberlist, whose lock comes first
	nodes map[string]*record
	live  int
}

var _ memberlist.EventDelegate = (*members)(nil)

func newMembers(self string) *members {
	return &members{self: self, changed: make(chan struct{}, 1), nodes: map[string]*record{}}
}

// NotifyJoin notes a node that is there, for the first time or again.
func (m *members) NotifyJoin(n *memberlist.Node) { m.note(n, true) }

// NotifyUpdate notes new metadata.
func (m *members) NotifyUpdate(n *memberlist.Node) { m.note(n, true) }

// NotifyLeave notes a node that left or died.
func (m *members) NotifyLeave(n *memberlist.Node) { m.note(n, false) }

func (m *members) note(n *memberlist.Node, alive bool) {
	if n.Name == m.self {
		return
	}
	meta, err := decodeMeta(n.Meta)
	if err != nil {
		m.badMeta.Add(1)
	}
	m.mu.Lock()
	r := m.nodes[n.Name]
	if r == nil {
		r = &record{}
		m.nodes[n.Name] = r
	}
	if r.alive != alive {
		r.alive, r.since = alive, time.Now()
		if alive {
			m.live++
		} else {
			m.live--
		}
	}
	r.member = Member{Identity: n.Name, Meta: meta}
	r.addr = net.UDPAddr{IP: slices.Clone(n.Addr), Port: int(n.Port)}
	m.changes.Add(1)
	m.mu.Unlock()
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// others counts the live nodes besides this one.
func (m *members) others() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.live
}

func (m *members) list() []Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]Member, 0, m.live+1)
	for _, r := range m.nodes {
		if r.alive {
			all = append(all, r.member)
		}
	}
	return all
}

// find returns where a node is or was.
func (m *members) find(identity string) (addr net.UDPAddr, seen bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.nodes[identity]
	if r == nil {
		return net.UDPAddr{}, false
	}
	return r.addr, true
}

// addresses returns where live nodes gossip.
func (m *members) addresses() map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make(map[string]bool, m.live)
	for _, r := range m.nodes {
		if r.alive {
			all[r.addr.String()] = true
		}
	}
	return all
}

// news returns what changed since it was last asked, and forgets nodes that ended long ago. A node that came and went
// unnoticed has left all the same.
func (m *members) news() (joined, left []Member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.nodes {
		switch {
		case r.alive && r.told != toldJoined:
			r.told = toldJoined
			joined = append(joined, r.member)
		case !r.alive && r.told != toldLeft:
			r.told = toldLeft
			left = append(left, r.member)
		}
	}
	m.joins.Add(uint64(len(joined)))
	m.leaves.Add(uint64(len(left)))
	m.forget(time.Now())
	return joined, left
}

// forget runs under mu.
func (m *members) forget(now time.Time) {
	var ended []*record
	for identity, r := range m.nodes {
		switch {
		case r.alive:
		case now.Sub(r.since) > rememberEnded:
			delete(m.nodes, identity)
		default:
			ended = append(ended, r)
		}
	}
	if len(ended) <= rememberEndedMax {
		return
	}
	slices.SortFunc(ended, func(a, b *record) int { return cmp.Compare(a.since.UnixNano(), b.since.UnixNano()) })
	for _, r := range ended[:len(ended)-rememberEndedMax] {
		delete(m.nodes, r.member.Identity)
	}
}

// any says whether another node was seen lately.
func (m *members) any() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.nodes) > 0
}
