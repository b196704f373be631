package engine

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// scratchSize is how much of a session's queue goes out in one write.
	scratchSize = 64 << 10
	// turnBytes is how much of it goes out before others have their turn.
	turnBytes = 256 << 10
)

// writer sends what waits for its sessions, one after the other.
type writer struct {
	mu    sync.Mutex
	ready []*Session // mu: each at most once
	wake  chan struct{}
	sent  tally
}

// tally counts what went out.
type tally struct{ frames, bytes, writes atomic.Uint64 }

func newWriter() *writer { return &writer{wake: make(chan struct{}, 1)} }

// push adds a session that has something to send. Its lock is held, and its scheduled flag set.
func (w *writer) push(s *Session) {
	w.mu.Lock()
	w.ready = append(w.ready, s)
	first := len(w.ready) == 1
	w.mu.Unlock()
	if first {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// run sends until ctx ends. While it writes, more gathers: that is what makes few large writes of many small ones under
// load, and delays nothing when there is none.
func (w *writer) run(ctx context.Context) {
	var turn []*Session
	sender := newSender()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		w.mu.Lock()
		turn, w.ready = w.ready, turn[:0]
		w.mu.Unlock()
		for i, s := range turn {
			sender.serve(s, false)
			turn[i] = nil
		}
	}
}

// sender writes to sessions without waiting, one at a time.
type sender struct {
	scratch []byte
	attempt func(fd uintptr) bool
	// What is written by attempt, and what came of it.
	chunk []byte
	n     int
	err   error
}

func newSender() *sender {
	d := &sender{scratch: make([]byte, 0, scratchSize)}
	d.attempt = d.tryOnce // made once, since each making allocates
	return d
}

// help writes what waits for a session whose writing flag the caller has set.
func (s *Server) help(session *Session) {
	d := s.helpers.Get().(*sender) //nolint:forcetypeassert // the pool's own
	defer s.helpers.Put(d)
	d.serve(session, true)
}

// serve sends what waits for a session, as much as one turn may. A helper has not taken it from its writer's list.
func (d *sender) serve(s *Session, helper bool) {
	for sent := 0; ; {
		chunk := d.next(s, sent, helper)
		if chunk == nil {
			return
		}
		d.try(s.ws, chunk)
		sent += d.n
		if !d.done(s) {
			return
		}
	}
}

// next returns what to send now; nil if the turn is over.
func (d *sender) next(s *Session, sent int, helper bool) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.ws
	if s.state.Load() == stateClosed || s.broken {
		return nil
	}
	mine := helper || sent > 0
	if !mine && (c.writing || c.blocked) {
		c.scheduled = false // whoever writes goes on with what is there
		return nil
	}
	c.writing = true
	if !helper {
		c.scheduled = false
	}
	switch {
	case s.queue.empty():
		c.writing = false
		s.hungUp()
		return nil
	case sent >= turnBytes:
		c.writing = false
		s.wake()
		return nil
	case len(s.queue.front()) >= scratchSize:
		return s.queue.front()
	}
	return s.queue.gather(d.scratch)
}

// try hands the kernel as much as it takes at once. The error is EAGAIN if that is not everything.
func (d *sender) try(c *conn, chunk []byte) {
	d.n, d.err = 0, syscall.EAGAIN
	if c.raw == nil {
		return
	}
	d.chunk = chunk
	err := c.raw.Write(d.attempt)
	d.chunk = nil
	if err != nil {
		d.err = err
	}
	if d.err == nil && d.n < len(chunk) {
		d.err = syscall.EAGAIN
	}
}

func (d *sender) tryOnce(fd uintptr) bool {
	for {
		d.n, d.err = syscall.Write(int(fd), d.chunk)
		if !errors.Is(d.err, syscall.EINTR) {
			d.n = max(d.n, 0)
			return true
		}
	}
}

// done notes what a write has done, and reports whether the turn goes on.
func (d *sender) done(s *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Load() == stateClosed {
		return false
	}
	s.noteSent(d.n)
	switch {
	case d.err == nil:
		return true
	case errors.Is(d.err, syscall.EAGAIN):
		s.ws.writing, s.ws.blocked = false, true
		s.server.spawn(s.writeWaiting)
	default:
		err := d.err
		s.server.spawn(func() { s.breakOff(err) })
	}
	return false
}

// breakOff is called when nothing can be sent any more. What the client sent before may still lie in the kernel: it is
// handled before the session ends, for which the reader has Config.CloseGrace.
func (s *Session) breakOff(err error) {
	s.mu.Lock()
	if s.state.Load() == stateOpen && !s.broken {
		s.broken = true
		s.queue.drop()
		if s.ws.net.SetReadDeadline(time.Now().Add(s.server.cfg.CloseGrace)) == nil {
			s.mu.Unlock()
			return
		}
	}
	s.mu.Unlock()
	s.end(reasonFailed, err)
}

// noteSent takes n bytes off the queue and counts them. For holders of mu.
func (s *Session) noteSent(n int) {
	if n == 0 {
		return
	}
	sent := &s.ws.writer.sent
	sent.frames.Add(uint64(s.queue.taken(n)))
	sent.bytes.Add(uint64(n))
	sent.writes.Add(1)
	if s.queue.mark != 0 {
		s.server.written(s.queue.takeMark())
	}
}

// NoteWritten has Config.Written told of mark, which is not 0, when all that waits for the client has been handed to the
// kernel; at once if nothing waits. While one mark waits, and of polling clients, others are forgotten.
func (s *Session) NoteWritten(mark int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ws != nil && s.state.Load() != stateClosed && !s.queue.setMark(mark) {
		s.server.written(mark)
	}
}

func (s *Server) written(mark int64) {
	if mark != 0 && s.cfg.Written != nil {
		s.cfg.Written(mark)
	}
}

// writeWaiting sends what waits at the pace of a client that does not take it at once, until there is nothing left.
func (s *Session) writeWaiting() {
	scratch := make([]byte, 0, scratchSize/4)
	for {
		chunk := s.waitingChunk(scratch)
		if chunk == nil {
			return
		}
		if err := s.ws.net.SetWriteDeadline(time.Now().Add(s.server.cfg.StallTimeout)); err != nil {
			s.end(reasonFailed, err)
			return
		}
		n, err := s.ws.net.Write(chunk)
		if !s.progressed(n, err) {
			return
		}
	}
}

// waitingChunk returns what to write next; nil if the session is the writers' again, or has ended.
func (s *Session) waitingChunk(scratch []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state.Load() == stateClosed, s.broken:
		return nil
	case s.queue.empty():
		// The writers' attempts would fail of a deadline that has passed, too.
		_ = s.ws.net.SetWriteDeadline(time.Time{}) // fails if the connection is closed, as they then do
		s.ws.blocked = false
		s.hungUp()
		return nil
	}
	return s.queue.gather(scratch)
}

// progressed notes what a write that waited has done, and reports whether to go on.
func (s *Session) progressed(n int, err error) bool {
	s.mu.Lock()
	open := s.state.Load() != stateClosed && !s.broken
	if open {
		s.noteSent(n)
		s.takenSlowly += n
	}
	s.mu.Unlock()
	switch {
	case !open:
		return false
	case err == nil, n > 0 && isTimeout(err):
		return true
	case isTimeout(err):
		s.end(reasonFailed, ErrSlowConsumer)
	default:
		s.breakOff(err)
	}
	return false
}

func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
