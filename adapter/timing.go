package adapter

// lateness is which of a delivery's receivers came last, for one of whom it is noted when the kernel has taken the frame.
// All of them would cost more than it tells; the first, or always the same one, would tell something else.
type lateness [8]*member

// writeNoter is a connection that tells, of a mark, when all that it was handed before has been written; not necessarily of
// each mark. It does not block.
type writeNoter interface {
	NoteWritten(mark int64)
}

// clockEvery is for how many sockets, each entry counting as one more, one look at a clock does: 50 µs or so, while ids are
// exact to the millisecond.
const clockEvery = 64

// timed tells when an event was delivered: that it has been handed to the connections of all its receivers, and by one of
// the last of them when it has been written. written is to how many it was handed at once.
func (a *nspAdapter) timed(source streamID, last *lateness, receivers, written uint64) {
	c := a.c
	if receivers == 0 || source.isZero() || c.delivered == nil {
		return
	}
	soon := c.untimed >= 0 && receivers < clockEvery
	if soon {
		c.untimed += 1 + int(receivers)
		soon = c.untimed < clockEvery
	}
	if !soon {
		c.untimed = 0
	}
	c.delivered(source.ms, source.seq, soon)
	if written == 0 {
		return // they are on their way by queues of their own
	}
	m := last[(source.ms+source.seq)%min(written, uint64(len(last)))]
	if conn, ok := m.conn.(writeNoter); ok {
		conn.NoteWritten(int64(source.ms))
	}
}
