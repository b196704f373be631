package engine

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zishang520/socket.io/parsers/engine/v3/packet"
	"github.com/zishang520/socket.io/servers/engine/v3"
	"github.com/zishang520/socket.io/servers/engine/v3/transports"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// States of a session. It only moves forward.
const (
	stateOpen uint32 = iota
	// stateClosing takes nothing more; what waits is still sent.
	stateClosing
	stateClosed
)

// Why sessions end, as the library and its clients' servers call it.
const (
	reasonClosed    = "transport close"
	reasonFailed    = "transport error"
	reasonTimeout   = "ping timeout"
	reasonMalformed = "parse error"
	reasonForced    = "forced close"
)

// Session is the connection of one client, whatever carries it. Its methods are safe for concurrent use; none blocks.
type Session struct {
	emitter

	id     string
	server *Server
	remote string
	alarm  alarm // the server's wheel

	state atomic.Uint32

	mu    sync.Mutex
	queue queue // mu

	// ws carries the session if it is not nil, else polling does. mu.
	ws   *conn
	poll polling // mu
	// next is the connection that a polling client is changing to, probed that it has been answered there. mu.
	next   *conn
	probed bool

	// pinged says that the client owes an answer. mu.
	pinged bool
	// closing is why an orderly close was begun. mu.
	closing string
	grace   *time.Timer // mu: ends an orderly close
	upgrade *time.Timer // mu: ends a change of transport
	closers []func(func())

	request *http.Request
	context atomic.Pointer[types.HttpContext]
}

var _ engine.Socket = (*Session)(nil)

// Id implements the library's Socket.
//
//nolint:revive,staticcheck // the library's name
func (s *Session) Id() string { return s.id }

// Protocol is the revision of Engine.IO.
func (*Session) Protocol() int { return 4 }

// RemoteAddress is the client's or its last proxy's address.
func (s *Session) RemoteAddress() string { return s.remote }

// ReadyState is "open", "closing" or "closed".
func (s *Session) ReadyState() string {
	switch s.state.Load() {
	case stateOpen:
		return "open"
	case stateClosing:
		return "closing"
	default:
		return "closed"
	}
}

// SetReadyState is part of the library's interface; a session's state is its own.
func (*Session) SetReadyState(string) {}

// Construct is part of the library's interface; sessions are made by the server.
func (*Session) Construct(string, engine.BaseServer, transports.Transport, *types.HttpContext, int) {}

// MaybeUpgrade is part of the library's interface.
func (*Session) MaybeUpgrade(transports.Transport) {}

// Upgraded reports whether a polling session has become a WebSocket.
func (s *Session) Upgraded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ws != nil && s.poll.began
}

// Upgrading reports whether the client is changing its transport.
func (s *Session) Upgrading() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next != nil
}

// Request is the request that began the session, without its body and most headers.
func (s *Session) Request() *types.HttpContext {
	if c := s.context.Load(); c != nil {
		return c
	}
	c := types.NewHttpContext(noResponse{}, s.request)
	c.Flush() // ends the goroutine that watches the request
	s.context.CompareAndSwap(nil, c)
	return s.context.Load()
}

// Transport tells what carries the session.
func (s *Session) Transport() transports.Transport { return view{Transport: blank, session: s} }

// Send queues a message; see Write.
func (s *Session) Send(data io.Reader, opts *packet.Options, sent engine.SendCallback) engine.Socket {
	return s.Write(data, opts, sent)
}

// Write queues a message of the library's: text if data is a string buffer, else binary. sent is called when it is
// queued.
func (s *Session) Write(data io.Reader, _ *packet.Options, sent engine.SendCallback) engine.Socket {
	frame, err := messageFrame(data)
	if err != nil {
		s.server.log.Debug("message not readable", "err", err)
		return s
	}
	one := [1][]byte{frame}
	if s.WriteFrames(one[:], false, false) && sent != nil {
		sent(s.Transport())
	}
	return s
}

// WriteFrames queues one message: complete, unmasked WebSocket frames, a text frame whose payload is an Engine.IO packet
// and binary frames of its attachments. They are shared and must not change; the slice itself is not kept. It calls nobody
// back. What is uncharged does not count against the limits of a client that does not keep up. It reports false if the
// message was dropped: the session is not open, or a volatile one cannot be sent now.
func (s *Session) WriteFrames(frames [][]byte, volatile, uncharged bool) bool {
	s.mu.Lock()
	if s.state.Load() != stateOpen {
		s.mu.Unlock()
		return false
	}
	if volatile && !s.takesNow() {
		s.mu.Unlock()
		s.server.count.volatileDropped.Add(1)
		return false
	}
	for _, frame := range frames {
		s.queue.push(frame, !uncharged)
	}
	slow := s.isSlow()
	if !slow {
		s.wake(len(frames))
	}
	s.mu.Unlock()
	if slow {
		s.server.count.slowConsumers.Add(1)
		s.server.log.Info("closing a session whose client does not keep up", "sid", s.id)
		s.end(reasonFailed, errSlowConsumer)
	}
	return true
}

// takesNow reports whether a message would go out at once. For holders of mu.
func (s *Session) takesNow() bool {
	if s.ws != nil {
		return !s.ws.blocked
	}
	return s.poll.waiting != nil && s.queue.empty()
}

