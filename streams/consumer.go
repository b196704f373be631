package streams

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Grant lets a user subscribe to a solicitud's room.
type Grant struct{ Solicitud, User string }

// Relay is what becomes of an event.
type Relay struct {
	// Log is the field and value pairs of the log entry, at most 64 pairs; "src" is added.
	Log []string
	// Grants are given together with it, at most 64.
	Grants []Grant
	// Settled is called once this node knows what became of the entry; not if that is left to others. It must not block.
	// Nil: nobody wants to know.
	Settled func(Outcome)
}

// Outcome is what became of an event that was to be relayed.
type Outcome string

// Outcomes.
const (
	OutcomeRelayed    Outcome = "relayed"    // it is in the log
	OutcomeSeen       Outcome = "duplicate"  // its event_id was seen before
	OutcomeSuperseded Outcome = "superseded" // another node has settled it, or is going to
)

// HandleFunc turns an event into its log entry. It is pure, but for what observes: it may be called more than once for one event and from
// several goroutines. An error, a *RejectError above all, makes the event a dead letter; so does a panic.
type HandleFunc func(Event) (Relay, error)

// Deps are what a Consumer works with and does not own.
type Deps struct {
	// Redis runs commands and scripts; its MaxRetries must be -1.
	Redis redis.UniversalClient
	// Blocking runs the blocking read and nothing else; its MaxRetries must be -1.
	Blocking redis.UniversalClient
	// Handle is called for each event.
	Handle HandleFunc
	// Gone tells whether a node is known to have ended; nil: never. It is called from one goroutine.
	Gone func(identity string) bool
	// Lead tells whether this node does the cluster-wide chores; nil: always.
	Lead func() bool
	// Relayed is told of each event that this node has put into the log, from one goroutine; it must not block. nil: nobody is.
	Relayed func(Timing)
	// Log is the logger; nil: slog.Default.
	Log *slog.Logger
}

// States of a Consumer.
const (
	StateConsuming = "consuming" // reads and commits
	StateWaiting   = "waiting"   // Redis does not answer, or refuses
	StateStopped   = "stopped"   // not run yet, retired, or Run has returned
)

// Consumer is one node's part in the group. Run it once.
type Consumer struct {
	cfg    Config
	keys   keys
	rdb    redis.UniversalClient
	reader blockingReader
	block  time.Duration
	handle HandleFunc
	gone   func(string) bool
	lead   func() bool
	timed  func(Timing)
	log    *slog.Logger

	backlog   *backlog
	handlings handlings
	stats     counters
	departs   chan string // identities to reclaim from

	retirement retirement

	ran, running     atomic.Bool
	readOK, commitOK atomic.Bool
	groupMu          sync.Mutex // held while the group is created
	claimMu          sync.Mutex // held from a claim until what it brought is in the backlog
	departed         []string   // owned by the claim loop; identities not yet fully reclaimed
	suspect          bool       // owned by the read loop: a read failed whose entries may be ours
	batch            []*entry   // owned by the commit loop; scratch
	nextRenew        time.Time  // owned by the commit loop
	cutWarned        time.Time  // owned by the commit loop
	deadWarned       time.Time  // owned by the commit loop
}

// New checks cfg and deps. The error wraps ErrConfig.
func New(cfg Config, deps Deps) (*Consumer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Redis == nil || deps.Blocking == nil || deps.Handle == nil {
		return nil, fmt.Errorf("%w: Redis, Blocking and Handle are required", ErrConfig)
	}
	c := &Consumer{
		cfg: cfg, keys: newKeys(cfg.Prefix),
		rdb: deps.Redis, block: cfg.Block,
		handle: deps.Handle, gone: deps.Gone, lead: deps.Lead, timed: deps.Relayed, log: deps.Log,
		backlog: newBacklog(),
		departs: make(chan string, maxDeparts), retirement: newRetirement(),
	}
	c.reader.client, c.reader.key = deps.Blocking, c.keys.events
	c.stats.dead = make(map[string]uint64)
	if c.gone == nil {
		c.gone = func(string) bool { return false }
	}
	if c.lead == nil {
		c.lead = func() bool { return true }
	}
	if c.log == nil {
		c.log = slog.Default()
	}
	c.log = c.log.With("component", "streams", "consumer", cfg.Consumer)
	// A read that outlasts the client's own patience would fail each time.
	if patience := readTimeout(deps.Blocking); patience > 0 && c.block >= patience {
		c.block = patience / 2
		c.log.Warn("block shortened to half of the client's read timeout", "block", c.block, "read_timeout", patience)
	}
	return c, nil
}

