package limits

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Verdict says what becomes of a client's event.
type Verdict int

const (
	// Pass is an event within the rate.
	Pass Verdict = iota
	// Refuse is one over the rate, which is not to be handled; the client is to be told.
	Refuse
	// RefuseQuietly is one over the rate whose client has been told within the last second: answer it only if it waits for
	// that.
	RefuseQuietly
	// Flood is the event with which a client has gone too far: its connection is to be closed. It comes once; those after
	// it are refused quietly.
	Flood
)

const (
	// floodTimes the rate is what a client may send for as long as it likes, refused for the most part. Beyond, it may be
	// ahead by what that rate makes in floodAhead: a page that comes back sends at once what it has gathered.
	floodTimes = 10
	floodAhead = 10 * time.Second
	// minFlood is the least that it may be ahead, in events.
	minFlood = 1000
	// tellEvery is how often a client is told.
	tellEvery = time.Second
)

// Events is the token bucket of one socket; nil lets everything pass. It is safe for concurrent use.
type Events struct {
	limits *Limits

	mu          sync.Mutex
	pass, flood *rate.Limiter // mu; made when they are needed, since most sockets send next to nothing
	told        time.Time     // mu
	ended       bool          // mu
}

// Allow judges the socket's next event.
func (e *Events) Allow() Verdict {
	if e == nil {
		return Pass
	}
	now, cfg := time.Now(), &e.limits.cfg
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pass == nil {
		e.pass = rate.NewLimiter(rate.Limit(cfg.EventRate), cfg.EventBurst)
	}
	if !e.ended && e.pass.AllowN(now, 1) {
		return Pass
	}
	e.limits.count.events.Add(1)
	if e.flood == nil {
		// It is asked for the refused ones alone.
		most := max(minFlood, int(cfg.EventRate*floodTimes*floodAhead.Seconds()))
		e.flood = rate.NewLimiter(rate.Limit(cfg.EventRate*(floodTimes-1)), most)
	}
	switch {
	case e.ended:
		return RefuseQuietly
	case !e.flood.AllowN(now, 1):
		e.ended = true
		e.limits.count.floods.Add(1)
		return Flood
	case now.Sub(e.told) < tellEvery:
		return RefuseQuietly
	}
	e.told = now
	return Refuse
}
