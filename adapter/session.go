package adapter

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"
)

// ErrSessionLost is returned for a session that has ended, or that a newer connection of its client has taken over.
var ErrSessionLost = errors.New("adapter: the session is not this connection's any more")

// ErrUnavailable is returned when Redis did not answer in time; the attempt may be repeated.
var ErrUnavailable = errors.New("adapter: sessions cannot be reached")

const (
	// maxUnsaved bounds the sessions that wait to be written; the end of one more is not written but left to its TTL.
	maxUnsaved = 1 << 17
	minPid     = 16
	maxPid     = 64
)

// record is a session as Redis holds it.
type record struct {
	Owner string `json:"owner"`
	// Gen rises with every connection that takes the session over; the highest one owns it.
	Gen int64 `json:"gen"`
	// Sid is the socket, so that a repeated takeover is recognised.
	Sid  string `json:"sid"`
	User string `json:"user"`
	// From is the position that the session began at: an offset from before it is another session's.
	From string `json:"from,omitempty"`
	// Had is the highest source that the socket was sent of a tail that the log has lost, behind the position Lost. It
	// counts for a client whose offset is behind that: it has received all that it was sent before.
	Had  string `json:"had,omitempty"`
	Lost string `json:"lost,omitempty"`
	// Rooms holds, of each room, the position from which on the socket was in it.
	Rooms map[string]string `json:"rooms,omitempty"`
	// Closed says that the connection was lost; the key's TTL is the rest of the recovery window.
	Closed bool `json:"closed,omitempty"`
	// Ended says that the session must not be recovered: its client left or was sent away.
	Ended bool `json:"ended,omitempty"`
}

// from is From parsed; a damaged one counts as "from the beginning".
func (r record) from() streamID {
	id, _ := parseStreamID(r.From)
	return id
}

// hadAt is Had and Lost for a client with this offset, 0-0 for none.
func (r record) hadAt(offset streamID) (had, lost streamID) {
	lost, _ = parseStreamID(r.Lost)
	had, err := parseStreamID(r.Had)
	if err != nil || offset.compare(lost) <= 0 {
		return streamID{}, streamID{}
	}
	return had, lost
}

// roomsSince is Rooms with its positions parsed; a damaged one counts as "from the beginning".
func (r record) roomsSince() map[string]streamID {
	rooms := make(map[string]streamID, len(r.Rooms))
	for room, since := range r.Rooms {
		rooms[room], _ = parseStreamID(since)
	}
	return rooms
}

type sessionState uint8

const (
	sessionTaken  sessionState = iota // taken over by a connection that is still being admitted
	sessionLive                       // of a connected socket
	sessionClosed                     // recoverable for the recovery window
	sessionEnded                      // never recoverable
)

// session is one that this node owns: of a connected socket, or until its end is written.
type session struct {
	pid, sid, user string
	gen            int64
	from           streamID // the registry's mu: where it began
	had, lost      string   // the registry's mu: as in record

	sock    *socket.Socket    // the registry's mu; nil while it is only taken
	member  *member           // the registry's mu; nil unless live
	rooms   map[string]string // the registry's mu; what is written while there is no member
	state   sessionState      // the registry's mu
	queued  bool              // the registry's mu: it waits to be written
	flying  bool              // the registry's mu: it is being written
	saved   time.Time         // the registry's mu: when it was last written
	closed  time.Time         // the registry's mu: when its connection was lost
	waiters []waiter          // the registry's mu
}

// waiter is called once a session's present state is written, or with an error at its deadline. Further calls of done
// do nothing.
type waiter struct {
	done     func(error)
	deadline time.Time
}

// registry holds this node's sessions, and which of them have to be written.
//
// Lock order: the delivery lock, mu, a member's mu.
type registry struct {
	mu      sync.Mutex
	byPid   map[string]*session          // mu
	bySid   map[socket.SocketId]*session // mu; of the sockets that the library has not forgotten
	unsaved []*session                   // mu; each once, oldest first
	stale   int                          // mu; how many of unsaved have been forgotten
	limit   int                          // of unsaved; maxUnsaved
	orphans []waiter                     // mu; of sessions that were forgotten unwritten
	// lately are the sessions whose loss is not yet to be written, oldest first. mu
	lately []*session

	wake chan struct{} // has a token when something is unsaved
}

func newRegistry() *registry {
	return &registry{
		byPid: make(map[string]*session), bySid: make(map[socket.SocketId]*session), limit: maxUnsaved,
		wake: make(chan struct{}, 1),
	}
}

