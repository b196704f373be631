package ingress

import (
	"errors"
	"sync/atomic"

	"github.com/teloo/realtime-gateway/adapter"
)

// Source is what kind of sender a message is of.
type Source int

// The sources.
const (
	Emitter Source = iota
	Python
	Legacy
	sources
)

// String is the source's name.
func (s Source) String() string { return [...]string{"emitter", "python", "legacy"}[s] }

// Outcome is what became of a message.
type Outcome int

// The outcomes.
const (
	Accepted    Outcome = iota // appended to the log, or to the event stream
	Ignored                    // is for others
	Invalid                    // not of its kind
	Reserved                   // the event's name has a meaning of its own
	Namespace                  // for a namespace that is not served
	Unsupported                // asks for what there is not
	Pickle                     // a pickle of more than plain data
	TooLarge                   // over Config.MaxMessage or MaxEvent, or would be for a client
	Overflow                   // the queue was full
	Superseded                 // the lease had ended, or the node was stopping
	Failed                     // Redis failed, and may have taken it or not
	Panicked                   // reading it panicked
	outcomes
)

// String is the outcome's name.
func (o Outcome) String() string {
	return [...]string{
		"accepted", "ignored", "invalid", "reserved", "namespace", "unsupported", "pickle", "too_large", "overflow", "superseded",
		"failed", "panic",
	}[o]
}

// outcomeOf is that of a message that is not passed on.
func outcomeOf(err error) Outcome {
	for _, c := range [...]struct {
		err error
		is  Outcome
	}{
		{adapter.ErrEmissionTooLarge, TooLarge},
		{errReserved, Reserved},
		{errNamespace, Namespace},
		{errUnsupported, Unsupported},
		{errPickle, Pickle},
		{errIgnored, Ignored},
		{errPanic, Panicked},
	} {
		if errors.Is(err, c.err) {
			return c.is
		}
	}
	return Invalid
}

type counters struct {
	messages  [sources][outcomes]atomic.Uint64
	terms     atomic.Uint64
	handovers atomic.Uint64
	lost      atomic.Uint64
	listening atomic.Bool
	queued    atomic.Int64
	bytes     atomic.Int64 // of them
}

func (c *counters) add(s Source, o Outcome, n int) { c.messages[s][o].Add(uint64(max(n, 0))) }

// Stats is what this node has done since its start.
type Stats struct {
	// Listening says that this node holds the lease and has its subscription.
	Listening bool
	// Terms counts how often it came to hold the lease.
	Terms uint64
	// Handovers counts how often it did so having listened before the last holder stopped: nothing was lost between them.
	Handovers uint64
	// SubscriptionsLost counts how often it lost the subscription while it did.
	SubscriptionsLost uint64
	// Queued is how many messages wait.
	Queued int

	messages [sources][outcomes]uint64
}

// Each calls yield with the number of messages of each source and outcome.
func (s Stats) Each(yield func(source, outcome string, messages uint64)) {
	for source := range sources {
		for outcome := range outcomes {
			yield(source.String(), outcome.String(), s.messages[source][outcome])
		}
	}
}

// Panics is how many messages' reading panicked.
func (s Stats) Panics() (n uint64) {
	for source := range sources {
		n += s.messages[source][Panicked]
	}
	return n
}

// Of is the number of messages of a source and outcome.
func (s Stats) Of(source Source, outcome Outcome) uint64 { return s.messages[source][outcome] }

// Stats is for any goroutine.
func (g *Ingress) Stats() Stats {
	s := Stats{
		Listening: g.count.listening.Load(), Terms: g.count.terms.Load(), SubscriptionsLost: g.count.lost.Load(),
		Handovers: g.count.handovers.Load(), Queued: int(g.count.queued.Load()),
	}
	for source := range sources {
		for outcome := range outcomes {
			s.messages[source][outcome] = g.count.messages[source][outcome].Load()
		}
	}
	return s
}
