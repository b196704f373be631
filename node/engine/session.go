package engine

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
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
	reasonSlow      = "slow consumer" // for the figures; to the listeners it is an error of the transport
)

const (
	// settleEvery is how many messages of a client's, or bytes of them, may wait to be handled before its next ones have
	// to: decoded, they can be many times as large.
	settleEvery = 64
	settleBytes = 64 << 10
	// aliveBytes is how much a client has to take in PingTimeout for its answer to a ping to be waited for longer.
	aliveBytes = 16 << 10
	// maxUnchargedTimes is how many times as much may wait for a client that does not keep up if what is uncharged is
	// counted, too.
	maxUnchargedTimes = 64
)

// Session is the connection of one client, whatever carries it. Its methods are safe for concurrent use; none blocks.
type Session struct {
	// What a message for many touches stands first, so that it is together in memory, and the whole fills cache lines, so
	// that it begins with one.

	state atomic.Uint32
	// trusted: messages may be as large as Config.MaxPayload.
	trusted atomic.Bool
	// unannounced: nothing goes out yet. mu.
	unannounced bool
	// broken: nothing can be sent, and what was received is being read. mu.
	broken bool
	// hangup: the client has closed and is let go once what waits has been sent. mu.
	hangup bool
	// old: the client speaks revision 3. Not changed once the session is announced.
	old bool
	// base64: such a client takes binary data as text alone. Not changed either.
	base64 bool

	mu sync.Mutex
	// ws carries the session if it is not nil, else polling does. mu.
	ws    *conn
	queue queue // mu

	emitter

	id     string
	server *Server
	remote string
	alarm  alarm // the server's wheel

	// received is held while listeners are told of what the client sent, and of the end.
	received sync.Mutex

	poll polling // mu
	// next is the connection that a polling client is changing to, probed that it has been answered there. mu.
	next   *conn
	probed bool
	// pinged says that the client owes an answer; one of revision 3 always owes its next ping. mu.
	pinged bool
	// settling: what the client sends waits until its earlier messages have been handled, of which unsettled, of
	// unsettledBytes, may not have been. mu.
	settling                  bool
	unsettled, unsettledBytes int
	// held, if not nil, makes what the client sends wait until it is closed. mu.
	held chan struct{}
	// takenSlowly counts bytes that a client took that does not take all at once, since the last heartbeat. mu.
	takenSlowly int
	// closing is why an orderly close was begun. mu.
	closing string
	// why is why the session has ended, in a word. mu.
	why     string
	grace   *time.Timer // mu: ends an orderly close
	upgrade *time.Timer // mu: ends a change of transport
	closers []func(func())

	// request began the session; context is what the library makes of it. Both are forgotten.
	request atomic.Pointer[http.Request]
	context atomic.Pointer[types.HttpContext]
}

var _ engine.Socket = (*Session)(nil)

// Id implements the library's Socket.
func (s *Session) Id() string { return s.id }

// Protocol is the revision of Engine.IO.
func (s *Session) Protocol() int {
	if s.old {
		return 3
	}
	return 4
}

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

// Request is the request that began the session, without its body and most headers; an empty one after ForgetRequest.
func (s *Session) Request() *types.HttpContext {
	if c := s.context.Load(); c != nil {
		return c
	}
	r := s.request.Load()
	if r == nil {
		r = &http.Request{Method: http.MethodGet, URL: &url.URL{}, Header: http.Header{}}
	}
	c := types.NewHttpContext(noResponse{}, r)
	c.Flush() // ends the goroutine that watches the request
	s.context.CompareAndSwap(nil, c)
	return c // rather than what is stored, which a heartbeat may have let go of
}

// ForgetRequest gives back the memory of the request, once nobody wants to see it.
func (s *Session) ForgetRequest() {
	s.request.Store(nil)
	s.context.Store(nil)
}

// Trust lets the client send messages of up to Config.MaxPayload, once it is known whose it is.
func (s *Session) Trust() { s.trusted.Store(true) }

// maxMessage is how many bytes the client's next message, or POST, may have.
func (s *Session) maxMessage() int {
	if s.trusted.Load() {
		return s.server.cfg.MaxPayload
	}
	return min(s.server.cfg.MaxPayload, s.server.cfg.MaxUntrusted)
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
// back. What is uncharged does not count against the limits of a client that does not keep up, nor does what waits behind
// it; both count against 64 times those. It reports false if the message was dropped: the session is not open, or a
// volatile one cannot be sent now.
func (s *Session) WriteFrames(frames [][]byte, volatile, uncharged bool) bool {
	return s.WriteNumbered(frames, volatile, uncharged) > 0
}

// WriteNumbered is WriteFrames that returns the number of the message's last frame, which has gone out when the session's
// Written has come to it; 0 if the message was dropped.
func (s *Session) WriteNumbered(frames [][]byte, volatile, uncharged bool) (number uint64) {
	if s.old {
		frames = s.oldFrames(frames)
	}
	s.mu.Lock()
	if s.state.Load() != stateOpen || s.broken {
		s.mu.Unlock()
		return 0
	}
	if volatile && !s.takesNow() {
		s.mu.Unlock()
		s.server.count.volatileDropped.Add(1)
		return 0
	}
	for _, frame := range frames {
		switch {
		case len(frame) == 0:
		case uncharged:
			s.queue.pushLate(frame)
		default:
			s.queue.pushLive(frame)
		}
	}
	number = s.queue.added
	slow := s.isSlow()
	help := !slow && s.wakeOrHelp()
	s.mu.Unlock()
	switch {
	case slow:
		s.end(reasonFailed, ErrSlowConsumer)
	case help:
		s.server.help(s)
	}
	return number
}

// Written counts the frames that the kernel has taken, pings aside. The counter outlives the session.
func (s *Session) Written() *atomic.Uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.out
}

