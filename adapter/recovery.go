package adapter

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// errNoSocket says that a socket went before it could be served.
var errNoSocket = errors.New("adapter: the socket has gone")

// Recovery is an earlier session that a connecting client goes on with. The library hands it to middlewares as the
// socket's data. Its methods are for the connect's own goroutines, one after the other.
type Recovery struct {
	a      *nspAdapter
	pid    string
	sid    socket.SocketId
	offset streamID
	rec    record
	rooms  map[string]streamID
	had    streamID // what the client has received of a tail that was lost behind lost
	lost   streamID
	// pinned are the entries that were missed up to pinnedTo; held here, they cannot be lost to the ring's limits.
	pinned   []*logged
	pinnedTo streamID
	torn     uint64 // the log that all of these are of
	// unavailable says that it is not known whether there is a session.
	unavailable bool
}

// Session returns whose session it is and which rooms it was in. The error is ErrUnavailable if that could not be found
// out: then the client should be made to try again.
func (r *Recovery) Session() (user string, rooms []string, err error) {
	if r.unavailable {
		return "", nil, ErrUnavailable
	}
	return r.rec.User, slices.Sorted(maps.Keys(r.rec.Rooms)), nil
}

// Take makes the session this connection's; a socket that still has it, here or on another node, is closed. To be called
// once it is known that the client may have it. The error is ErrSessionLost or wraps ErrUnavailable.
func (r *Recovery) Take(ctx context.Context) error {
	c := r.a.c
	next := r.rec
	if r.had.isZero() {
		next.Had, next.Lost = "", ""
	}
	next.Owner, next.Gen, next.Sid, next.Closed = c.cfg.UID, r.rec.Gen+1, string(r.sid), false
	call, err := c.sessions.takes.do(ctx, takeCall{nsp: r.a.name, pid: r.pid, was: r.rec, next: next})
	if err != nil {
		return err
	}
	if !call.taken {
		return ErrSessionLost
	}
	r.rec.Owner = "" // the socket keeps r, and of a Node server's session it is all of that
	c.sessions.adopt(&session{
		pid: r.pid, sid: next.Sid, user: next.User, gen: next.Gen, from: next.from(), had: next.Had, lost: next.Lost,
		state: sessionTaken, rooms: next.Rooms, saved: time.Now(),
	})
	return nil
}

// Discard ends the session: its client is another user now. It returns when that is written, so that it holds on every
// node, or when ctx ends or that could not be made sure of in Config.SessionTimeout.
func (r *Recovery) Discard(ctx context.Context) {
	if r.unavailable {
		return
	}
	c := r.a.c
	c.sessions.adopt(&session{pid: r.pid, sid: string(r.sid), gen: r.rec.Gen + 1, user: r.rec.User, state: sessionTaken})
	c.sessions.finish(r.sid, sessionEnded)
	ended := record{Gen: r.rec.Gen + 1}
	c.sessions.announce([]*batched[takeCall]{{value: takeCall{nsp: r.a.name, pid: r.pid, was: r.rec, next: ended, taken: true}}})
	if err := c.sessions.saved(ctx, r.pid); err != nil {
		c.warnf("discard", "the end of a session is not written yet", "err", err)
	}
}

