package engine

import (
	"errors"
	"io"
	"net/http"
	"syscall"
	"time"

	"github.com/gobwas/ws"
)

// handshakeTimeout bounds the answer to a WebSocket's handshake.
const handshakeTimeout = 10 * time.Second

// hijack changes a request's connection to WebSocket; nil if that was refused.
func (s *Server) hijack(w http.ResponseWriter, r *http.Request) *conn {
	upgrader := ws.HTTPUpgrader{Timeout: handshakeTimeout, Header: corsOf(w.Header())}
	c, rw, _, err := upgrader.Upgrade(r, w)
	if err != nil {
		s.refused.note(refusedUpgrade)
		s.log.Debug("websocket refused", "err", err)
		if c != nil {
			_ = c.Close()
		}
		return nil
	}
	var early []byte
	if n := rw.Reader.Buffered(); n > 0 {
		early = make([]byte, n)
		_, _ = io.ReadFull(rw.Reader, early) // from memory
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		_ = c.Close()
		return nil
	}
	return newConn(c, s.writer(), early)
}

// corsOf is what the answer to an upgrade has to repeat.
func corsOf(h http.Header) http.Header {
	out := http.Header{}
	for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Vary"} {
		if values := h.Values(name); len(values) > 0 {
			out[name] = values
		}
	}
	return out
}

// openWebSocket begins a session on a WebSocket.
func (s *Server) openWebSocket(w http.ResponseWriter, r *http.Request) {
	c := s.hijack(w, r)
	if c == nil {
		s.giveUpPlace()
		return
	}
	session := s.open(r, func(session *Session) { session.ws = c })
	if session == nil {
		c.close(true)
		return
	}
	// Of its own, so that this request's buffers and stack are given back.
	s.spawn(func() { session.read(c) })
}

// read receives from the session's WebSocket until it ends.
func (s *Session) read(c *conn) {
	err := c.read(s.maxMessage, func(op ws.OpCode, payload []byte) bool { return s.message(op, payload) })
	s.ended(c, err)
}

// message handles one message or control frame. It reports whether reading goes on.
func (s *Session) message(op ws.OpCode, payload []byte) bool {
	switch op {
	case ws.OpText:
		if len(payload) == 0 || !s.receive(payload[0], payload[1:]) {
			s.fail(ws.StatusInvalidFramePayloadData, reasonMalformed)
			return s.state.Load() != stateClosed
		}
	case ws.OpBinary:
		if s.old {
			if len(payload) == 0 || payload[0] != oldMessage {
				s.fail(ws.StatusInvalidFramePayloadData, reasonMalformed)
				return s.state.Load() != stateClosed
			}
			payload = payload[1:]
		}
		s.emitBinary(payload)
		s.await()
	case ws.OpPing:
		s.control(append(appendHeader(nil, framePong, len(payload)), payload...))
	case ws.OpClose:
		return s.closedByClient(payload)
	default:
	}
	return s.state.Load() != stateClosed
}

// control queues a control frame.
func (s *Session) control(frame []byte) {
	s.mu.Lock()
	if s.state.Load() != stateOpen || s.broken || s.isSlow() { // who pings and does not read gets no answer
		s.mu.Unlock()
		return
	}
	s.queue.push(frame, true)
	help := s.wakeOrHelp()
	s.mu.Unlock()
	if help {
		s.server.help(s)
	}
}

// closedByClient ends the session: a client that closes first is answered, behind what waits for it, before it is let go.
func (s *Session) closedByClient(payload []byte) bool {
	status := payload[:min(len(payload), 2)]
	answer := append(appendHeader(nil, frameClose, len(status)), status...)
	s.mu.Lock()
	if s.state.Load() != stateOpen {
		s.mu.Unlock()
		s.end(reasonClosed, nil)
		return false
	}
	s.hangup = true
	s.mu.Unlock()
	s.closeWith(answer, reasonClosed)
	return true
}

// hungUp ends the session if its client has closed. For holders of mu, with nothing left to send.
func (s *Session) hungUp() {
	if s.hangup {
		s.server.spawn(func() { s.end(reasonClosed, nil) })
	}
}

// fail closes the session for a fault of its client.
func (s *Session) fail(code ws.StatusCode, reason string) { s.closeWith(newCloseFrame(code), reason) }

// ended ends the session when nothing can be read any more, or never should have been.
func (s *Session) ended(c *conn, err error) {
	var protocol ws.ProtocolError
	code := ws.StatusCode(0)
	switch {
	case errors.Is(err, errEnded):
		return
	case errors.Is(err, errTooLarge):
		code = ws.StatusMessageTooBig
	case errors.Is(err, errNotUTF8):
		code = ws.StatusInvalidFramePayloadData
	case errors.As(err, &protocol), errors.Is(err, ws.ErrHeaderLengthMSB), errors.Is(err, ws.ErrHeaderLengthUnexpected):
		code = ws.StatusProtocolError
	}
	if code != 0 {
		s.fail(code, reasonFailed)
		s.discardRest(c)
		return
	}
	reason := reasonClosed
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		reason = reasonFailed
	}
	s.end(reason, err)
}

// discardRest reads on after a fault, so that the close frame is not lost to a reset; the close's grace ends it.
func (s *Session) discardRest(c *conn) {
	for {
		c.unread = nil
		if err := c.receive(); err != nil {
			s.end(reasonFailed, err)
			return
		}
	}
}
