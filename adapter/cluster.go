// Package adapter is the gateway's Socket.IO adapter: which local socket is in which room, the log of broadcasts that
// all nodes read in the same order, and the requests that nodes answer for each other.
//
// It owns the log's format and reading, the publishing to it, and the pub/sub channels of the requests. It never decides
// who may join a room, never delivers a cluster-wide broadcast ahead of the log, and never waits for a connection while
// others wait for it. It speaks the formats of @socket.io/redis-streams-adapter 0.3, so Node servers can be members of the
// same cluster.
//
// A packet is encoded once, as WebSocket frames, and handed to connections that take those (WriteFrames). Others are
// written to as the library writes, which is slow. That is also the way of a socket with listeners for outgoing packets:
// whether it has any is looked at when the connection handlers have run, so these have to add them.
package adapter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/zishang520/socket.io/servers/socket/v3"
	"golang.org/x/sync/errgroup"
)

var (
	// ErrRunning is returned by Run when it was called before.
	ErrRunning = errors.New("adapter: Run was called before")
	// ErrStopped is returned for what cannot be done because the adapter has stopped.
	ErrStopped = errors.New("adapter: stopped")
)

// stopTimeout bounds how long Run, once told to stop, waits for queued messages and writes.
const stopTimeout = 5 * time.Second

// Cluster is this node's membership in the cluster: one log reader, one publisher and one subscription for all
// namespaces. It is safe for concurrent use.
type Cluster struct {
	cfg      Config
	redis    redis.UniversalClient
	blocking redis.UniversalClient
	lead     func() bool
	onGap    func(string)
	expired  func(string) bool
	// delivered may be nil.
	delivered func(ms, seq uint64, soon bool)
	log       *slog.Logger
	logKey    string
	count     counters
	warn      throttle

	publisher publisher
	peers     requests
	inbox     inbox
	sessions  sessions
	history   history
	tasks     tasks
	journal   *journal // nil: none is kept
	tracedTo  func(Delivered)

	started    atomic.Bool
	reading    atomic.Bool // the reader has a position and its last read succeeded
	heldBack   atomic.Bool // what the reader has read waits for Redis' replicas
	subscribed atomic.Bool
	conns      connections   // of the blocking client
	stopped    chan struct{} // closed when Run stops

	nspMu sync.RWMutex
	nsps  map[string]*nspAdapter // nspMu

	// deliverMu is the delivery lock: a broadcast from the log reaches the members' queues, and the position moves past
	// it, while it is held. Whoever holds it sees rooms and position agree. No connection is entered under it that could
	// block or call back.
	deliverMu  deliveryLock
	position   streamID // deliverMu
	positioned bool     // deliverMu: position is known
	ring       *ring    // deliverMu
	// had is the highest of what members had of lost tails; 0-0 if nothing of that can come again. deliverMu
	had       streamID
	listeners map[*member]struct{} // deliverMu
	// untimed is how much has been delivered since a clock was looked at for that; below 0: it is not known when. deliverMu
	untimed int
	// joinedAt repeats position for who cannot take the lock.
	joinedAt atomic.Pointer[streamID]
	// agedMs is, for the same, the time in ms of the position at which the ring begins.
	agedMs atomic.Uint64
	// torn counts how often the log was found to be another than was read.
	torn atomic.Uint64
}

// deliveryLock is a mutex. contend is set by tests alone: whatever another goroutine might do right before it is locked
// or right after it is unlocked.
type deliveryLock struct {
	sync.Mutex

	contend func()
}

// Lock implements sync.Locker.
func (l *deliveryLock) Lock() {
	if l.contend != nil {
		l.contend()
	}
	l.Mutex.Lock()
}

// lockWithin locks, or reports false if that takes longer.
func (l *deliveryLock) lockWithin(patience time.Duration) bool {
	for until := time.Now().Add(patience); !l.TryLock(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			return false
		}
	}
	return true
}

// Unlock implements sync.Locker.
func (l *deliveryLock) Unlock() {
	l.Mutex.Unlock()
	if l.contend != nil {
		l.contend()
	}
}