// Resume makes the socket, which has connected, join rooms, sends it hello with the client's own offset, and then what
// the client missed in those rooms: all in one step with the position of the log, so that what comes next is the first
// entry that was not replayed. After an error nothing was sent and the connection has to be closed; the session has
// ended, unless it was the connection that went, or the log still has what this node has no more.
func (r *Recovery) Resume(s *socket.Socket, rooms []string, hello func() (event string, payload any)) error {
	a, c := r.a, r.a.c
	event, payload := hello()
	greeting, err := greetingFrame(a.name, event, payload, r.offset.String())
	if err != nil {
		c.sessions.finish(s.Id(), sessionEnded)
		return err
	}
	c.deliverMu.Lock()
	defer c.deliverMu.Unlock()
	missed, err := r.missed(rooms)
	if err == nil {
		err = r.enter(s, rooms)
	}
	if err != nil {
		c.count.recoveryFailed.Add(1)
		switch {
		case errors.Is(err, errNoSocket):
		case errors.Is(err, errUncovered) && c.torn.Load() == r.torn:
			c.sessions.finish(s.Id(), sessionClosed)
		default:
			c.sessions.finish(s.Id(), sessionEnded)
		}
		return err
	}
	r.pinned = nil // the socket keeps r
	m := a.table.member(s.Id())
	m.serveFrom(maxID(r.offset, c.position))
	m.belongsTo(r.rec.User, s)
	if c.ring.resetAt.compare(r.lost) <= 0 {
		m.had, c.had = r.had, maxID(r.had, c.had)
	}
	a.post(m, s, job{frame: greeting})
	for _, l := range missed {
		a.post(m, s, job{frame: l.frame, uncharged: true, note: c.noteReplay(l, m)})
	}
	c.count.recovered.Add(1)
	c.count.replayed.Add(uint64(len(missed)))
	c.log.Debug("session recovered", "nsp", a.name, "offset", r.offset.String(), "position", c.position.String(), "replayed", len(missed))
	return nil
}

// missed returns what the client missed in rooms. For holders of the delivery lock.
func (r *Recovery) missed(rooms []string) ([]*logged, error) {
	if r.a.c.torn.Load() != r.torn {
		return nil, errUncovered
	}
	q := question{nsp: r.a.name, after: r.offset, rooms: make(map[string]streamID, len(rooms)), limit: r.a.c.cfg.RecoveryMaxEvents}
	for _, room := range rooms {
		// A room that the session was not in is one that it joins only now.
		if since, was := r.rooms[room]; was {
			q.rooms[room] = since
		}
	}
	missed := make([]*logged, 0, len(r.pinned))
	for _, l := range r.pinned { // without what the client had
		if q.wants(l) {
			missed = append(missed, l)
		}
	}
	q.after, q.had, q.lost = maxID(r.offset, r.pinnedTo), r.had, r.lost
	if !r.a.c.ring.hasAllAfter(q.after) {
		return nil, errUncovered
	}
	more, err := r.a.c.ring.missed(q)
	if err != nil {
		return nil, err
	}
	missed = append(missed, more...)
	return missed, replayable(missed, q.limit)
}

// replayable returns an error if a client missed too much, or was sent away by it.
func replayable(missed []*logged, limit int) error {
	if len(missed) > limit {
		return errTooMany
	}
	left := maxRecoveryBytes
	for _, l := range missed {
		if l.frame != nil {
			left -= l.frame.size()
		}
	}
	if left < 0 {
		return errTooMany
	}
	if slices.ContainsFunc(missed, func(l *logged) bool { return l.kicks }) {
		return fmt.Errorf("%w: it was disconnected meanwhile", ErrSessionLost)
	}
	return nil
}

// enter joins the rooms, and keeps since when the session was in them: what the client has not yet received of this
// replay it has to be sent again after the next loss. For holders of the delivery lock.
func (r *Recovery) enter(s *socket.Socket, rooms []string) error {
	joinAll(s, rooms)
	m := r.a.table.member(s.Id())
	if m == nil {
		return errNoSocket
	}
	m.setSince(r.rooms)
	if !r.a.c.sessions.local.resume(s, m) {
		return errNoSocket
	}
	return nil
}

// historyAttempts is how often the older log is asked again because the ring moved on meanwhile.
const historyAttempts = 5

// older returns what was missed before the ring's beginning, and where that is. For holders of the delivery lock, which
// it lets go of meanwhile.
func (r *Recovery) older(ctx context.Context, q question) (found []*logged, from streamID, err error) {
	c := r.a.c
	for range historyAttempts {
		from = c.ring.from
		c.deliverMu.Unlock()
		found, err = c.history.missed(ctx, q, from)
		c.deliverMu.Lock()
		switch {
		case err != nil:
			return nil, from, err
		case c.torn.Load() != r.torn:
			return nil, from, errUncovered
		case c.ring.hasAllAfter(from):
			return found, from, nil
		}
	}
	return nil, from, errUncovered
}

