package forward

import "sync/atomic"

// outcome is what became of a request for another node.
type outcome int

const (
	answered    outcome = iota
	unknown             // no live node is the session's
	unreachable         // no connection to it could be made
	foreign             // what listens there is not it
	broken              // it did not answer
	abandoned           // the client left before there was an answer
	busy                // as many as may be were under way
	stopped             // this node stopped before there was an answer
	outcomes            // how many there are
)

var outcomeNames = [outcomes]string{"answered", "unknown", "unreachable", "foreign", "broken", "abandoned", "busy", "stopped"}

// Outcomes lists what Stats.Forwarded counts by.
func Outcomes() []string { return outcomeNames[:] }

// Verdicts lists what Stats.Received counts by.
func Verdicts() []string { return []string{"accepted", "stale", "forged"} }

// Stats are a forwarder's figures: of now, and counted since its start.
type Stats struct {
	// Forwarded counts the requests that were another node's, by what became of them.
	Forwarded map[string]uint64
	// Received counts the requests that said that another node had passed them on, by whether it had.
	Received map[string]uint64
	// Polls and WebSockets are under way through this node to others.
	Polls, WebSockets int
}

type counters struct {
	forwarded               [outcomes]atomic.Uint64
	accepted, stale, forged atomic.Uint64
}

// Stats returns the current figures; those of a nil Forwarder are empty.
func (f *Forwarder) Stats() Stats {
	if f == nil {
		return Stats{}
	}
	s := Stats{
		Forwarded: make(map[string]uint64, outcomes),
		Received: map[string]uint64{
			"accepted": f.count.accepted.Load(), "stale": f.count.stale.Load(), "forged": f.count.forged.Load(),
		},
	}
	for what, name := range outcomeNames {
		s.Forwarded[name] = f.count.forwarded[what].Load()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s.Polls, s.WebSockets = len(f.polls), len(f.tunnels)
	return s
}