// New returns a cluster membership that works once Run does.
func New(cfg Config, deps Deps) (*Cluster, error) {
	if err := errors.Join(cfg.Validate(), deps.validate()); err != nil {
		return nil, err
	}
	if !pidReadable() {
		return nil, errors.New("adapter: this version of the Socket.IO server keeps its session ids elsewhere")
	}
	if deps.Lead == nil {
		deps.Lead = func() bool { return true }
	}
	if deps.Expired == nil {
		deps.Expired = func(string) bool { return false }
	}
	if deps.OnGap == nil {
		deps.OnGap = func(string) {}
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	c := &Cluster{
		cfg:       cfg,
		redis:     deps.Redis,
		blocking:  deps.Blocking,
		lead:      deps.Lead,
		onGap:     deps.OnGap,
		expired:   deps.Expired,
		delivered: deps.Delivered,
		log:       deps.Log.With("component", "adapter"),
		logKey:    cfg.Prefix + ":log",
		stopped:   make(chan struct{}),
		nsps:      make(map[string]*nspAdapter),
		listeners: make(map[*member]struct{}),
		ring:      newRing(ringLimits{entries: cfg.RingMaxEntries, bytes: cfg.RingMaxBytes, age: cfg.LogMaxAge}),
	}
	c.journal, c.tracedTo = newJournal(cfg.TraceEntries), deps.Traced
	c.joinedAt.Store(&streamID{})
	c.publisher.init(c)
	c.peers.init(c)
	c.inbox.init(c)
	c.sessions.init(c)
	c.history.init(c)
	c.conns.watch(deps.Blocking)
	return c, nil
}

// New implements socket.AdapterConstructor.
func (c *Cluster) New(nsp socket.Namespace) socket.Adapter { return newNspAdapter(c, nsp) }

var _ socket.AdapterConstructor = (*Cluster)(nil)

// Run reads the log, publishes, answers requests, and returns after ctx has ended and all of that has stopped; what is
// queued for publishing is sent first, within 5 s. It survives every outage of Redis. It can be called once.
func (c *Cluster) Run(ctx context.Context) error {
	if !c.started.CompareAndSwap(false, true) {
		return ErrRunning
	}
	var g errgroup.Group
	for _, part := range []func(context.Context){
		newReader(c).run,
		c.publisher.run,
		c.inbox.subscribe,
		c.inbox.answer,
		c.inbox.emit,
		c.inbox.reply,
		c.runPositions,
		c.runSync,
		c.sessions.write,
		c.sessions.loads.run,
		c.sessions.takes.run,
	} {
		g.Go(func() error { part(ctx); return nil })
	}
	err := g.Wait()
	close(c.stopped)
	c.peers.abandon()
	if left := c.tasks.wait(stopTimeout); left > 0 {
		c.log.Warn("stopped while connections were still being written to", "connections", left)
	}
	return err
}

// Ready reports whether the log reader has a position and is reading, and the node can be reached by requests.
func (c *Cluster) Ready() bool { return c.reading.Load() && c.subscribed.Load() }

// NodeLeft tells that a node has left or died: no request waits for it any longer. It does not block.
func (c *Cluster) NodeLeft(uid string) { c.peers.nodeLeft(uid) }

func (c *Cluster) adapterOf(nsp string) *nspAdapter {
	c.nspMu.RLock()
	defer c.nspMu.RUnlock()
	return c.nsps[nsp]
}

func (c *Cluster) register(a *nspAdapter) {
	c.nspMu.Lock()
	c.nsps[a.name] = a
	c.nspMu.Unlock()
	c.inbox.changed()
}

func (c *Cluster) unregister(a *nspAdapter) {
	c.nspMu.Lock()
	// A namespace created twice at the same time has two adapters; the later one stays.
	if c.nsps[a.name] == a {
		delete(c.nsps, a.name)
	}
	c.nspMu.Unlock()
	c.inbox.changed()
}

func (c *Cluster) namespaces() []string {
	c.nspMu.RLock()
	defer c.nspMu.RUnlock()
	names := make([]string, 0, len(c.nsps))
	for name := range c.nsps {
		names = append(names, name)
	}
	return names
}

// moveTo sets the position to *id, which does not change any more. For holders of the delivery lock.
func (c *Cluster) moveTo(id *streamID) {
	c.position, c.positioned = *id, true
	c.joinedAt.Store(id)
}

// joinPosition is the position as it is or was a moment ago.
func (c *Cluster) joinPosition() streamID { return *c.joinedAt.Load() }

// guard runs fn, and makes a panic in it cost that much only.
func (c *Cluster) guard(what string, fn func()) {
	defer func() {
		if p := recover(); p != nil {
			c.count.deliveryPanics.Add(1)
			c.warnf("panic", "recovered from a panic", "in", what, "err", fmt.Sprint(p))
		}
	}()
	fn()
}

// warnf logs a warning of a kind at most every few seconds.
func (c *Cluster) warnf(kind, msg string, args ...any) {
	if skipped, ok := c.warn.allow(kind); ok {
		c.log.Warn(msg, append(args, "suppressed", skipped)...) //nolint:sloglint // the callers' messages are constant
	}
}
