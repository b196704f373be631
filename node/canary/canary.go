package canary

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// EventName is a name that the event contract allows; the room decides who hears it.
const EventName = "notificacion_canary"

// Config says how often a canary is sent. Start from DefaultConfig; Identity has no default.
type Config struct {
	// Identity is this process, "name:incarnation".
	Identity string
	// Interval is how often a canary is sent; default 5 s, 100 ms to 1 h.
	Interval time.Duration
	// Patience is how many intervals a canary may be missing, and how long the log may hold what the node has not read,
	// before the node counts as deaf; default 2.5, with which that is known within three intervals. 1 to 100.
	Patience float64
}

// DefaultConfig is the one place of this package's defaults.
func DefaultConfig() Config { return Config{Interval: 5 * time.Second, Patience: 2.5} }

// Validate reports every fault of c, joined.
func (c Config) Validate() error {
	var faults []error
	if c.Identity == "" {
		faults = append(faults, errors.New("canary: Identity is empty"))
	}
	if c.Interval < 100*time.Millisecond || c.Interval > time.Hour {
		faults = append(faults, fmt.Errorf("canary: Interval is %v, want 100ms to 1h", c.Interval))
	}
	if c.Patience < 1 || c.Patience > 100 {
		faults = append(faults, fmt.Errorf("canary: Patience is %v, want 1 to 100", c.Patience))
	}
	return errors.Join(faults...)
}

// Deps are what a Canary works with; all are required.
type Deps struct {
	// Publish writes an event for one room as the Core API would.
	Publish func(ctx context.Context, name, room string, data json.RawMessage) error
	// Listen calls hear with the JSON array of each event that a socket of this node in the room would get. hear does not
	// block.
	Listen func(room string, hear func(args []byte)) (stop func(), err error)
	// Unread is how long the log has held something that this node has not read.
	Unread func(ctx context.Context) (time.Duration, error)
	Log    *slog.Logger
}

// Stats are a canary's figures.
type Stats struct {
	Sent, SendFailed, Heard uint64
	// LastHeard is when one arrived last; the start before the first.
	LastHeard time.Time
	// Latency is what the last one took from being written until a socket would have been sent it.
	Latency time.Duration
	// Deaf: events flow past this node.
	Deaf bool
}

// Canary is one node's. Its methods are safe for concurrent use.
type Canary struct {
	cfg  Config
	deps Deps
	log  *slog.Logger
	room string

	sent, sendFailed, heard atomic.Uint64
	lastHeard               atomic.Int64 // unix ns
	latency                 atomic.Int64 // ns
	deaf                    atomic.Bool
}

// New makes a canary; it sends while Run runs.
func New(cfg Config, deps Deps) (*Canary, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Publish == nil || deps.Listen == nil || deps.Unread == nil || deps.Log == nil {
		return nil, errors.New("canary: a dependency is missing")
	}
	c := &Canary{cfg: cfg, deps: deps, log: deps.Log.With("component", "canary"), room: "canary_" + cfg.Identity}
	c.lastHeard.Store(time.Now().UnixNano())
	return c, nil
}

// Deaf reports whether events flow past this node: the log holds what it has not read, for longer than it may, and its
// canaries do not arrive either. Where no events flow at all, no node is deaf.
func (c *Canary) Deaf() bool { return c.deaf.Load() }

// Stats returns the figures.
func (c *Canary) Stats() Stats {
	return Stats{
		Sent: c.sent.Load(), SendFailed: c.sendFailed.Load(), Heard: c.heard.Load(),
		LastHeard: time.Unix(0, c.lastHeard.Load()), Latency: time.Duration(c.latency.Load()), Deaf: c.Deaf(),
	}
}

// Run sends and listens until ctx ends.
func (c *Canary) Run(ctx context.Context) error {
	stop, err := c.deps.Listen(c.room, c.hear)
	if err != nil {
		return err
	}
	defer stop()
	c.lastHeard.Store(time.Now().UnixNano())
	send, look := time.NewTicker(c.cfg.Interval), time.NewTicker(c.cfg.Interval/5)
	defer send.Stop()
	defer look.Stop()
	c.send(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-send.C:
			c.send(ctx)
		case <-look.C:
			c.judge(ctx)
		}
	}
}

// note is the data of a canary.
type note struct {
	Sent int64 `json:"sent"` // unix ns, of this process' clock
}

func (c *Canary) send(ctx context.Context) {
	data, err := json.Marshal(note{Sent: time.Now().UnixNano()})
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Interval/2)
	defer cancel()
	c.sent.Add(1)
	if err := c.deps.Publish(ctx, EventName, c.room, data); err != nil {
		c.sendFailed.Add(1)
		c.log.Debug("canary not written", "err", err)
	}
}

// hear is called with what a socket in the canary's room would get.
func (c *Canary) hear(args []byte) {
	var n note
	var event [2]json.RawMessage
	if json.Unmarshal(args, &event) != nil || json.Unmarshal(event[1], &n) != nil || n.Sent == 0 {
		return
	}
	now := time.Now().UnixNano()
	c.heard.Add(1)
	c.latency.Store(max(now-n.Sent, 0))
	c.lastHeard.Store(now)
}

// judge decides whether the node is deaf.
func (c *Canary) judge(ctx context.Context) {
	limit := time.Duration(c.cfg.Patience * float64(c.cfg.Interval))
	silent := time.Since(time.Unix(0, c.lastHeard.Load()))
	deaf := silent > limit
	if deaf {
		ctx, cancel := context.WithTimeout(ctx, c.cfg.Interval/2)
		defer cancel()
		unread, err := c.deps.Unread(ctx)
		if err != nil {
			return // nothing is known; Redis' own absence is noticed elsewhere
		}
		// What came in since the last canary was due is no proof.
		deaf = unread > limit-c.cfg.Interval
	}
	switch was := c.deaf.Swap(deaf); {
	case deaf && !was:
		c.log.Error("deaf: events flow past this node", "silent", silent.Round(time.Millisecond))
	case was && !deaf:
		c.log.Info("no longer deaf")
	}
}
