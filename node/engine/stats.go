package engine

import (
	"maps"
	"sync/atomic"
)

// Stats are a server's figures: of now, and counted since its start.
type Stats struct {
	// Polling and WebSocket are the open sessions.
	Polling, WebSocket int
	Opened             uint64
	// Upgraded counts sessions that changed from polling to WebSocket.
	Upgraded uint64
	// Closed counts by reason.
	Closed map[string]uint64
	// SlowConsumers counts sessions closed because their client did not keep up.
	SlowConsumers uint64
	// VolatileDropped counts volatile messages whose client could not take them.
	VolatileDropped uint64
	// Refused counts requests that were answered with an error.
	Refused uint64
	// Frames, Bytes and Writes are of the WebSockets: how much went out, in how many calls of the kernel.
	Frames, Bytes, Writes uint64
}

type counters struct {
	opened, upgraded, slowConsumers, volatileDropped, refused atomic.Uint64
}

// Stats returns the current figures.
func (s *Server) Stats() Stats {
	out := Stats{
		Opened: s.count.opened.Load(), Upgraded: s.count.upgraded.Load(), SlowConsumers: s.count.slowConsumers.Load(),
		VolatileDropped: s.count.volatileDropped.Load(), Refused: s.count.refused.Load(),
	}
	for _, w := range s.writers {
		out.Frames += w.sent.frames.Load()
		out.Bytes += w.sent.bytes.Load()
		out.Writes += w.sent.writes.Load()
	}
	s.mu.Lock()
	out.Closed = maps.Clone(s.closed)
	all := make([]*Session, 0, len(s.sessions))
	for _, session := range s.sessions {
		all = append(all, session)
	}
	s.mu.Unlock()
	for _, session := range all {
		session.mu.Lock()
		if session.ws != nil {
			out.WebSocket++
		} else {
			out.Polling++
		}
		session.mu.Unlock()
	}
	return out
}
