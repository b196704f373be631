package engine

// begin lets go out what was queued while the session was announced.
func (s *Session) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unannounced = false
	if s.state.Load() != stateClosed {
		first := s.server.cfg.PingInterval
		if s.old {
			s.pinged = true
			first += s.server.cfg.PingTimeout
		}
		s.server.wheel.schedule(&s.alarm, first)
		s.wake()
	}
}

// heartbeat is called when the session's deadline has come: for the next ping, or for the answer to the last.
func (s *Session) heartbeat() {
	s.mu.Lock()
	if s.state.Load() == stateClosed {
		s.mu.Unlock()
		return
	}
	if s.held != nil || s.settling {
		s.server.wheel.schedule(&s.alarm, s.server.cfg.PingTimeout) // its answer may be waiting
		s.mu.Unlock()
		return
	}
	slowly := s.takenSlowly
	s.takenSlowly = 0
	if s.pinged {
		if slowly >= aliveBytes { // it has not come to the ping yet
			s.server.wheel.schedule(&s.alarm, s.server.cfg.PingTimeout)
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		s.end(reasonTimeout, nil)
		return
	}
	if s.ws == nil && s.poll.ignores(&s.queue) {
		s.mu.Unlock()
		s.end(reasonFailed, ErrSlowConsumer)
		return
	}
	s.pinged = true
	if s.state.Load() == stateOpen {
		s.queue.pushNext(pingFrame)
		s.wake()
	}
	s.server.wheel.schedule(&s.alarm, s.server.cfg.PingTimeout)
	s.mu.Unlock()
	s.context.Store(nil) // whoever wanted to see the request has by now
}

// ponged notes the client's answer.
func (s *Session) ponged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pinged && !s.old && s.state.Load() != stateClosed {
		s.pinged = false
		s.server.wheel.schedule(&s.alarm, s.server.cfg.PingInterval)
	}
}
