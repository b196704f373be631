package adapter

import (
	"sync/atomic"
	"time"
)

// Stats is a snapshot of the adapter's counters since its start. The names say what was counted; all are totals.
type Stats struct {
	// Published counts messages that Redis accepted into the log.
	Published uint64
	// PublishFailed counts messages that did not get there: refused by Redis, unencodable, or still queued at the stop.
	PublishFailed uint64
	// PublishDropped counts messages of the library's void methods that found the queue full.
	PublishDropped uint64
	// Delivered counts log entries applied to this node's sockets.
	Delivered uint64
	// Writes counts packets handed to a socket's connection.
	Writes uint64
	// Duplicates counts log entries dropped because their source event had been delivered, be it to some sockets only.
	Duplicates uint64
	// BadEntries counts log entries that could not be decoded.
	BadEntries uint64
	// DeliveryPanics counts panics caught while a log entry, a request or a write was handled.
	DeliveryPanics uint64
	// UnknownNamespace counts log entries for a namespace that this node does not have.
	UnknownNamespace uint64
	// Gaps counts how often the reader's position had been trimmed away.
	Gaps uint64
	// WentBack counts how often the log had lost its newest entries.
	WentBack uint64
	// Resets counts how often the log was found to be a new one.
	Resets uint64
	// CapCut counts entries that the entry cap trimmed although they were younger than LogMaxAge.
	CapCut uint64
	// WithoutReplicas counts how often delivery went on although too few of Redis' replicas had answered in time.
	WithoutReplicas uint64
	// ReadErrors counts failed reads of the log.
	ReadErrors uint64
	// SlowSockets counts sockets closed because their connection took nothing for too long; those on connections that take
	// frames themselves are closed, and counted, by these.
	SlowSockets uint64
	// EncodeFailed counts local broadcasts dropped because a value has no JSON form.
	EncodeFailed uint64
	// Requests counts requests sent to the other nodes; RequestTimeouts those that missed an answer.
	Requests, RequestTimeouts uint64
	// RequestFailed counts requests and answers that Redis refused.
	RequestFailed uint64
	// BadMessages counts undecodable pub/sub messages.
	BadMessages uint64
	// MessagesDropped counts pub/sub messages and answers dropped because a queue was full.
	MessagesDropped uint64
	// Recovered counts sockets that went on with their session, and Replayed the events that they were sent for it.
	Recovered, Replayed uint64
	// NotRecovered counts connects that asked for a session and got a fresh one.
	NotRecovered uint64
	// RecoveryFailed counts recoveries that were given up after they had been decided; the connection was closed.
	RecoveryFailed uint64
	// SessionsWritten counts sessions written, SessionErrors calls for that which Redis refused.
	SessionsWritten, SessionErrors uint64
	// SessionsSuperseded counts sockets closed because their client had connected anew.
	SessionsSuperseded uint64
	// SessionsDropped counts ends of sessions that were not written since too many waited.
	SessionsDropped uint64
	// Queued is the current length of the publish queue.
	Queued int
	// Position is the id of the last log entry handled, "" before the first position.
	Position string
	// RingEntries and RingBytes are what is held of the recent log, RingCoverage how far back that reaches.
	RingEntries, RingBytes int
	RingCoverage           time.Duration
}

// counters are the live values behind Stats.
type counters struct {
	published, publishFailed, publishDropped              atomic.Uint64
	delivered, writes, duplicates                         atomic.Uint64
	badEntries, deliveryPanics, unknownNamespace          atomic.Uint64
	gaps, wentBack, resets, capCut, readErrors            atomic.Uint64
	slowSockets, encodeFailed                             atomic.Uint64
	requests, requestTimeouts, requestFailed, badMessages atomic.Uint64
	messagesDropped                                       atomic.Uint64
	recovered, replayed, notRecovered, recoveryFailed     atomic.Uint64
	sessionsWritten, sessionErrors                        atomic.Uint64
	sessionsSuperseded, sessionsDropped                   atomic.Uint64
	withoutReplicas                                       atomic.Uint64
}

// statsPatience is how long Stats waits for a delivery, so that one that hangs does not take the metrics along.
const statsPatience = 250 * time.Millisecond

// Stats returns the counters. It is cheap and safe for concurrent use. While a delivery hangs it lacks what the ring holds.
func (c *Cluster) Stats() Stats {
	n := &c.count
	s := Stats{
		Published: n.published.Load(), PublishFailed: n.publishFailed.Load(), PublishDropped: n.publishDropped.Load(),
		Delivered: n.delivered.Load(), Writes: n.writes.Load(), Duplicates: n.duplicates.Load(),
		BadEntries: n.badEntries.Load(), DeliveryPanics: n.deliveryPanics.Load(),
		UnknownNamespace: n.unknownNamespace.Load(),
		Gaps:             n.gaps.Load(), WentBack: n.wentBack.Load(), Resets: n.resets.Load(), CapCut: n.capCut.Load(),
		ReadErrors: n.readErrors.Load(), WithoutReplicas: n.withoutReplicas.Load(),
		SlowSockets: n.slowSockets.Load(), EncodeFailed: n.encodeFailed.Load(),
		Requests: n.requests.Load(), RequestTimeouts: n.requestTimeouts.Load(), RequestFailed: n.requestFailed.Load(),
		BadMessages: n.badMessages.Load(), MessagesDropped: n.messagesDropped.Load(),
		Recovered: n.recovered.Load(), Replayed: n.replayed.Load(), NotRecovered: n.notRecovered.Load(),
		RecoveryFailed:  n.recoveryFailed.Load(),
		SessionsWritten: n.sessionsWritten.Load(), SessionErrors: n.sessionErrors.Load(),
		SessionsSuperseded: n.sessionsSuperseded.Load(), SessionsDropped: n.sessionsDropped.Load(),
		Queued: len(c.publisher.queue),
	}
	if !c.deliverMu.lockWithin(statsPatience) {
		s.Position = c.joinPosition().String()
		return s
	}
	defer c.deliverMu.Unlock()
	if c.positioned {
		s.Position = c.position.String()
	}
	s.RingEntries, s.RingBytes, s.RingCoverage = c.ring.all.len(), c.ring.bytes, c.ring.coverage()
	return s
}
