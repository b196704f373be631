package engine

import (
	"maps"
	"sync"
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
	// Refused counts requests that were answered with an error, RefusedBy by reason.
	Refused   uint64
	RefusedBy map[string]uint64
	// Frames, Bytes and Writes are of the WebSockets: how much went out, in how many calls of the kernel. Polled are the
	// bytes of the answers to polling clients.
	Frames, Bytes, Writes uint64
	Polled                uint64
	// QueuedFrames and QueuedBytes wait for clients; of one, LongestBytes at most. Blocked are the WebSockets that do not
	// take what there is.
	QueuedFrames, QueuedBytes, LongestBytes, Blocked int
}

type counters struct {
	opened, upgraded, slowConsumers, volatileDropped, polled atomic.Uint64
}

// tallies count by reason; a reason is one of few.
type tallies struct {
	mu sync.Mutex
	n  map[string]uint64 // mu
}

func (t *tallies) note(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = make(map[string]uint64)
	}
	t.n[reason]++
}

func (t *tallies) all() map[string]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.n)
}

// Stats returns the current figures.
func (s *Server) Stats() Stats {
	out := Stats{
		Opened: s.count.opened.Load(), Upgraded: s.count.upgraded.Load(), SlowConsumers: s.count.slowConsumers.Load(),
		VolatileDropped: s.count.volatileDropped.Load(), RefusedBy: s.refused.all(), Polled: s.count.polled.Load(),
	}
	for _, n := range out.RefusedBy {
		out.Refused += n
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
		session.addTo(&out)
	}
	return out
}

func (s *Session) addTo(out *Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ws == nil {
		out.Polling++
	} else {
		out.WebSocket++
		if s.ws.blocked {
			out.Blocked++
		}
	}
	out.QueuedFrames += s.queue.len()
	out.QueuedBytes += s.queue.bytes
	out.LongestBytes = max(out.LongestBytes, s.queue.bytes)
}

// CloseReasons lists what Stats.Closed counts by.
func CloseReasons() []string {
	return []string{reasonClosed, reasonFailed, reasonTimeout, reasonMalformed, reasonForced, reasonSlow}
}

// RefusalReasons lists what Stats.RefusedBy counts by.
func RefusalReasons() []string {
	all := []string{refusedUpgrade}
	for _, why := range []refusal{
		refuseTransport, refuseSid, refuseMethod, refuseRequest, refuseOrigin, refuseProtocol, refuseSize, refuseStopped, refuseFull,
	} {
		all = append(all, why.reason)
	}
	return all
}
