package adapter

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/zishang520/socket.io/servers/socket/v3"
)

// member is a local socket's place in the rooms of one namespace, and its way to the connection. What a broadcast
// looks at stands first, so that it is together in memory, and the whole fills cache lines, so that it begins with one.
type member struct {
	link atomic.Uint32 // linkQueued, linkDirect, linkHalted
	// served is set when the socket has got its session: from then on it is told the position. The delivery lock.
	served bool
	gone   bool        // mu
	conn   frameWriter // constant once link is linkDirect, and not to be looked at before
	// upTo is the last log entry that the socket was sent or need not be: what comes at or below it is a repetition.
	// The delivery lock.
	upTo  streamID
	stamp uint64 // the table's walkMu
	// floor is where the socket began to be served: what the log has at or below it is no concern of its. The delivery
	// lock.
	floor streamID
	// had is the highest source that the socket was sent of a tail which the log has lost: what comes of that again is a
	// repetition to it, though not to others. The delivery lock.
	had streamID

	// serial is the member's number in the journal, and user whose socket it is, nil until it is served.
	serial uint64
	user   atomic.Pointer[string]

	id   socket.SocketId
	sock atomic.Pointer[socket.Socket]
	// out is nil once link is linkDirect.
	out atomic.Pointer[outbox]

	mu    sync.Mutex
	rooms []*place // mu
	all   place    // among all members
}

// place is a member's presence in a room.
type place struct {
	room *room
	// since is the log's position at which the socket came in. The member's mu.
	since streamID
	seat  int // where the room's list has the member; the lock of the room's shard
}

// frameWriter is a connection that takes frames, complete and in order. It never blocks and calls nobody back, since
// locks are held meanwhile. If its client does not read, it closes itself; what is uncharged does not count for that.
// Volatile frames are for a client that can take them now. False means that the frames were dropped.
type frameWriter interface {
	WriteFrames(frames [][]byte, volatile, uncharged bool) bool
}

const (
	// linkQueued sends through the outbox: before the socket's set-up is over, and for connections that need it.
	linkQueued uint32 = iota
	// linkDirect hands frames to the connection at once.
	linkDirect
	// linkHalted sends nothing more.
	linkHalted
)

// serials numbers members, from 1.
var serials atomic.Uint64

func newMember(id socket.SocketId) *member {
	m := &member{id: id, serial: serials.Add(1)}
	m.out.Store(&outbox{})
	return m
}

// socketIn finds the library's socket, which is registered with the namespace only when it connects.
func (m *member) socketIn(nsp socket.Namespace) *socket.Socket {
	if s := m.sock.Load(); s != nil {
		return s
	}
	s, ok := nsp.Sockets().Load(m.id)
	if !ok {
		return nil
	}
	m.sock.Store(s)
	return s
}

// placeIn finds the member's place in a room, -1 if it has none. For holders of mu.
func (m *member) placeIn(name socket.Room) int {
	return slices.IndexFunc(m.rooms, func(p *place) bool { return p.room.name == name })
}

// roomSet returns a copy of the rooms, nil for a member that left.
func (m *member) roomSet() []socket.Room {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone {
		return nil
	}
	names := make([]socket.Room, len(m.rooms))
	for i, p := range m.rooms {
		names[i] = p.room.name
	}
	return names
}

// roomsSince returns the rooms as a session keeps them; the socket's own is none of them.
func (m *member) roomsSince() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	rooms := make(map[string]string, len(m.rooms))
	for _, p := range m.rooms {
		if p.room.name != socket.Room(m.id) {
			rooms[string(p.room.name)] = p.since.String()
		}
	}
	return rooms
}

// setSince notes since when the socket is in those of the rooms that it is in.
func (m *member) setSince(rooms map[string]streamID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.rooms {
		if since, known := rooms[string(p.room.name)]; known {
			p.since = since
		}
	}
}

// lowerSince makes that the socket was in its rooms since to at the latest. It reports whether that changed anything.
func (m *member) lowerSince(to streamID) (changed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.rooms {
		if p.since.compare(to) > 0 {
			p.since, changed = to, true
		}
	}
	return changed
}

func (m *member) isGone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gone
}

// belongsTo notes whose socket it is.
func (m *member) belongsTo(user string, s *socket.Socket) {
	m.user.Store(&user)
	m.sock.Store(s)
}

// serveFrom notes that the socket has its session, and is served what the log has behind id. For holders of the
// delivery lock.
func (m *member) serveFrom(id streamID) { m.upTo, m.floor, m.served = id, id, true }

// halt drops what waits for the socket and whatever comes; what its connection has taken goes out.
func (m *member) halt() {
	if box := m.out.Load(); box != nil {
		box.halt()
	}
	m.link.Store(linkHalted)
}
