// Package load makes many cheap WebSocket clients and the events for them, and counts what arrives: latency, lost and
// repeated events. A client has no goroutine and no buffer of its own where the system has epoll and the URL is ws://;
// 10,000 of them take a fraction of one core. It speaks just enough Socket.IO and centrifuge to be served; it
// is no client library.
package load

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Config describes a fleet of clients.
type Config struct {
	// URL is the server: ws:// or wss://, host and port. Required.
	URL string
	// Protocol is SocketIO by default.
	Protocol Protocol
	// Clients is how many there are, 1 or more.
	Clients int
	// Token makes client i's JWT. It is called at each connect. Required.
	Token func(i int) string
	// Room names the solicitud that client i subscribes to, "": none. nil: none for all.
	Room func(i int) string
	// Slow clients have a small receive buffer, so that Pause soon stops the server's writes. nil: none.
	Slow func(i int) bool
	// Opening is how many connects are under way at once over all loops; default 64.
	Opening int
	// Backoff is the mean wait before the first attempt to reconnect; it doubles up to 5 s with each failure, and is
	// jittered. 0: a client that lost its connection stays away.
	Backoff time.Duration
	// ConnectTimeout bounds one connect, from TCP to the last answer; default 30s.
	ConnectTimeout time.Duration
	// Loops is the number of goroutines that read; default 1.
	Loops int
	// SourceAddrs spreads clients of a server on 127.0.0.0/8 over that many of its addresses, so that ports suffice;
	// default 1, at most 200.
	SourceAddrs int

	// roots are the authorities of wss://; nil: the system's.
	roots *x509.CertPool
}

func (c Config) withDefaults() Config {
	if c.Opening == 0 {
		c.Opening = 64
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 30 * time.Second
	}
	if c.Loops == 0 {
		c.Loops = 1
	}
	if c.SourceAddrs == 0 {
		c.SourceAddrs = 1
	}
	return c
}

// Validate returns every fault.
func (c Config) Validate() error {
	var errs []error
	u, err := url.Parse(c.URL)
	if err != nil || (u.Scheme != "ws" && u.Scheme != "wss") || u.Hostname() == "" {
		errs = append(errs, fmt.Errorf("load: %q is not ws://host:port or wss://host:port", c.URL))
	}
	if c.Clients < 1 {
		errs = append(errs, errors.New("load: Clients is less than 1"))
	}
	if c.Token == nil {
		errs = append(errs, errors.New("load: Token is missing"))
	}
	if c.Opening < 0 || c.Loops < 0 || c.Backoff < 0 || c.ConnectTimeout < 0 || c.SourceAddrs < 0 || c.SourceAddrs > 200 {
		errs = append(errs, errors.New("load: a value is out of range"))
	}
	return errors.Join(errs...)
}

// Stats are a fleet's counters since its start.
type Stats struct {
	// Ready is how many clients are connected and subscribed now.
	Ready int
	// Connects counts those that became so, Recovered those of them that went on with an earlier session.
	Connects, Recovered uint64
	// Closed counts established connections that ended, Failed the connects that did not succeed, Refused those that the
	// server refused, by its code.
	Closed, Failed uint64
	Refused        map[string]uint64
	// Events counts the load's events that arrived, Bytes all that was read.
	Events, Bytes uint64
	// Lost counts gaps in the sequence numbers, Repeated the numbers that were not above the last.
	Lost, Repeated uint64
	// LastError is the latest reason of a failure or close, "" without one.
	LastError string
}

func (s *Stats) add(o Stats) {
	s.Ready += o.Ready
	s.Connects += o.Connects
	s.Recovered += o.Recovered
	s.Closed += o.Closed
	s.Failed += o.Failed
	s.Events += o.Events
	s.Bytes += o.Bytes
	s.Lost += o.Lost
	s.Repeated += o.Repeated
	if s.Refused == nil {
		s.Refused = map[string]uint64{}
	}
	for code, n := range o.Refused {
		s.Refused[code] += n
	}
	if o.LastError != "" {
		s.LastError = o.LastError
	}
}

// Fleet is the clients of one load. Its methods are safe for concurrent use.
type Fleet struct {
	cfg   Config
	url   *url.URL
	loops []*loop
	// progress holds a token when events have arrived since it was last taken.
	progress chan struct{}
	// nap is a time.Duration, see SetNap.
	nap atomic.Int64
}