// add makes s the session of its pid and forgets the older one of that pid, which it returns if it has a socket; or s
// itself if that is the older one.
func (r *registry) add(s *session) (older *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if older = r.byPid[s.pid]; older != nil {
		if older.gen > s.gen {
			return s
		}
		gone := older.state > sessionLive
		r.drop(older)
		if gone {
			older = nil
		}
	}
	r.byPid[s.pid] = s
	if s.state <= sessionLive {
		r.bySid[socket.SocketId(s.sid)] = s
	}
	return older
}

// drop forgets a session. For holders of mu.
func (r *registry) drop(s *session) {
	s.state = sessionEnded
	if s.queued && r.byPid[s.pid] == s {
		r.stale++
	}
	r.orphans = append(r.orphans, s.waiters...)
	s.waiters = nil
	if len(r.orphans) > 0 {
		r.signal()
	}
	if r.byPid[s.pid] == s {
		delete(r.byPid, s.pid)
	}
	if r.bySid[socket.SocketId(s.sid)] == s {
		delete(r.bySid, socket.SocketId(s.sid))
	}
}

// save queues a session to be written. For holders of mu.
func (r *registry) save(s *session) (dropped bool) {
	// A session that must not come back is given more room than those that could, and are only kept too long.
	if n := len(r.unsaved) - r.stale; s.state == sessionClosed && n > r.limit || s.state == sessionEnded && n > 2*r.limit {
		r.drop(s)
		r.compact()
		return true
	}
	if s.queued {
		return false
	}
	s.queued = true
	r.unsaved = append(r.unsaved, s)
	r.signal()
	return false
}

// compact lets go of forgotten sessions once there are many of them in the queue. For holders of mu.
func (r *registry) compact() {
	if r.stale <= r.limit {
		return
	}
	r.unsaved = slices.DeleteFunc(r.unsaved, func(s *session) bool { return r.byPid[s.pid] != s })
	r.stale = 0
}

func (r *registry) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// touch has a live socket's session written, since its rooms changed.
func (r *registry) touch(sid socket.SocketId) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.bySid[sid]; s != nil && s.state == sessionLive {
		r.save(s)
	}
}

// noteHad notes what a live socket had of a lost tail, and where that began; 0-0 is nothing.
func (r *registry) noteHad(sid socket.SocketId, had, lost streamID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.bySid[sid]
	if s == nil || s.state != sessionLive {
		return
	}
	was := s.had
	if s.had, s.lost = had.String(), lost.String(); had.isZero() {
		s.had, s.lost = "", ""
	}
	if s.had != was {
		r.save(s)
	}
}

// lower makes that a live socket's session began at to at the latest, and has it written if that or the socket's rooms
// changed.
func (r *registry) lower(sid socket.SocketId, to streamID, changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.bySid[sid]
	if s == nil || s.state != sessionLive {
		return
	}
	if s.from.compare(to) > 0 {
		s.from, changed = to, true
	}
	if changed {
		r.save(s)
	}
}

// wait has done called when what has changed of the socket's session by now is written; at once, with ErrSessionLost, if
// it has none any more: what the socket joins from now on does not get into it.
func (r *registry) wait(sid socket.SocketId, w waiter) {
	r.mu.Lock()
	s := r.bySid[sid]
	if s != nil && s.state != sessionLive {
		s = nil
	}
	r.await(s, w, ErrSessionLost)
}

// await has w called when s is written, or at once, with otherwise, if there is none. It lets go of mu, which the caller
// holds.
func (r *registry) await(s *session, w waiter, otherwise error) {
	if s == nil {
		r.mu.Unlock()
		w.done(otherwise)
		return
	}
	s.waiters = append(s.waiters, w)
	r.save(s)
	r.mu.Unlock()
}

// finish closes or ends a socket's session; one that was closed may still end. It reports whether the socket had one
// that could not be queued to be written.
func (r *registry) finish(sid socket.SocketId, state sessionState) (dropped bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end(r.bySid[sid], state)
}

// end is finish for holders of mu.
func (r *registry) end(s *session, state sessionState) (dropped bool) {
	if s == nil || s.state >= state {
		return false
	}
	if s.member != nil {
		s.rooms, s.member = s.member.roomsSince(), nil
	}
	s.state = state
	if state == sessionClosed {
		s.closed = time.Now()
		if !s.queued && len(r.lately) < r.limit {
			r.lately = append(r.lately, s)
			return false
		}
	}
	return r.save(s)
}

// ripen has the losses written that are older than t: what Redis holds until then tells of a live socket, which is
// recoverable as well, and a client that is back by then costs one write less.
func (r *registry) ripen(t time.Time) (dropped int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for ; n < len(r.lately) && !r.lately[n].closed.After(t); n++ {
		s := r.lately[n]
		if s.state == sessionClosed && r.byPid[s.pid] == s && r.save(s) {
			dropped++
		}
	}
	r.lately = slices.Delete(r.lately, 0, n)
	return dropped
}