// maxDeparts is how many nodes can leave at once without falling back on MinIdle.
const maxDeparts = 64

func readTimeout(client redis.UniversalClient) time.Duration {
	switch c := client.(type) {
	case *redis.Client:
		return c.Options().ReadTimeout
	case *redis.ClusterClient:
		return c.Options().ReadTimeout
	case *redis.Ring:
		return c.Options().ReadTimeout
	}
	return 0
}

// Run consumes until ctx ends, or Retire. Then it reads no more, settles what it holds, for at most StopTimeout, deletes its own
// consumer if nothing is pending on it, and returns nil. Where Redis cannot end a blocking read (CLIENT UNBLOCK), Run may
// take Block longer. It waits for a Redis that is not there.
func (c *Consumer) Run(ctx context.Context) error {
	if c.ran.Swap(true) {
		return ErrAlreadyRun
	}
	c.running.Store(true)
	defer c.running.Store(false)

	// What was delivered is finished after ctx has ended.
	work, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	deadline := time.AfterFunc(math.MaxInt64, abandon)
	defer deadline.Stop()
	defer context.AfterFunc(ctx, func() { deadline.Reset(c.cfg.StopTimeout) })()
	var producers, committer, chores sync.WaitGroup
	producersDone := make(chan struct{})
	committer.Go(func() { c.commitLoop(work, producersDone) })
	committer.Go(func() { c.renewLoop(work, producersDone) })
	readDone := make(chan struct{})
	reading, retire := context.WithCancel(ctx)
	defer retire()
	defer context.AfterFunc(c.retirement.asked, retire)()
	producers.Go(func() {
		defer close(readDone)
		c.readLoop(reading)
	})
	producers.Go(func() { c.unblockLoop(reading, readDone) })
	producers.Go(func() { c.claimLoop(reading) })
	chores.Go(func() { c.choreLoop(ctx) })

	<-reading.Done()
	producers.Wait()
	close(c.retirement.done)
	<-ctx.Done()
	chores.Wait()
	close(producersDone)
	committer.Wait()
	c.leave(work)
	return nil
}

// Reclaim takes over the pending entries of a node that left or died, without waiting for MinIdle. It does not block
// and is safe for concurrent use.
func (c *Consumer) Reclaim(identity string) {
	if identity == c.cfg.Consumer {
		return
	}
	select {
	case c.departs <- identity:
	default:
		c.stats.reclaimsDropped.Add(1)
	}
}

// State is StateConsuming, StateWaiting or StateStopped. It is safe for concurrent use.
func (c *Consumer) State() string {
	switch {
	case !c.running.Load(), c.retirement.asked.Err() != nil:
		return StateStopped
	case c.readOK.Load() && c.commitOK.Load():
		return StateConsuming
	default:
		return StateWaiting
	}
}

// leave deletes this node's consumer, unless entries are left for others to reclaim.
func (c *Consumer) leave(ctx context.Context) {
	if ctx.Err() != nil {
		held, _ := c.backlog.size()
		c.log.Warn("stopped before everything was settled", "held", held)
		return
	}
	deleted, err := c.deleteConsumer(ctx, c.cfg.Consumer)
	if err != nil && !isNoGroup(err) {
		c.log.Warn("own consumer not deleted", "err", err)
	} else if !deleted {
		c.log.Info("own consumer kept: entries are pending on it")
	}
}

// healthy notes the outcome of a call of the read loop or the commit loop, and logs when it changes.
func (c *Consumer) healthy(flag *atomic.Bool, what string, err error) {
	if err != nil {
		c.stats.redisErrors.Add(1)
	}
	if was := flag.Swap(err == nil); was == (err == nil) {
		return
	}
	if err != nil {
		c.log.Warn("waiting for Redis", "call", what, "err", err)
		return
	}
	c.log.Info("Redis answers", "call", what)
}