// New makes a fleet; Run connects it.
func New(cfg Config) (*Fleet, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, err
	}
	f := &Fleet{cfg: cfg, url: u, progress: make(chan struct{}, 1)}
	perLoop := max(cfg.Opening/cfg.Loops, 1)
	for range cfg.Loops {
		f.loops = append(f.loops, newLoop(f, perLoop))
	}
	for i := range cfg.Clients {
		l := f.loops[i%cfg.Loops]
		c := &conn{index: i, loop: l, based: 1<<kinds - 1}
		l.conns = append(l.conns, c)
		l.queue = append(l.queue, c)
	}
	return f, nil
}

// Run connects the clients and serves them until ctx ends; then it closes them.
func (f *Fleet) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range f.loops {
		g.Go(func() error { return l.run(ctx) })
	}
	return g.Wait()
}

// Stats sums up the loops' counters.
func (f *Fleet) Stats() Stats {
	var s Stats
	for _, l := range f.loops {
		l.mu.Lock()
		one := l.stats
		one.Refused = maps.Clone(one.Refused)
		l.mu.Unlock()
		s.add(one)
	}
	return s
}

// Delivered is the number of the load's events that have arrived.
func (f *Fleet) Delivered() uint64 {
	var n uint64
	for _, l := range f.loops {
		n += l.delivered.Load()
	}
	return n
}

// Progress is signalled when events have arrived.
func (f *Fleet) Progress() <-chan struct{} { return f.progress }

// TakeLatency returns the latencies since it was last called: from the event's stamp to its arrival.
func (f *Fleet) TakeLatency() *Histogram {
	return f.take(func(l *loop) *Histogram { return &l.latency })
}

// TakeConnectTimes returns how long connects took, since it was last called.
func (f *Fleet) TakeConnectTimes() *Histogram {
	return f.take(func(l *loop) *Histogram { return &l.connectTimes })
}

func (f *Fleet) take(of func(*loop) *Histogram) *Histogram {
	sum := &Histogram{}
	for _, l := range f.loops {
		l.mu.Lock()
		h := of(l)
		sum.Add(h)
		*h = Histogram{}
		l.mu.Unlock()
	}
	return sum
}

// SetNap makes a loop that has read all there was rest for d before it looks again. Where throughput is measured, that
// spares both sides a wake-up for each message; where latency is, d has to be 0, as it is at first.
func (f *Fleet) SetNap(d time.Duration) { f.nap.Store(int64(d)) }

// Pause makes client i stop reading, or go on.
func (f *Fleet) Pause(i int, paused bool) {
	l := f.loops[i%len(f.loops)]
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.conns[i/len(f.loops)]; c.wire != nil {
		c.wire.pause(paused)
	}
}

// Behind is how many events the clients have yet to receive, if want says the last sequence number written for client i
// in each series. Clients that are not connected, or came back afresh and have received nothing since, are left out.
func (f *Fleet) Behind(want func(i int, k Kind) uint32) uint64 {
	var n uint64
	for _, l := range f.loops {
		l.mu.Lock()
		for _, c := range l.conns {
			for k := range kinds {
				if last := want(c.index, k); c.state == ready && c.based&(1<<k) != 0 && last > c.last[k] {
					n += uint64(last - c.last[k])
				}
			}
		}
		l.mu.Unlock()
	}
	return n
}

// WaitReady returns when n clients are connected and subscribed, or with an error that says how far it came.
func (f *Fleet) WaitReady(ctx context.Context, n int) error {
	return f.Wait(ctx, func(s Stats) bool { return s.Ready >= n })
}

// Wait returns when done is true of the counters, or with an error that says how far it came.
func (f *Fleet) Wait(ctx context.Context, done func(Stats) bool) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		s := f.Stats()
		if done(s) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("load: %d of %d clients ready, %d failed, %d closed, refused %v, last error %q: %w",
				s.Ready, f.cfg.Clients, s.Failed, s.Closed, s.Refused, s.LastError, context.Cause(ctx))
		case <-tick.C:
			runtime.Gosched()
		}
	}
}
