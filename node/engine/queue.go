package engine

import "sync/atomic"

// keepQueued is the capacity up to which an emptied queue's memory is kept.
const keepQueued = 16

// A queue is long from so many frames or bytes on.
const (
	longFrames = 256
	longBytes  = 256 << 10
)

// queue is what waits for one session's client. It belongs to the session's lock.
type queue struct {
	items []queued
	head  int // of items, those before have gone
	sent  int // bytes of the first that have gone
	// claimed frames, the first ones, are those that a write may be under way with.
	claimed int
	bytes   int
	// charged bytes and frames count against the limits of a client that does not keep up.
	charged, chargedFrames int
	// gone counts the frames that have gone; those numbered below lateTo wait before others for a reason that is ours.
	gone, lateTo int
	// Frames that overtake others aside, which are pings, added is how many have been added and written how many of them
	// have gone; out tells the latter to others, also when the session has ended. Nil: nobody asks.
	added, written uint64
	out            *atomic.Uint64
	// mark, if not 0, is to be told when the frames numbered below markedTo have gone.
	mark     int64
	markedTo int
}

type queued struct {
	frame   []byte
	charged bool
	aside   bool // it overtook others, and is not numbered
}

func (q *queue) len() int { return len(q.items) - q.head }

func (q *queue) empty() bool { return q.len() == 0 }

func (q *queue) push(frame []byte, charged bool) {
	q.items = append(q.items, queued{frame: frame, charged: charged})
	q.bytes += len(frame)
	q.added++
	if charged {
		q.charged += len(frame)
		q.chargedFrames++
	}
}

// pushLive adds a frame that is charged, unless it waits behind a late one, which the client is not to blame for.
func (q *queue) pushLive(frame []byte) { q.push(frame, q.gone >= q.lateTo) }

// pushLate adds a frame that comes late for a reason that is ours.
func (q *queue) pushLate(frame []byte) {
	q.push(frame, false)
	q.lateTo = q.gone + q.len()
}

// pushNext adds a frame that overtakes all but those on their way, and the first, which may open the session.
func (q *queue) pushNext(frame []byte) {
	q.push(frame, false)
	q.added--
	at := min(max(1, q.claimed), q.len()-1)
	items := q.items[q.head+at:]
	copy(items[1:], items)
	items[0] = queued{frame: frame, aside: true}
	if q.lateTo > q.gone+at {
		q.lateTo++
	}
	if q.markedTo > q.gone+at {
		q.markedTo++
	}
}

// setMark has mark told when what waits has gone; it reports false if nothing does. One that is there stays.
func (q *queue) setMark(mark int64) bool {
	if q.empty() {
		return false
	}
	if q.mark == 0 {
		q.mark, q.markedTo = mark, q.gone+q.len()
	}
	return true
}

// takeMark returns the mark whose frames have gone, 0 if there is none.
func (q *queue) takeMark() (mark int64) {
	if q.mark != 0 && q.gone >= q.markedTo {
		mark, q.mark = q.mark, 0
	}
	return mark
}

// long reports whether so much waits that it should be written before more is added.
func (q *queue) long() bool { return q.len() >= longFrames || q.bytes >= longBytes }

// front returns what waits of the first frame, and claims it.
func (q *queue) front() []byte {
	q.claimed = 1
	return q.items[q.head].frame[q.sent:]
}

// gather appends what waits to dst, as far as that has room, and claims it.
func (q *queue) gather(dst []byte) []byte {
	from := q.sent
	q.claimed = 0
	for _, it := range q.items[q.head:] {
		if len(dst) == cap(dst) {
			break
		}
		q.claimed++
		rest := it.frame[from:]
		from = 0
		if room := cap(dst) - len(dst); len(rest) > room {
			return append(dst, rest[:room]...)
		}
		dst = append(dst, rest...)
	}
	return dst
}

// taken notes that n bytes of what was claimed have gone, and returns how many frames have gone with them.
func (q *queue) taken(n int) (frames int) {
	q.claimed = 0
	for n > 0 {
		it := &q.items[q.head]
		rest := len(it.frame) - q.sent
		if n < rest {
			q.sent += n
			break
		}
		n -= rest
		q.pop()
		frames++
	}
	q.tell()
	return frames
}

// tell lets others know how much has gone.
func (q *queue) tell() {
	if q.out != nil {
		q.out.Store(q.written)
	}
}

// pop forgets the first frame.
func (q *queue) pop() {
	it := &q.items[q.head]
	q.bytes -= len(it.frame)
	if it.charged {
		q.charged -= len(it.frame)
		q.chargedFrames--
	}
	if !it.aside {
		q.written++
	}
	*it = queued{}
	q.head++
	q.gone++
	q.claimed = max(0, q.claimed-1)
	q.sent = 0
	switch {
	case q.empty():
		q.head = 0
		q.items = q.items[:0]
		if cap(q.items) > keepQueued {
			q.items = nil
		}
	case q.head > 256 && q.head > len(q.items)/2:
		q.items = append(q.items[:0:0], q.items[q.head:]...)
		q.head = 0
	}
}

// drop forgets everything that waits.
func (q *queue) drop() { *q = queue{added: q.added, written: q.written, out: q.out} }
