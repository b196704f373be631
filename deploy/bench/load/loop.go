package load

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// tendEvery is how often a loop looks for connects that are due or late.
const tendEvery = 10 * time.Millisecond

// loop is the clients that one goroutine reads for.
type loop struct {
	fleet *Fleet
	poll  *poller
	// maxOpening bounds the connects under way.
	maxOpening int
	delivered  atomic.Uint64

	mu sync.Mutex
	// All below is guarded by mu.
	conns []*conn
	// queue are clients to be connected as soon as others have been, away those that wait for their time.
	queue, away []*conn
	opening     int
	stopping    bool
	// now is when the bytes at hand were read.
	now                   time.Time
	latency, connectTimes Histogram
	stats                 Stats
}

func newLoop(f *Fleet, maxOpening int) *loop {
	return &loop{fleet: f, maxOpening: maxOpening, stats: Stats{Refused: map[string]uint64{}}}
}

// run serves the clients until ctx ends, then closes them.
func (l *loop) run(ctx context.Context) error {
	poll, err := newPoller(l)
	if err != nil {
		return err
	}
	l.poll = poll
	var reading sync.WaitGroup
	reading.Go(poll.read)
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	l.tend()
	for running := true; running; {
		select {
		case <-ctx.Done():
			running = false
		case <-tick.C:
			l.tend()
		}
	}
	l.mu.Lock()
	l.stopping = true
	for _, c := range l.conns {
		c.end(errors.New("stopped"))
	}
	l.mu.Unlock()
	poll.close()
	reading.Wait()
	return nil
}

// tend starts the connects that are due and ends those that are late.
func (l *loop) tend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.away = slices.DeleteFunc(l.away, func(c *conn) bool {
		if c.due.After(now) {
			return false
		}
		l.queue = append(l.queue, c)
		return true
	})
	if l.opening > 0 {
		for _, c := range l.conns {
			if c.state != away && c.state != ready && now.Sub(c.began) > l.fleet.cfg.ConnectTimeout {
				c.end(errLate)
			}
		}
	}
	l.dialMore()
}

// dialMore starts connects up to the bound.
func (l *loop) dialMore() {
	for l.opening < l.maxOpening && len(l.queue) > 0 && !l.stopping {
		c := l.queue[0]
		l.queue = l.queue[1:]
		l.opening++
		c.began, c.state = time.Now(), opening
		l.poll.dial(c)
	}
}

// note counts the end of a connection or connect.
func (l *loop) note(wasReady bool, err error) {
	if l.stopping {
		if wasReady {
			l.stats.Ready--
		}
		return
	}
	l.stats.LastError = err.Error()
	var r refusal
	switch {
	case wasReady:
		l.stats.Ready--
		l.stats.Closed++
	case errors.As(err, &r):
		l.stats.Refused[r.code]++
	default:
		l.stats.Failed++
	}
}

// input hands the client bytes that were read, or the error that ended reading. mu has to be held.
func (l *loop) input(c *conn, data []byte, err error) {
	l.stats.Bytes += uint64(len(data))
	if len(data) > 0 {
		if fault := c.received(data); fault != nil {
			err = fault
		}
	}
	if err != nil {
		c.end(err)
	}
}

// arrived tells the others of the events that were counted. mu has to be held.
func (l *loop) arrived() {
	if l.delivered.Load() == l.stats.Events {
		return
	}
	l.delivered.Store(l.stats.Events)
	select {
	case l.fleet.progress <- struct{}{}:
	default:
	}
}
