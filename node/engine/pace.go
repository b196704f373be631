package engine

import (
	"sync"
	"sync/atomic"
	"time"
)

// This file is what makes a client's messages wait for earlier ones to be handled.

// OnClosing registers fn to be called when the connection has ended and before "close" is emitted, which happens once done
// has been called, or after Config.CloseWait: so what was received before is handled before. It is called likewise before
// a message that Config.Final says is one, and after every 64 messages or 64 KiB of them, and may be called more than
// once, as may done. On a session that has ended already fn is not called.
func (s *Session) OnClosing(fn func(done func())) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers = append(s.closers, fn)
}

// settle calls closers and waits until they are done, at most for Config.CloseWait.
func (s *Session) settle(closers []func(func())) {
	if len(closers) == 0 {
		return
	}
	left := int64(len(closers))
	all := make(chan struct{})
	for _, fn := range closers {
		fn(sync.OnceFunc(func() {
			if atomic.AddInt64(&left, -1) == 0 {
				close(all)
			}
		}))
	}
	limit := time.NewTimer(s.server.cfg.CloseWait)
	defer limit.Stop()
	select {
	case <-all:
	case <-limit.C:
		s.server.log.Warn("what a session received was not handled in time", "sid", s.id)
	}
}

// pace waits until the client's earlier messages have been handled, if the next, of size bytes, is final or there is much
// of them: who sends faster than is handled has to wait, and fills the kernel's buffers and not ours.
func (s *Session) pace(final bool, size int) {
	s.mu.Lock()
	much := s.unsettled >= settleEvery || s.unsettledBytes >= settleBytes
	s.unsettled++
	s.unsettledBytes += size
	if !final && !much || len(s.closers) == 0 {
		s.mu.Unlock()
		return
	}
	closers := s.closers
	s.settling, s.unsettled, s.unsettledBytes = true, 1, size
	s.mu.Unlock()
	s.settle(closers)
	s.mu.Lock()
	s.settling = false
	s.mu.Unlock()
}

// Hold makes what the client sends wait from now on until Release, or the session's end: for a listener of "data" that
// has to finish something before the next message. It calls Release at the latest when it gives up.
func (s *Session) Hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil && s.state.Load() != stateClosed {
		s.held = make(chan struct{})
	}
}

// Release ends Hold.
func (s *Session) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.letIn()
}

// letIn is for holders of mu.
func (s *Session) letIn() {
	if s.held != nil {
		close(s.held)
		s.held = nil
	}
}

// await returns when the client's next message may be handled.
func (s *Session) await() {
	s.mu.Lock()
	held := s.held
	s.mu.Unlock()
	if held != nil {
		<-held
	}
}