// Open makes a socket that has just connected join rooms and sends it hello with the log's position as the last
// argument, which is where its client's later recovery starts from: in one step, so that every entry after that position
// follows. The socket has a session of user from then on.
func (c *Cluster) Open(s *socket.Socket, user string, rooms []string, hello func() (event string, payload any)) error {
	a := c.adapterOf(s.Nsp().Name())
	if a == nil {
		return errNoSocket
	}
	event, payload := hello() // the application's, so not under the lock
	c.deliverMu.Lock()
	defer c.deliverMu.Unlock()
	if !c.positioned {
		// What is committed until this node reads the log would be missed unnoticed.
		return ErrUnavailable
	}
	greeting, err := greetingFrame(a.name, event, payload, c.position.String())
	if err != nil {
		return err
	}
	joinAll(s, rooms)
	m := a.table.member(s.Id())
	if m == nil {
		return errNoSocket
	}
	m.serveFrom(c.position)
	m.belongsTo(user, s)
	c.sessions.open(s, m, user)
	a.post(m, s, job{frame: greeting})
	return nil
}

// Saved has done called, once, when the rooms that s is in now are in its session, so that they outlive this node; or
// with an error if that could not be made sure of in Config.SessionTimeout. done must not block.
func (c *Cluster) Saved(s *socket.Socket, done func(error)) {
	c.sessions.local.wait(s.Id(), c.sessions.waiter(done))
}

// Lost tells that the connection of s was lost, when the library would not, or is going to be closed: its session stays
// recoverable, and nothing more is sent to it.
func (c *Cluster) Lost(s *socket.Socket) {
	if a := c.adapterOf(s.Nsp().Name()); a != nil {
		if m := a.table.member(s.Id()); m != nil {
			m.halt()
		}
	}
	c.sessions.finish(s.Id(), sessionClosed)
}

// End ends the session of s for good: its client has left or was sent away.
func (c *Cluster) End(s *socket.Socket) { c.sessions.finish(s.Id(), sessionEnded) }

func joinAll(s *socket.Socket, names []string) {
	rooms := make([]socket.Room, len(names))
	for i, name := range names {
		rooms[i] = socket.Room(name)
	}
	s.Join(rooms...)
}

// greetingFrame is the frame of an event that carries an offset, but is not of the log.
func greetingFrame(nsp, event string, payload any, offset string) (*frame, error) {
	frozen, _, err := freezeSlice([]any{event, payload, offset}, 0)
	if err != nil {
		return nil, err
	}
	list, _ := frozen.([]any)
	body, err := bodyOf(list)
	if err != nil {
		return nil, err
	}
	return newFrame(nsp, body, flags{}), nil
}

func minID(a, b streamID) streamID {
	if a.compare(b) < 0 {
		return a
	}
	return b
}

func maxID(a, b streamID) streamID {
	if a.compare(b) < 0 {
		return b
	}
	return a
}

// PersistSession is called by the library for a socket whose connection was lost. What it hands over is known here.
func (a *nspAdapter) PersistSession(s *socket.SessionToPersist) {
	a.c.sessions.finish(s.Sid, sessionClosed)
}

// RestoreSession decides whether a connecting client recovers its session, which nothing can take back afterwards. No
// rooms and no packets are handed to the library: it would send them before a middleware has looked at the token.
func (a *nspAdapter) RestoreSession(pid socket.PrivateSessionId, offset string) (*socket.Session, error) {
	ctx, cancel := context.WithTimeout(context.Background(), a.c.cfg.SessionTimeout)
	defer cancel()
	r, err := a.restore(ctx, string(pid), offset)
	switch {
	case errors.Is(err, ErrUnavailable):
		r = &Recovery{a: a, pid: string(pid), sid: newSid(), unavailable: true}
		a.c.warnf("restore", "a session cannot be read", "err", err)
	case err != nil:
		a.c.count.notRecovered.Add(1)
		a.c.log.Debug("session not recovered", "nsp", a.name, "err", err)
		return nil, nil
	}
	return &socket.Session{SessionToPersist: &socket.SessionToPersist{
		// A new one, since the library cleans up by it: the old socket's late end would strip the new socket.
		Sid:   r.sid,
		Pid:   pid,
		Rooms: types.NewSet[socket.Room](),
		Data:  r,
	}}, nil
}

