// Package attack plays hostile clients of one gateway on loopback: malformed HTTP, Engine.IO, WebSocket and Socket.IO
// traffic, and users with a valid token who flood or do not read. It is bounded in number and time. Which attack comes
// n-th and what it sends follow from the seed and n alone, but for the session ids that the gateway gives; so one that
// did harm can be played again by itself. It never talks to anything outside 127.0.0.0/8, and judges nothing.
package attack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Config says who is attacked, how much and how long.
type Config struct {
	// Addr is the gateway's host:port; the host is an address in 127.0.0.0/8. Required.
	Addr string
	// Seed decides what the attacks are.
	Seed uint64
	// Token makes a valid token of hostile user i, an advisor; called with 0 to Users-1. Required.
	Token func(i int) string
	// Users is how many hostile users there are; default 50.
	Users int
	// Attackers is how many attacks are played at once; default 64.
	Attackers int
	// Rate is how many attacks begin a second; 0: as many as the attackers can.
	Rate float64
	// First is the number of the first attack, Count how many are played; 0: until the context ends.
	First, Count int
	// Only names the one kind that is played, whatever the number; default: all kinds, in random order.
	Only string
	// Holders is how many connections that only stay are open at once, besides the attackers' own; default 32.
	Holders int
	// Hold is how long those stay at most; default 5 s.
	Hold time.Duration
}

func (c Config) withDefaults() Config {
	if c.Users == 0 {
		c.Users = 50
	}
	if c.Attackers == 0 {
		c.Attackers = 64
	}
	if c.Holders == 0 {
		c.Holders = 32
	}
	if c.Hold == 0 {
		c.Hold = 5 * time.Second
	}
	return c
}

// Validate returns every fault.
func (c Config) Validate() error {
	var faults []error
	addr, err := netip.ParseAddrPort(c.Addr)
	if err != nil || !addr.Addr().Is4() || !addr.Addr().IsLoopback() {
		faults = append(faults, fmt.Errorf("attack: %q is no address in 127.0.0.0/8 with a port", c.Addr))
	}
	if c.Token == nil {
		faults = append(faults, errors.New("attack: Token is missing"))
	}
	if c.Users < 0 || c.Attackers < 0 || c.Attackers > 1024 || c.Rate < 0 || c.First < 0 || c.Count < 0 ||
		c.Holders < 0 || c.Holders > 1024 || c.Hold < 0 {
		faults = append(faults, errors.New("attack: a value is out of range"))
	}
	if _, known := kindNamed(c.Only); c.Only != "" && !known {
		faults = append(faults, fmt.Errorf("attack: no kind is called %q", c.Only))
	}
	return errors.Join(faults...)
}

// Outcome is how the gateway answered an attack.
type Outcome string

// The outcomes.
const (
	Refused   Outcome = "refused"   // an HTTP status of 400 or more, or a connect_error
	Closed    Outcome = "closed"    // the gateway ended the connection
	Kept      Outcome = "kept"      // the connection was served, or still there, when the attacker left
	Unreached Outcome = "unreached" // the attack could not be played: no connection, no session
	Failed    Outcome = "failed"    // HTTP 500, a fault of the gateway's
)

// Outcomes are all there are, in the order of a table.
func Outcomes() []Outcome { return []Outcome{Refused, Closed, Kept, Unreached, Failed} }

// Counts are the attacks played, by kind and outcome.
type Counts map[string]map[Outcome]int

// Total sums up the given outcomes of all kinds; without any, all.
func (c Counts) Total(which ...Outcome) int {
	sum := 0
	for _, outcomes := range c {
		for o, n := range outcomes {
			if len(which) == 0 || slices.Contains(which, o) {
				sum += n
			}
		}
	}
	return sum
}

// Kinds are the names in c, sorted.
func (c Counts) Kinds() []string { return slices.Sorted(maps.Keys(c)) }

func (c Counts) add(kind string, o Outcome) {
	if c[kind] == nil {
		c[kind] = map[Outcome]int{}
	}
	c[kind][o]++
}

// campaign is the attacks of one Run.
type campaign struct {
	cfg   Config
	slots chan struct{} // of those that hold connections

	mu     sync.Mutex
	counts Counts // mu
}

// Run plays attacks until ctx ends or Config.Count have been played, and returns when no connection of theirs is left.
func Run(ctx context.Context, cfg Config) (Counts, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	c := &campaign{cfg: cfg, slots: make(chan struct{}, cfg.Holders), counts: Counts{}}
	limit := rate.NewLimiter(rate.Inf, 1)
	if cfg.Rate > 0 {
		limit = rate.NewLimiter(rate.Limit(cfg.Rate), max(int(cfg.Rate/10), 1))
	}
	var next atomic.Int64
	var attackers sync.WaitGroup
	for range cfg.Attackers {
		attackers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if cfg.Count > 0 && i >= cfg.Count || limit.Wait(ctx) != nil {
					return
				}
				c.play(ctx, cfg.First+i)
			}
		})
	}
	attackers.Wait()
	return c.counts, nil
}

// play plays the n-th attack.
func (c *campaign) play(ctx context.Context, n int) {
	a := c.newAssault(ctx, n)
	o := a.kind.play(a)
	a.leave()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.add(a.kind.name, o)
}

// newAssault makes the n-th attack of the seed.
func (c *campaign) newAssault(ctx context.Context, n int) *assault {
	a := &assault{ctx: ctx, campaign: c, n: n, rng: rand.New(rand.NewPCG(c.cfg.Seed, uint64(n)))} //nolint:gosec // has to be repeatable
	a.kind = pick(a.rng)
	if c.cfg.Only != "" {
		a.kind, _ = kindNamed(c.cfg.Only)
	}
	return a
}