// leave ends the hold of a socket that is being forgotten: for good if it was connected, since a lost connection would
// have been told of before; a connection that was still being admitted leaves its session to the next one.
func (r *registry) leave(sid socket.SocketId) (dropped bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.bySid[sid]
	delete(r.bySid, sid)
	if s != nil && s.state == sessionLive {
		return r.end(s, sessionEnded)
	}
	return r.end(s, sessionClosed)
}

// resume makes a session that was taken over that of the connected socket. It is written again if the rooms are not
// those that it was taken with. False means that the session has been lost meanwhile.
func (r *registry) resume(sock *socket.Socket, m *member) bool {
	rooms := m.roomsSince()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.bySid[sock.Id()]
	if s == nil || s.state != sessionTaken {
		return false
	}
	s.state, s.sock, s.member = sessionLive, sock, m
	if !maps.Equal(rooms, s.rooms) {
		r.save(s)
	}
	s.rooms = nil
	return true
}

// local returns what this node knows of a session; ok is false if it owns none.
func (r *registry) local(pid string) (state sessionState, unsaved, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.byPid[pid]
	if s == nil {
		return 0, false, false
	}
	return s.state, s.queued || s.flying, true
}

// waitPid is wait by pid, for a session in any state; one that is not owned here has nothing to be written.
func (r *registry) waitPid(pid string, w waiter) {
	r.mu.Lock()
	r.await(r.byPid[pid], w, nil)
}

// supersede forgets a session that a connection elsewhere has taken over with this generation, and returns it.
func (r *registry) supersede(pid string, gen int64) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.byPid[pid]
	if s == nil || s.gen >= gen {
		return nil
	}
	r.drop(s)
	return s
}

// endAll ends every session of this node.
func (r *registry) endAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.byPid {
		if s.state == sessionEnded {
			continue
		}
		s.state, s.member, s.rooms = sessionEnded, nil, nil
		r.save(s)
	}
}

// refresh has every session written that was last written before t.
func (r *registry) refresh(t time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.bySid {
		if s.state == sessionLive && s.saved.Before(t) {
			r.save(s)
		}
	}
}

// writing is a session taken to be written, as it was then.
type writing struct {
	s       *session
	rec     record
	state   sessionState
	closed  time.Time
	waiters []waiter
}

// take returns up to n sessions to write.
func (r *registry) take(owner string, n int) []writing {
	r.mu.Lock()
	defer r.mu.Unlock()
	n = min(n, len(r.unsaved))
	batch := make([]writing, 0, n)
	for _, s := range r.unsaved[:n] {
		s.queued = false
		if r.byPid[s.pid] != s {
			r.stale--
			continue
		}
		rec := record{Owner: owner, Gen: s.gen, Sid: s.sid, User: s.user, From: s.from.String(), Had: s.had, Lost: s.lost}
		switch {
		case s.state == sessionEnded:
			rec.Ended = true
		case s.member != nil:
			rec.Rooms = s.member.roomsSince()
		default:
			rec.Rooms, rec.Closed = maps.Clone(s.rooms), s.state == sessionClosed
		}
		batch = append(batch, writing{s: s, rec: rec, state: s.state, closed: s.closed, waiters: s.waiters})
		s.waiters, s.flying = nil, true
	}
	r.unsaved = slices.Delete(r.unsaved, 0, n)
	return batch
}

// giveBack queues a batch again that could not be written.
func (r *registry) giveBack(batch []writing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range batch {
		w.s.flying = false
		if r.byPid[w.s.pid] != w.s {
			r.orphans = append(r.orphans, w.waiters...)
			continue
		}
		w.s.waiters = append(w.waiters, w.s.waiters...)
		r.save(w.s)
	}
}

// settle notes that a session was written. It returns false if that found it to be another's; then it is forgotten.
func (r *registry) settle(w writing, owned bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.s.flying = false
	if !owned || w.state >= sessionClosed && !w.s.queued {
		r.drop(w.s)
		return
	}
	w.s.saved = time.Now()
}

// overdue takes out the waiters whose time is over, and those whose session was forgotten.
func (r *registry) overdue(now time.Time) (late, orphans []waiter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	orphans, r.orphans = r.orphans, nil
	for _, s := range r.unsaved {
		s.waiters = slices.DeleteFunc(s.waiters, func(w waiter) bool {
			if now.Before(w.deadline) {
				return false
			}
			late = append(late, w)
			return true
		})
	}
	return late, orphans
}

// validPid keeps what a client calls its session out of keys unless it can be one.
func validPid(pid string) bool {
	if len(pid) < minPid || len(pid) > maxPid {
		return false
	}
	for i := range len(pid) {
		switch c := pid[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
