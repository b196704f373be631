package engine

import (
	"net/http"
	"time"

	"github.com/gobwas/ws"
)

const probe = "probe"

// serveUpgrade changes a polling session to WebSocket: the client sends a probe, is answered, and once its last poll has
// been answered tells that it goes on here. Until then the session stays on polling, and does if this fails.
func (s *Session) serveUpgrade(w http.ResponseWriter, r *http.Request) {
	if !s.mayUpgrade() {
		s.server.refuse(w, refuseRequest)
		return
	}
	c := s.server.hijack(w, r)
	if c == nil {
		return
	}
	if !s.beginUpgrade(c) {
		c.close(true)
		return
	}
	s.server.spawn(func() { s.readUpgrade(c) })
}

func (s *Session) mayUpgrade() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ws == nil && s.next == nil && s.state.Load() != stateClosed
}

func (s *Session) beginUpgrade(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ws != nil || s.next != nil || s.state.Load() == stateClosed {
		return false
	}
	s.next, s.probed = c, false
	s.upgrade = time.AfterFunc(s.server.cfg.UpgradeTimeout, func() { s.abandon(c) })
	return true
}

// abandon gives up a change that the client did not complete.
func (s *Session) abandon(c *conn) {
	s.mu.Lock()
	carries := s.ws == c
	if s.next == c {
		s.next = nil
		s.upgrade.Stop()
	}
	s.mu.Unlock()
	if !carries {
		c.close(true)
	}
}

// readUpgrade reads a new connection, at first for the change alone, then for the session.
func (s *Session) readUpgrade(c *conn) {
	defer s.abandon(c)
	err := c.read(s.maxMessage, func(op ws.OpCode, payload []byte) bool {
		if s.carriedBy(c) {
			return s.message(op, payload)
		}
		return s.change(c, op, payload)
	})
	if s.carriedBy(c) {
		s.ended(c, err)
	}
}

func (s *Session) carriedBy(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ws == c
}

// change handles the messages of a change of transport; false gives it up.
func (s *Session) change(c *conn, op ws.OpCode, payload []byte) bool {
	switch {
	case op == ws.OpPing || op == ws.OpPong:
		return true
	case op != ws.OpText || len(payload) == 0:
		return false
	case payload[0] == packetPing && string(payload[1:]) == probe:
		if c.write(newFrame(packetPong, []byte(probe)), handshakeTimeout) != nil {
			return false
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.probed = true
		s.poll.wake()
		return s.next == c
	case payload[0] == packetUpgrade:
		return s.complete(c)
	}
	return false
}

// complete makes c carry the session. What waits is sent over it; the open poll, if there is one, is answered. A client
// that has a POST open is not ready: its messages would be handled beside those that come here.
func (s *Session) complete(c *conn) bool {
	s.mu.Lock()
	if s.next != c || !s.probed || s.poll.posting || s.state.Load() == stateClosed {
		s.mu.Unlock()
		return false
	}
	s.ws, s.next = c, nil
	s.upgrade.Stop()
	s.poll.wake()
	if s.state.Load() == stateClosing {
		s.queue.push(newCloseFrame(statusNormal), false)
	}
	if !s.queue.empty() {
		s.wake()
	}
	s.mu.Unlock()
	s.server.count.upgraded.Add(1)
	s.Emit("upgrade", s.Transport())
	return true
}