// isSlow reports whether more waits than may for a client that does not keep up. One that does is not to blame for what
// waits; Pace bounds that. For holders of mu.
func (s *Session) isSlow() bool {
	if s.ws != nil && !s.ws.blocked {
		return false
	}
	return s.queue.charged > s.server.cfg.MaxQueueBytes || s.queue.chargedFrames > s.server.cfg.MaxQueueFrames
}

// wake sees to it that what was queued, added frames of it now, is sent. For holders of mu.
func (s *Session) wake(added int) {
	if s.ws == nil {
		s.poll.wake()
		return
	}
	if s.ws.blocked {
		return
	}
	s.ws.counted += added
	s.ws.writer.backlog.Add(int64(added))
	if !s.ws.scheduled {
		s.ws.scheduled = true
		s.ws.writer.push(s)
	}
}

// OnClosing registers fn to be called when the connection has ended and before "close" is emitted, which happens once done
// has been called, or after Config.CloseWait: so what was received before is handled before. done may be called more than
// once. On a session that has ended already fn is not called.
func (s *Session) OnClosing(fn func(done func())) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers = append(s.closers, fn)
}

// Close ends the session: at once with discard, else after what waits was sent and the client has answered, for which
// there is Config.CloseGrace.
func (s *Session) Close(discard bool) {
	if discard {
		s.end(reasonForced, nil)
		return
	}
	s.closeWith(newCloseFrame(statusNormal), reasonForced)
}

// closeWith begins an orderly close whose last frame, over a WebSocket, is given.
func (s *Session) closeWith(frame []byte, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.state.CompareAndSwap(stateOpen, stateClosing) {
		return
	}
	s.closing = reason
	s.grace = time.AfterFunc(s.server.cfg.CloseGrace, func() { s.end(reason, nil) })
	if s.ws != nil {
		s.queue.push(frame, false)
	}
	s.wake(1)
}

// end ends the session now. The listeners are told on another goroutine.
func (s *Session) end(reason string, err error) {
	s.mu.Lock()
	if s.state.Swap(stateClosed) == stateClosed {
		s.mu.Unlock()
		return
	}
	if s.closing != "" {
		reason = s.closing
	}
	for _, t := range []*time.Timer{s.grace, s.upgrade} {
		if t != nil {
			t.Stop()
		}
	}
	conns := [2]*conn{s.ws, s.next}
	closers := s.closers
	s.next, s.closers = nil, nil
	s.queue.drop()
	s.poll.wake()
	if s.ws != nil {
		s.ws.writer.uncount(s.ws)
	}
	s.mu.Unlock()
	for _, c := range conns {
		if c != nil {
			c.close()
		}
	}
	s.server.wheel.cancel(&s.alarm)
	s.server.forget(s, reason)
	s.server.spawn(func() { s.announceEnd(closers, reason, err) })
}

// announceEnd emits "close" when everybody who has something to finish before has.
func (s *Session) announceEnd(closers []func(func()), reason string, err error) {
	if len(closers) > 0 {
		var finished sync.WaitGroup
		finished.Add(len(closers))
		for _, fn := range closers {
			fn(sync.OnceFunc(finished.Done))
		}
		all := make(chan struct{})
		go func() {
			defer close(all)
			finished.Wait()
		}()
		limit := time.NewTimer(s.server.cfg.CloseWait)
		defer limit.Stop()
		select {
		case <-all:
		case <-limit.C:
			s.server.log.Warn("a session's end did not wait longer for its handlers", "sid", s.id)
		}
	}
	s.Emit("close", reason, err)
	s.Clear()
}

// heartbeat is called when the session's deadline has come: for the next ping, or for the answer to the last.
func (s *Session) heartbeat() {
	s.mu.Lock()
	if s.state.Load() == stateClosed {
		s.mu.Unlock()
		return
	}
	if s.pinged {
		s.mu.Unlock()
		s.end(reasonTimeout, nil)
		return
	}
	s.pinged = true
	if s.state.Load() == stateOpen {
		s.queue.push(pingFrame, false)
		s.wake(1)
	}
	s.server.wheel.schedule(&s.alarm, s.server.cfg.PingTimeout)
	s.mu.Unlock()
	s.context.Store(nil) // whoever wanted to see the request has by now
}

// ponged notes the client's answer.
func (s *Session) ponged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pinged && s.state.Load() != stateClosed {
		s.pinged = false
		s.server.wheel.schedule(&s.alarm, s.server.cfg.PingInterval)
	}
}

// receive handles one packet of the client's and reports whether the session goes on. data is not kept.
func (s *Session) receive(kind byte, data []byte) bool {
	switch kind {
	case packetMessage:
		s.emitText(data)
	case packetPong:
		s.ponged()
	case packetPing:
		s.end(reasonFailed, errHeartbeat) // in this revision the server pings
	case packetClose:
		s.end(reasonClosed, nil)
	case packetUpgrade, packetNoop:
	default:
		return false
	}
	return s.state.Load() != stateClosed
}

func (s *Session) emitText(data []byte) {
	if s.state.Load() == stateOpen {
		s.Emit("data", types.NewStringBuffer(append([]byte(nil), data...)))
	}
}

func (s *Session) emitBinary(data []byte) {
	if s.state.Load() == stateOpen {
		s.Emit("data", types.NewBytesBuffer(append([]byte(nil), data...)))
	}
}