// Added is how many frames were to be written up to now.
func (s *Session) Added() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.added
}

// Why says in a word why the session has ended; "" if it has not.
func (s *Session) Why() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

// wakeOrHelp sees to it that what was queued is sent: by the writers, or if it reports true by the caller, who then calls
// help without mu. For holders of mu.
func (s *Session) wakeOrHelp() (help bool) {
	if help = s.needsHelp(); help {
		s.ws.writing = true
	} else {
		s.wake()
	}
	return help
}

// needsHelp reports whether so much waits for a client that keeps up that the writers do not: then whoever sends has to
// write, too, which bounds the queues without anybody being to blame. For holders of mu.
func (s *Session) needsHelp() bool {
	return s.ws != nil && !s.unannounced && !s.ws.blocked && !s.ws.writing && s.queue.long()
}

// takesNow reports whether a message would go out at once. For holders of mu.
func (s *Session) takesNow() bool {
	if s.ws != nil {
		return !s.ws.blocked
	}
	return s.poll.waiting != nil && s.queue.empty()
}

// isSlow reports whether more waits than may for a client that does not keep up. For holders of mu.
func (s *Session) isSlow() bool {
	if s.ws != nil && !s.ws.blocked {
		return false
	}
	q, cfg := &s.queue, &s.server.cfg
	return q.charged > cfg.MaxQueueBytes || q.chargedFrames > cfg.MaxQueueFrames ||
		q.bytes > maxUnchargedTimes*cfg.MaxQueueBytes || q.len() > maxUnchargedTimes*cfg.MaxQueueFrames
}

// wake sees to it that what was queued is sent. For holders of mu.
func (s *Session) wake() {
	switch {
	case s.unannounced, s.broken:
	case s.ws == nil:
		s.poll.wake()
	case !s.ws.blocked && !s.ws.writing && !s.ws.scheduled:
		s.ws.scheduled = true
		s.ws.writer.push(s)
	}
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
	s.wake()
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
	counted := reason
	if errors.Is(err, ErrSlowConsumer) {
		counted = reasonSlow
	}
	s.why = strings.ReplaceAll(counted, " ", "_")
	// What the kernel holds for a client that takes nothing is dropped.
	order := err == nil && (s.ws == nil || !s.ws.blocked)
	closers := s.closers
	s.next, s.closers = nil, nil
	s.queue.drop()
	s.poll.wake()
	s.letIn()
	s.mu.Unlock()
	for _, c := range conns {
		if c != nil {
			c.close(order)
		}
	}
	s.server.wheel.cancel(&s.alarm)
	s.server.forget(s, counted)
	go s.announceEnd(closers, reason, err)
}

// announceEnd emits "close" when everybody who has something to finish before has. Run waits for it.
func (s *Session) announceEnd(closers []func(func()), reason string, err error) {
	defer s.server.children.Done()
	if errors.Is(err, ErrSlowConsumer) {
		s.server.count.slowConsumers.Add(1)
		s.server.log.Info("closing a session whose client does not keep up", "sid", s.id)
	}
	s.settle(closers)
	s.received.Lock()
	defer s.received.Unlock()
	s.Emit("close", reason, err)
	s.Clear()
}

// receive handles one packet of the client's and reports whether the session goes on. data is not kept.
func (s *Session) receive(kind byte, data []byte) bool {
	switch kind {
	case packetMessage:
		if s.old {
			data = s.server.cfg.Translate(data)
		}
		if !s.server.cfg.Acceptable(data) {
			return false
		}
		s.emitText(data)
	case packetPong:
		s.ponged()
	case packetPing:
		if s.old {
			s.answerPing(data)
			break
		}
		s.end(reasonFailed, errHeartbeat) // in this revision the server pings
	case binaryMark:
		if !s.receiveOldBase64(data) {
			return false
		}
	case packetClose:
		s.end(reasonClosed, nil)
	case packetOpen, packetUpgrade, packetNoop:
	default:
		return false
	}
	s.await()
	return s.state.Load() != stateClosed
}

func (s *Session) emitText(data []byte) {
	if s.state.Load() != stateOpen {
		return
	}
	s.pace(s.server.cfg.Final(data), len(data))
	s.received.Lock()
	defer s.received.Unlock()
	if s.state.Load() == stateOpen {
		s.Emit("data", types.NewStringBuffer(append([]byte(nil), data...)))
	}
}

func (s *Session) emitBinary(data []byte) {
	s.pace(false, len(data))
	s.received.Lock()
	defer s.received.Unlock()
	if s.state.Load() == stateOpen {
		s.Emit("data", types.NewBytesBuffer(append([]byte(nil), data...)))
	}
}
