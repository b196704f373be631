package adapter

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"
)

const (
	// stuckAfter is how long a connection may take no packet at all, while there are some, before it is closed.
	stuckAfter = 30 * time.Second
	// maxWaiting bounds the packets that wait for one connection. They are shared by all their receivers, so it is
	// generous: a burst that is ours is not the client's fault.
	maxWaiting = 1 << 16
	// keepWaiting is the capacity up to which an emptied queue's memory is kept.
	keepWaiting = 16
)

// member is a local socket's place in the rooms of one namespace, and the queue of what it is to be sent.
type member struct {
	id   socket.SocketId
	sock atomic.Pointer[socket.Socket]

	mu    sync.Mutex
	rooms map[socket.Room]streamID // mu; with the log's position at which the socket came in
	gone  bool                     // mu

	stamp uint64 // the table's walkMu
	// upTo is the last log entry that the socket was sent or need not be: what comes at or below it is a repetition.
	// The delivery lock.
	upTo streamID
	// floor is where the socket began to be served: what the log has at or below it is no concern of its. The delivery
	// lock.
	floor streamID
	// served is set when the socket has got its session: from then on it is told the position. The delivery lock.
	served bool

	out outbox
}

// outbox keeps a socket's packets in order without ever making their sender wait: the library's connection can block
// its writer (a long-polling response to a client that does not read) or deadlock it (a close that meets a write), and
// runs application listeners within a write. So nothing that is shared, least of all the log reader, enters it; each
// socket is written to by a goroutine of its own that exists only while there is something to write.
type outbox struct {
	mu       sync.Mutex
	waiting  []job     // mu
	draining bool      // mu
	opened   bool      // mu: the first packets have been written
	dead     bool      // mu: takes nothing more
	progress time.Time // mu: when the connection last took a packet, while draining
}

// job is a packet to write, or something to do to the socket between packets.
type job struct {
	frame *frame
	do    func(*socket.Socket)
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

// roomSet returns a copy of the rooms, nil for a member that left.
func (m *member) roomSet() []socket.Room {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone {
		return nil
	}
	names := make([]socket.Room, 0, len(m.rooms))
	for name := range m.rooms {
		names = append(names, name)
	}
	return names
}

// roomsSince returns the rooms as a session keeps them; the socket's own is none of them.
func (m *member) roomsSince() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	rooms := make(map[string]string, len(m.rooms))
	for name, since := range m.rooms {
		if name != socket.Room(m.id) {
			rooms[string(name)] = since.String()
		}
	}
	return rooms
}

// setSince notes since when the socket is in those of the rooms that it is in.
func (m *member) setSince(rooms map[string]streamID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, since := range rooms {
		if _, in := m.rooms[socket.Room(name)]; in {
			m.rooms[socket.Room(name)] = since
		}
	}
}

// lowerSince makes that the socket was in its rooms since to at the latest. It reports whether that changed anything.
func (m *member) lowerSince(to streamID) (changed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, since := range m.rooms {
		if since.compare(to) > 0 {
			m.rooms[name], changed = to, true
		}
	}
	return changed
}

func (m *member) isGone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gone
}

// serveFrom notes that the socket has its session, and is served what the log has behind id. For holders of the
// delivery lock.
func (m *member) serveFrom(id streamID) { m.upTo, m.floor, m.served = id, id, true }

type putResult int

const (
	putQueued  putResult = iota // somebody is draining
	putDrain                    // the caller has to start a drain
	putOpening                  // the caller has to start the first drain, behind the connection's own set-up
	putSlow                     // the caller has to close the socket
	putDead                     // dropped: the socket is being closed
)

func (o *outbox) put(j job) putResult {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.dead:
		return putDead
	case !o.draining:
		o.draining = true
		o.progress = time.Now()
		o.waiting = append(o.waiting, j)
		if o.opened {
			return putDrain
		}
		return putOpening
	case len(o.waiting) >= maxWaiting || time.Since(o.progress) > stuckAfter:
		o.dead = true
		o.waiting = nil
		return putSlow
	default:
		o.waiting = append(o.waiting, j)
		return putQueued
	}
}

// take returns what waits and notes progress; with nothing waiting the drain has ended. emptied is the slice of the
// previous take, for reuse.
func (o *outbox) take(emptied []job) []job {
	o.mu.Lock()
	defer o.mu.Unlock()
	batch := o.waiting
	o.waiting = nil
	if cap(emptied) <= keepWaiting {
		o.waiting = emptied[:0]
	}
	if len(batch) == 0 {
		o.draining, o.opened = false, true
		return nil
	}
	o.progress = time.Now()
	return batch
}

// halt drops what waits and whatever comes; what is being written goes out.
func (o *outbox) halt() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dead, o.waiting = true, nil
}

func (o *outbox) halted() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.dead
}

// noteProgress is called between the packets of a long batch.
func (o *outbox) noteProgress() {
	o.mu.Lock()
	o.progress = time.Now()
	o.mu.Unlock()
}
