package engine

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// polling is what long-polling adds to a session. It belongs to the session's lock.
type polling struct {
	began   bool
	posting bool // a POST is being handled
	// hurried: the open GET is to be answered though there is nothing to send.
	hurried bool
	// missed counts heartbeats at which something waited and nobody came for it.
	missed int32
	// waiting is the open GET's signal, nil if there is none.
	waiting chan struct{}
	// beat is when a ping of a client of revision 3 last counted as a heartbeat, in nanoseconds since 1970.
	beat int64
}

const (
	// maxPolled bounds the answer to a GET, but for its last packet: the next GET brings the rest.
	maxPolled = 256 << 10
	// polledAtOnce is how much of an answer the client has to take within Config.StallTimeout.
	polledAtOnce = 64 << 10
)

// maxPackets bounds the packets of one POST: each costs more than its bytes.
const maxPackets = 4096

// ignores notes a heartbeat, and reports whether the client has come for nothing since the last but one. Pongs alone keep
// no session alive.
func (p *polling) ignores(q *queue) bool {
	if p.waiting != nil || q.empty() {
		p.missed = 0
		return false
	}
	p.missed++
	return p.missed > 1
}

// wake makes the open GET look again.
func (p *polling) wake() {
	select {
	case p.waiting <- struct{}{}:
	default:
	}
}

// openPolling begins a session whose first poll this request is.
func (s *Server) openPolling(w http.ResponseWriter, r *http.Request) {
	session := s.open(r, func(session *Session) { session.poll.began = true })
	if session == nil {
		s.refuse(w, refuseStopped)
		return
	}
	session.servePoll(w, r)
}

// servePoll answers a GET when there is something to send.
func (s *Session) servePoll(w http.ResponseWriter, r *http.Request) {
	signal, ok := s.beginPoll()
	if !ok {
		s.end(reasonFailed, errOverlap)
		s.server.refuse(w, refuseRequest)
		return
	}
	for {
		payload, last := s.takePolled()
		if payload != nil {
			s.answer(w, payload)
			if last {
				s.end(reasonForced, nil)
			}
			return
		}
		select {
		case <-signal:
		case <-r.Context().Done():
			if s.endPoll() {
				s.end(reasonFailed, r.Context().Err())
			}
			return
		}
	}
}

// beginPoll makes a request the one that waits; false if there is one.
func (s *Session) beginPoll() (signal chan struct{}, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.poll.waiting != nil {
		return nil, false
	}
	s.poll.waiting = make(chan struct{}, 1)
	return s.poll.waiting, true
}

// endPoll forgets the open GET, and reports whether polling still carried the session.
func (s *Session) endPoll() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.poll.waiting, s.poll.hurried = nil, false
	return s.ws == nil
}

// takePolled returns the answer to the open GET, and whether that is the session's last; nil if it has to wait. What is
// sent and the close are two answers: the stock client counts events that come with the close as received only once it is
// connected again.
func (s *Session) takePolled() (payload []byte, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state := s.state.Load(); {
	case state == stateClosed:
		payload = s.lone(packetClose)
	case s.ws != nil:
		payload = s.lone(packetNoop) // the rest goes over the WebSocket
	case s.old && !s.queue.empty():
		payload = s.takeOldPolled()
	case !s.queue.empty():
		for !s.queue.empty() && len(payload) < maxPolled {
			payload = appendPolled(payload, s.queue.front())
			s.queue.pop()
		}
	case state == stateClosing:
		payload, last = s.lone(packetClose), true
	case s.next != nil && s.probed, s.poll.hurried:
		payload = s.lone(packetNoop) // so that the client can change its transport, or asks anew
	}
	if payload != nil {
		s.poll.waiting, s.poll.missed, s.poll.hurried = nil, 0, false
	}
	return payload, last
}

// answer sends a payload; a client that takes nothing of it for Config.StallTimeout is given up.
func (s *Session) answer(w http.ResponseWriter, payload []byte) {
	control := http.NewResponseController(w)
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	if isOldBinary(payload) {
		h.Set("Content-Type", "application/octet-stream")
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(payload)))
	var err error
	for part := range slices.Chunk(payload, polledAtOnce) {
		// A writer without deadlines has no connection to wait for.
		_ = control.SetWriteDeadline(time.Now().Add(s.server.cfg.StallTimeout))
		if _, err = w.Write(part); err == nil {
			err = control.Flush()
		}
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			break
		}
		s.server.count.polled.Add(uint64(len(part)))
		s.took(len(part))
	}
	switch failed := err != nil && !errors.Is(err, http.ErrNotSupported); {
	case !failed:
		s.polled()
	case !bytes.Equal(payload, s.lone(packetNoop)) || !s.Upgraded():
		s.end(reasonFailed, err)
	}
	_ = control.SetWriteDeadline(time.Time{}) // the connection serves others after this request
}

// polled notes that a polling client has been sent an answer.
func (s *Session) polled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue.tell()
}

// took notes that a polling client has been sent n bytes, as fast as it takes them.
func (s *Session) took(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takenSlowly += n
}

// AnswerPoll has a session's open GET answered, by a packet that says nothing if nothing waits. For a session that has none
// it does nothing.
func (s *Server) AnswerPoll(sid string) {
	session := s.session(sid)
	if session == nil {
		return
	}
	session.mu.Lock()
	defer session.mu.Unlock()
	if session.poll.waiting != nil {
		session.poll.hurried = true
		session.poll.wake()
	}
}

// servePost handles what a polling client sends.
func (s *Session) servePost(w http.ResponseWriter, r *http.Request) {
	if !s.beginPost() {
		if !s.Upgraded() {
			s.end(reasonFailed, errOverlap)
		}
		s.server.refuse(w, refuseRequest)
		return
	}
	defer s.endPost()
	limit := int64(s.maxMessage())
	if r.ContentLength > limit {
		s.server.refuse(w, refuseSize)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	switch {
	case err != nil:
		s.end(reasonFailed, err)
		s.server.refuse(w, refuseRequest)
		return
	case int64(len(body)) > limit:
		w.Header().Set("Connection", "close")
		s.server.refuse(w, refuseSize)
		return
	}
	if !s.receivePayload(body) {
		s.end(reasonMalformed, errMalformed)
		s.server.refuse(w, refuseRequest)
		return
	}
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, "ok") // a client that has gone needs no answer
}

// beginPost makes a request the one whose messages are handled; false if there is one, or a WebSocket has taken over.
func (s *Session) beginPost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.poll.posting || s.ws != nil {
		return false
	}
	s.poll.posting = true
	return true
}

func (s *Session) endPost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.poll.posting = false
}

// receivePayload handles the packets of a payload; false if one is malformed.
func (s *Session) receivePayload(payload []byte) bool {
	if s.old {
		return s.receiveOldPayload(payload)
	}
	if bytes.Count(payload, []byte{recordSeparator}) >= maxPackets {
		return false
	}
	for part := range bytes.SplitSeq(payload, []byte{recordSeparator}) {
		if len(part) == 0 {
			return false
		}
		if part[0] == binaryMark {
			data, err := base64.StdEncoding.AppendDecode(nil, part[1:])
			if err != nil {
				return false
			}
			s.emitBinary(data)
			s.await()
			continue
		}
		if !utf8.Valid(part) {
			return false
		}
		if !s.receive(part[0], part[1:]) {
			return s.state.Load() == stateClosed
		}
	}
	return true
}
