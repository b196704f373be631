package node

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/node/auth"
	"github.com/teloo/realtime-gateway/node/taskqueue"
	"github.com/teloo/realtime-gateway/presence"
)

// session is what the node keeps for one connected socket.
type session struct {
	// node is this node's name.
	node string
	// identity is what the token says. Guarded by mu once the socket is there: a client may renew its token.
	identity auth.Identity
	// expiry is its place among those whose tokens will expire.
	expiry expiry
	// seat is the socket's; release gives it back.
	seat    *seat
	release func()
	// recovery is the earlier session that goes on, nil if none does; earlier are its rooms that were granted again.
	recovery Recovery
	earlier  []string
	// seen is the number of withdrawals that there had been when earlier was granted.
	seen uint64

	// ending is why this node ends the socket.
	ending atomic.Uint32

	// unsaved counts requests that wait for the session to be written.
	unsaved atomic.Int32

	mu sync.Mutex
	// ended is set when the socket has gone; nothing joins after it. Guarded by mu.
	ended bool
	// expired is set when the token has, and the socket is being closed. Guarded by mu.
	expired bool
	// gone ends when ended is set; nil until somebody asks for it. Guarded by mu.
	gone    context.Context //nolint:containedctx // it stands for the socket's life
	goneNow context.CancelFunc
	// solicitudes are the solicitud rooms that the socket subscribed to, and whether that was confirmed. Guarded by mu.
	solicitudes map[string]bool
}

// who is what the session's present token says.
func (s *session) who() auth.Identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.identity
}

// connectedEvent is the payload of `connected`.
type connectedEvent struct {
	UserID    string   `json:"user_id"`
	Role      string   `json:"role"`
	Rooms     []string `json:"rooms"`
	Node      string   `json:"node"`
	Recovered bool     `json:"recovered"`
}

// onConnection runs on the socket's own queue, before any of its events.
func (n *Node) onConnection(args ...any) {
	s, ok := args[0].(*socket.Socket)
	if !ok {
		return
	}
	sess, ok := s.Data().(*session)
	if !ok {
		s.Disconnect(true)
		return
	}
	defer begun(s)
	n.open.Add(1)
	n.connects.Add(1)
	id := sess.who()
	n.connectedBy.note(id.Role)
	n.deps.Presence.Connect(id.User, id.Role)
	var once sync.Once
	end := func(reason ...any) { once.Do(func() { n.onEnd(s, sess, sess.endReason(reason)) }) }
	_ = s.On("disconnect", func(reason ...any) {
		if len(reason) > 0 && reason[0] == "client namespace disconnect" {
			n.deps.Sessions.End(s)
		}
		end(reason...)
	})
	_ = s.Conn().On("data", func(...any) { taskqueue.Run(s) }) // behind the library's own listener, which adds the tasks
	n.listen(s, sess)
	handleFirst(s, sess)
	if err := n.start(s, sess); err != nil {
		n.log.Debug("connected socket not served", "err", err)
		closeTransport(s)
	}
	n.begin(s, sess)
	n.closeIfRevoked(s, sess) // CloseRevoked may not have seen it
	// A transport that closed while the library was still announcing the socket is never reported to it.
	if !s.Connected() || !transportOpen(s) {
		n.deps.Sessions.Lost(s)
		s.Disconnect(false)
		end()
	}
}

// onEnd runs once for each connected socket, when it has gone. A connection whose socket the client closed would stay
// open outside MaxConnections, for there is no other namespace; so it is closed too.
func (n *Node) onEnd(s *socket.Socket, sess *session, reason string) {
	n.ended.note(reason)
	sess.leaveAll(n.deps.Presence)
	n.expiries.drop(sess)
	id := sess.who() // which does not change any more
	n.deps.Presence.Disconnect(id.User, id.Role)
	n.open.Add(-1)
	sess.release()
	if transportOpen(s) {
		closeTransport(s)
	}
}

// begin has the token's expiry followed, behind the greeting.
func (n *Node) begin(s *socket.Socket, sess *session) {
	sess.mu.Lock()
	defer sess.mu.Unlock()
	n.follow(s, sess)
}

func memberOf(room string, id auth.Identity) presence.Member {
	return presence.Member{Room: room, User: id.User, Role: id.Role}
}

// member is for holders of mu.
func (s *session) member(room string) presence.Member { return memberOf(room, s.identity) }

// enter records that the socket is in room, here and in p, which is told under the lock so that leaveAll cannot come
// in between. It fails when the socket has limit rooms.
func (s *session) enter(p Presence, room string, limit int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, in := s.solicitudes[room]; in || s.ended {
		return nil
	}
	if len(s.solicitudes) >= limit {
		return errTooManyRooms
	}
	if s.solicitudes == nil {
		s.solicitudes = make(map[string]bool)
	}
	p.Join(s.member(room))
	s.solicitudes[room] = false
	return nil
}

// confirm notes that the client may rely on being in room; false means that the socket isn't.
func (s *session) confirm(room string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, in := s.solicitudes[room]; !in {
		return false
	}
	s.solicitudes[room] = true
	return true
}

// confirmed reports whether the client relies on being in room.
func (s *session) confirmed(room string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.solicitudes[room]
}

// exit forgets room, and reports whether the socket was in it.
func (s *session) exit(p Presence, room string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, in := s.solicitudes[room]
	if in {
		delete(s.solicitudes, room)
		p.Leave(s.member(room))
	}
	return in
}

// leaveAll ends the session: it leaves its rooms and enters none any more.
func (s *session) leaveAll(p Presence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.gone != nil {
		s.goneNow()
	}
	for room := range s.solicitudes {
		p.Leave(s.member(room))
	}
	s.solicitudes = nil
}

// whenGone calls fn, on another goroutine, once the socket has gone, unless stop is called before.
func (s *session) whenGone(fn func()) (stop func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone == nil {
		s.gone, s.goneNow = context.WithCancel(context.Background())
	}
	if s.ended {
		s.goneNow()
	}
	return context.AfterFunc(s.gone, fn)
}

// emit sends an event of the gateway's own to one socket.
func (n *Node) emit(s *socket.Socket, event string, payload any) {
	if err := s.Emit(event, payload); err != nil {
		n.log.Error("emit failed", "event", event, "err", err)
	}
}

// recovered turns a panic of a handler into a counted error, so that it costs that one message.
func (n *Node) recovered(event string) {
	if fault := recover(); fault != nil {
		n.panicked(event, fault)
	}
}

func (n *Node) panicked(event string, fault any) {
	n.panics.Add(1)
	n.log.Error("handler panicked", "event", event, "err", fmt.Sprint(fault), "stack", string(debug.Stack()))
}
