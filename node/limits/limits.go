package limits

import "sync/atomic"

// Limits are those of one node, and what they have refused. Its methods are safe for concurrent use; a nil one limits
// nothing.
type Limits struct {
	cfg        Config
	handshakes *Handshakes
	users      *PerUser
	count      counters
}

type counters struct{ handshakes, budget, sockets, events, floods atomic.Uint64 }

// Stats are the figures of a node's limits: of now, and counted since its start.
type Stats struct {
	// Addresses are those whose handshakes are counted at the moment.
	Addresses int
	// AddressesForgotten counts those that had to be forgotten too early, for want of room.
	AddressesForgotten uint64
	// HandshakesRefused counts handshakes over their address' rate, BudgetRefused those over the cluster's.
	HandshakesRefused, BudgetRefused uint64
	// SocketsRefused counts sockets that were one too many of their user.
	SocketsRefused uint64
	// EventsRefused counts events over their socket's rate, EventFloods the sockets that went on and on.
	EventsRefused, EventFloods uint64
}

// New makes a node's limits, or returns the faults of cfg.
func New(cfg Config) (*Limits, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Limits{cfg: cfg, handshakes: NewHandshakes(cfg), users: NewPerUser(cfg.MaxSocketsPerUser)}, nil
}

// TakeSocket is PerUser.Take, counted.
func (l *Limits) TakeSocket(user string) (release func(), ok bool) {
	if l == nil {
		return func() {}, true
	}
	if release, ok = l.users.Take(user); !ok {
		l.count.sockets.Add(1)
	}
	return release, ok
}

// NewEvents makes a socket's bucket; nil if there is no limit.
func (l *Limits) NewEvents() *Events {
	if l == nil || l.cfg.EventRate == 0 {
		return nil
	}
	return &Events{limits: l}
}

// Stats returns the current figures.
func (l *Limits) Stats() Stats {
	if l == nil {
		return Stats{}
	}
	s := Stats{
		HandshakesRefused: l.count.handshakes.Load(), BudgetRefused: l.count.budget.Load(),
		SocketsRefused: l.count.sockets.Load(), EventsRefused: l.count.events.Load(), EventFloods: l.count.floods.Load(),
	}
	s.Addresses, s.AddressesForgotten = l.handshakes.figures()
	return s
}