func newSid() socket.SocketId {
	var raw [15]byte
	_, _ = rand.Read(raw[:]) // never fails
	return socket.SocketId(base64.RawURLEncoding.EncodeToString(raw[:]))
}

// restore finds the session and pins what it missed. An error other than ErrUnavailable is why it is not recovered.
func (a *nspAdapter) restore(ctx context.Context, pid, offsetText string) (*Recovery, error) {
	offset, err := parseStreamID(offsetText)
	if err != nil || offset.String() != offsetText || !validPid(pid) {
		return nil, errors.New("no session id and offset of ours")
	}
	ask := loadCall{pid: pid}
	c := a.c
	c.deliverMu.Lock()
	if !c.positioned {
		c.deliverMu.Unlock()
		return nil, ErrUnavailable
	}
	if offset.compare(c.position) > 0 {
		ask.looks = []streamID{offset}
	}
	torn := c.torn.Load()
	c.deliverMu.Unlock()
	got, err := c.sessions.read(ctx, ask)
	switch {
	case err != nil:
		return nil, err
	case !got.found:
		return nil, errors.New("the session has ended")
	case !got.rec.Closed && c.expired(got.rec.Owner):
		return nil, errors.New("the session's node ended too long ago")
	case offset.compare(got.rec.from()) < 0:
		return nil, errors.New("the offset is from before the session")
	}
	r := &Recovery{a: a, pid: pid, sid: newSid(), offset: offset, rec: got.rec, rooms: got.rec.roomsSince(), torn: torn}
	r.had, r.lost = got.rec.hadAt(offset)
	if err := r.checkAhead(ctx); err != nil {
		return nil, err
	}
	return r, r.pin(ctx, got.has)
}

// checkAhead makes sure that the log has the positions, behind the offset, at which rooms were joined, as far as this
// node has not come to them. One in a lost tail would hide what came instead.
func (r *Recovery) checkAhead(ctx context.Context) error {
	c := r.a.c
	c.deliverMu.Lock()
	position := maxID(c.position, r.offset)
	c.deliverMu.Unlock()
	ahead := make(map[streamID]struct{})
	for _, since := range r.rooms {
		if since.compare(position) > 0 {
			ahead[since] = struct{}{}
		}
	}
	if len(ahead) == 0 {
		return nil
	}
	got, err := c.sessions.loads.do(ctx, loadCall{pid: r.pid, looks: slices.Collect(maps.Keys(ahead))})
	if err != nil {
		return err
	}
	if !got.has {
		return errUncovered
	}
	return nil
}

// pin holds on to what was missed. ahead says that the log has the offset, although this node has not come to it.
func (r *Recovery) pin(ctx context.Context, ahead bool) error {
	c := r.a.c
	q := question{nsp: r.a.name, after: r.offset, rooms: r.rooms, had: r.had, lost: r.lost, limit: c.cfg.RecoveryMaxEvents}
	c.deliverMu.Lock()
	defer c.deliverMu.Unlock()
	switch {
	case c.torn.Load() != r.torn:
		return errUncovered
	case c.ring.covers(r.offset):
	case ahead && r.offset.compare(c.position) > 0:
		r.pinnedTo = r.offset
		return nil
	case r.offset.compare(c.ring.from) >= 0:
		return errUncovered
	default:
		var err error
		if r.pinned, q.after, err = r.older(ctx, q); err != nil {
			return err
		}
	}
	if !c.ring.knows(q) {
		return errUncovered
	}
	missed, err := c.ring.missed(q)
	if err != nil {
		return err
	}
	r.pinned, r.pinnedTo = append(r.pinned, missed...), c.position
	return replayable(r.pinned, q.limit)
}
