package engine

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
	bytes int
	// charged bytes and frames count against the limits of a client that does not keep up.
	charged, chargedFrames int
}

type queued struct {
	frame   []byte
	charged bool
}

func (q *queue) len() int { return len(q.items) - q.head }

func (q *queue) empty() bool { return q.len() == 0 }

func (q *queue) push(frame []byte, charged bool) {
	q.items = append(q.items, queued{frame: frame, charged: charged})
	q.bytes += len(frame)
	if charged {
		q.charged += len(frame)
		q.chargedFrames++
	}
}

// long reports whether so much waits that it should be written before more is added.
func (q *queue) long() bool { return q.len() >= longFrames || q.bytes >= longBytes }

// front returns what waits of the first frame.
func (q *queue) front() []byte { return q.items[q.head].frame[q.sent:] }

// gather appends what waits to dst, as far as that has room.
func (q *queue) gather(dst []byte) []byte {
	from := q.sent
	for _, it := range q.items[q.head:] {
		rest := it.frame[from:]
		from = 0
		if room := cap(dst) - len(dst); len(rest) > room {
			return append(dst, rest[:room]...)
		}
		dst = append(dst, rest...)
	}
	return dst
}

// taken notes that n bytes have gone, and returns how many frames have gone with them.
func (q *queue) taken(n int) (frames int) {
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
	return frames
}

// pop forgets the first frame.
func (q *queue) pop() {
	it := &q.items[q.head]
	q.bytes -= len(it.frame)
	if it.charged {
		q.charged -= len(it.frame)
		q.chargedFrames--
	}
	*it = queued{}
	q.head++
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

// drop forgets everything.
func (q *queue) drop() { *q = queue{} }
