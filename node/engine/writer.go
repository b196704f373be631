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
	server *Server

	mu          sync.Mutex
	ready       []*Session // mu: each at most once
	wake        chan struct{}
	backlog     atomic.Int64 // frames that wait for clients that keep up
	frames      atomic.Uint64
	bytes       atomic.Uint64
	writes      atomic.Uint64
	scratch     []byte // of run's goroutine, as the rest
	attempt     func(fd uintptr) bool
	attempted   []byte
	attemptSent int
	attemptErr  error
}

func newWriter(s *Server) *writer {
	w := &writer{server: s, wake: make(chan struct{}, 1), scratch: make([]byte, 0, scratchSize)}
	w.attempt = w.tryOnce // made once, since each making allocates
	return w
}

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
			w.serve(s)
			turn[i] = nil
		}
	}
}

// serve sends what waits for a session, as much as one turn may.
func (w *writer) serve(s *Session) {
	for sent := 0; ; {
		chunk := w.next(s, sent)
		if chunk == nil {
			return
		}
		n, err := w.try(s.ws, chunk)
		sent += n
		if !w.done(s, n, err) {
			return
		}
	}
}

// next returns what to send now; nil if the turn is over.
func (w *writer) next(s *Session, sent int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state.Load() == stateClosed:
		return nil
	case s.queue.empty():
		s.ws.scheduled = false
		return nil
	case sent >= turnBytes:
		w.push(s)
		return nil
	case len(s.queue.front()) >= scratchSize:
		return s.queue.front()
	}
	return s.queue.gather(w.scratch)
}

// done notes what a write has done, and reports whether the turn goes on.
func (w *writer) done(s *Session, n int, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Load() == stateClosed {
		return false
	}
	if n > 0 {
		w.note(s, n)
	}
	switch {
	case err == nil:
		return true
	case errors.Is(err, syscall.EAGAIN):
		w.block(s)
	default:
		s.server.spawn(func() { s.end(reasonFailed, err) })
	}
	return false
}

// try hands the kernel as much as it takes at once. The error is EAGAIN if that is not everything.
func (w *writer) try(c *conn, chunk []byte) (int, error) {
	if c.raw == nil {
		return 0, syscall.EAGAIN
	}
	w.attempted = chunk
	err := c.raw.Write(w.attempt)
	w.attempted = nil
	if err == nil {
		err = w.attemptErr
	}
	if err == nil && w.attemptSent < len(chunk) {
		err = syscall.EAGAIN
	}
	return w.attemptSent, err
}

func (w *writer) tryOnce(fd uintptr) bool {
	w.attemptSent = 0
	for {
		w.attemptSent, w.attemptErr = syscall.Write(int(fd), w.attempted)
		if !errors.Is(w.attemptErr, syscall.EINTR) {
			w.attemptSent = max(w.attemptSent, 0)
			return true
		}
	}
}

// note takes n bytes off the queue and counts them. For holders of the session's lock.
func (w *writer) note(s *Session, n int) {
	frames := s.queue.taken(n)
	w.frames.Add(uint64(frames))
	w.bytes.Add(uint64(n))
	w.writes.Add(1)
	counted := min(frames, s.ws.counted)
	s.ws.counted -= counted
	w.backlog.Add(-int64(counted))
}

// uncount takes a session's frames out of the backlog. For holders of the session's lock.
func (w *writer) uncount(c *conn) {
	w.backlog.Add(-int64(c.counted))
	c.counted = 0
}

// block gives a session whose client does not take what there is to a goroutine of its own. For holders of its lock.
func (w *writer) block(s *Session) {
	s.ws.blocked = true
	w.uncount(s.ws)
	s.server.spawn(func() { w.wait(s) })
}

// wait sends what waits for a session at its client's pace, until there is nothing left.
func (w *writer) wait(s *Session) {
	scratch := make([]byte, 0, scratchSize/4)
	for {
		s.mu.Lock()
		c := s.ws
		if s.state.Load() == stateClosed {
			s.mu.Unlock()
			return
		}
		if s.queue.empty() {
			c.blocked, c.scheduled = false, false
			s.mu.Unlock()
			return
		}
		chunk := s.queue.gather(scratch[:0])
		s.mu.Unlock()
		if err := c.net.SetWriteDeadline(time.Now().Add(s.server.cfg.StallTimeout)); err != nil {
			s.end(reasonFailed, err)
			return
		}
		n, err := c.net.Write(chunk)
		if !w.progressed(s, n, err) {
			return
		}
	}
}

// progressed notes what a write that waited has done, and reports whether to go on.
func (w *writer) progressed(s *Session, n int, err error) bool {
	s.mu.Lock()
	open := s.state.Load() != stateClosed
	if open && n > 0 {
		w.note(s, n)
	}
	s.mu.Unlock()
	switch {
	case !open:
		return false
	case err == nil, n > 0 && isTimeout(err):
		return true
	case isTimeout(err):
		s.server.count.slowConsumers.Add(1)
		s.server.log.Info("closing a session whose client takes nothing", "sid", s.id)
		s.end(reasonFailed, errSlowConsumer)
	default:
		s.end(reasonFailed, err)
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
