package streams

import (
	"cmp"
	"maps"
	"sync"
	"sync/atomic"
)

// Stats are counters since New, and what is held now.
type Stats struct {
	Read             uint64            // entries that XREADGROUP delivered
	Relayed          uint64            // entries that this node put into the log
	RelayedByKind    map[string]uint64 // the same, by what the event's name begins with
	Dead             map[string]uint64 // entries that this node put into the dead letters, by reason
	Duplicates       uint64            // entries with an event_id that was seen before
	Superseded       uint64            // entries that another node had settled first
	Reclaimed        uint64            // entries taken over from other consumers, or from a lost read of our own
	LostToTrimming   uint64            // pending entries that no longer existed in the stream
	Panics           uint64            // recovered panics of the handler
	Solitary         uint64            // entries handled alone
	IgnoredFields    uint64            // invalid occurred_at or traceparent
	Waits            uint64            // times that a commit waited for an older entry elsewhere
	Renewed          uint64            // renewals of entries that wait or are being handled
	HandlersStuck    uint64            // calls of the handler that outlasted HandleTimeout
	LogCut           uint64            // log entries younger than LogMaxAge that the cap removed
	DeadCut          uint64            // dead letters that their cap removed
	EventsTrimmed    uint64            // entries trimmed from the event stream
	GroupsCreated    uint64            // times that the group was missing and created here
	StreamsReset     uint64            // times that the event stream was a new one
	GrantsFailed     uint64            // grants that Redis refused to keep or index, their events being relayed
	RedisErrors      uint64            // failed calls
	ConsumersDeleted uint64            // consumers of ended nodes
	ReclaimsDropped  uint64            // Reclaim calls that found their queue full; MinIdle covers them
	Backlog          int               // entries handled and not settled
	LastCommitted    string            // highest id that this node settled, or empty
}

type counters struct {
	relayed [kinds]atomic.Uint64

	read, duplicates, superseded, reclaimed, lost, panics, solitary, ignored, waits, renewed, stuck, logCut, deadCut,
	trimmed, groups, resets, grantsFailed, redisErrors, consumers, reclaimsDropped atomic.Uint64

	mu            sync.Mutex
	dead          map[string]uint64 // guarded by mu; by reason
	lastCommitted string            // guarded by mu
	known         string            // guarded by mu; lastCommitted, if it is of the present group
}

// maxReasons bounds the labels of a metric, should a handler make reasons up.
const maxReasons = 64

func (s *counters) died(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.dead[reason]; !known && len(s.dead) >= maxReasons {
		reason = "other"
	}
	s.dead[reason]++
}

func (s *counters) committed(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastCommitted, s.known = id, id
}

// knownCommitted returns the highest id settled since the group was last found missing, or "0-0".
func (s *counters) knownCommitted() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return cmp.Or(s.known, "0-0")
}

// forgetCommitted is called when the group is another one: the stream may be, too.
func (s *counters) forgetCommitted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = ""
}

// Stats returns the counters. It is safe for concurrent use.
func (c *Consumer) Stats() Stats {
	s := &c.stats
	held, _ := c.backlog.size()
	s.mu.Lock()
	defer s.mu.Unlock()
	byKind, relayed := make(map[string]uint64, kinds), uint64(0)
	for kind, name := range kindNames {
		byKind[name] = s.relayed[kind].Load()
		relayed += byKind[name]
	}
	return Stats{
		Read: s.read.Load(), Relayed: relayed, RelayedByKind: byKind, Dead: maps.Clone(s.dead),
		Duplicates: s.duplicates.Load(), Superseded: s.superseded.Load(),
		Reclaimed: s.reclaimed.Load(), LostToTrimming: s.lost.Load(),
		Panics: s.panics.Load(), Solitary: s.solitary.Load(), IgnoredFields: s.ignored.Load(),
		Waits: s.waits.Load(), Renewed: s.renewed.Load(), HandlersStuck: s.stuck.Load(),
		LogCut: s.logCut.Load(), DeadCut: s.deadCut.Load(), EventsTrimmed: s.trimmed.Load(),
		GroupsCreated: s.groups.Load(), StreamsReset: s.resets.Load(),
		GrantsFailed: s.grantsFailed.Load(), RedisErrors: s.redisErrors.Load(),
		ConsumersDeleted: s.consumers.Load(), ReclaimsDropped: s.reclaimsDropped.Load(),
		Backlog: held, LastCommitted: s.lastCommitted,
	}
}
