package presence

import "sync/atomic"

// Counters only grow, from the start of the process.
type Counters struct {
	Flushes       uint64 // calls that wrote counts
	FlushedFields uint64 // counts written by them
	FlushErrors   uint64 // calls that failed, heartbeats included; each is tried again
	Resyncs       uint64 // times the whole state was written
	Reaped        uint64 // nodes this one found dead and marked so
	ReapedFields  uint64 // counts of dead nodes (and, on leaving, its own) this one subtracted
	Joined        uint64 // user_joined this node appended to the log
	Left          uint64 // user_left this node appended to the log
	Underflows    uint64 // Disconnects and Leaves without their Connect or Join
}

type counts struct {
	flushes, flushedFields, flushErrors, resyncs   atomic.Uint64
	reaped, reapedFields, joined, left, underflows atomic.Uint64
}

// Counters returns this node's counters; it reads memory alone.
func (p *Presence) Counters() Counters {
	c := &p.count
	return Counters{
		Flushes:       c.flushes.Load(),
		FlushedFields: c.flushedFields.Load(),
		FlushErrors:   c.flushErrors.Load(),
		Resyncs:       c.resyncs.Load(),
		Reaped:        c.reaped.Load(),
		ReapedFields:  c.reapedFields.Load(),
		Joined:        c.joined.Load(),
		Left:          c.left.Load(),
		Underflows:    c.underflows.Load(),
	}
}
