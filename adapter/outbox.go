package adapter

import (
	"sync"
	"time"
)

const (
	// stuckAfter is how long a connection may take no packet at all, while there are some, before it is closed.
	stuckAfter = 30 * time.Second
	// maxWaiting bounds the packets that wait for one connection. They are shared by all their receivers, so it is
	// generous: a burst that is ours is not the client's fault.
	maxWaiting = 1 << 16
	// keepWaiting is the capacity up to which an emptied queue's memory is kept.
	keepWaiting = 16
)

// outbox keeps a socket's packets in order while they cannot be handed to the connection at once: until the socket's
// set-up is over, and as long as writing can hold its caller up. That is so with listeners for outgoing packets, which
// are the application's, and with the library's own connections (a long-polling response to a client that does not read,
// a close that meets a write). So nothing that is shared, least of all the log reader, waits for either; such a socket is
// written to by a goroutine of its own that exists only while there is something to write.
type outbox struct {
	mu       sync.Mutex
	waiting  []job     // mu
	draining bool      // mu
	opened   bool      // mu: the first packets have been written
	dead     bool      // mu: takes nothing more
	retired  bool      // mu: the connection takes frames itself from now on
	progress time.Time // mu: when the connection last took a packet, while draining
}

type putResult int

const (
	putQueued  putResult = iota // somebody is draining
	putDrain                    // the caller has to start a drain
	putOpening                  // the caller has to start the first drain, behind the connection's own set-up
	putSlow                     // the caller has to close the socket
	putDead                     // dropped: the socket is being closed
	putDirect                   // not taken: what waited has gone out, and nothing waits here any more
)

func (o *outbox) put(j job) putResult {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.dead:
		return putDead
	case o.retired:
		return putDirect
	case !o.draining:
		o.draining = true
		o.progress = time.Now()
		o.waiting = append(o.waiting, j)
		if o.opened {
			return putDrain
		}
		return putOpening
	case len(o.waiting) >= maxWaiting || time.Since(o.progress) > stuckAfter:
		o.dead = true
		o.waiting = nil
		return putSlow
	default:
		o.waiting = append(o.waiting, j)
		return putQueued
	}
}

// take returns what waits and notes progress; with nothing waiting the drain has ended. emptied is the slice of the
// previous take, for reuse.
func (o *outbox) take(emptied []job) []job {
	o.mu.Lock()
	defer o.mu.Unlock()
	batch := o.waiting
	o.waiting = nil
	if cap(emptied) <= keepWaiting {
		o.waiting = emptied[:0]
	}
	if len(batch) == 0 {
		o.draining, o.opened = false, true
		return nil
	}
	o.progress = time.Now()
	return batch
}

// retire makes m hand its frames to its connection, unless something waits again or the outbox is dead.
func (o *outbox) retire(m *member, to frameWriter) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.draining || o.dead || o.retired {
		return
	}
	o.retired, o.waiting = true, nil
	m.conn = to
	m.link.Store(linkDirect)
	m.out.Store(nil)
}

// halt drops what waits and whatever comes; what is being written goes out.
func (o *outbox) halt() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dead, o.waiting = true, nil
}

func (o *outbox) halted() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.dead
}

// noteProgress is called between the packets of a long batch.
func (o *outbox) noteProgress() {
	o.mu.Lock()
	o.progress = time.Now()
	o.mu.Unlock()
}
