package gossip

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// ErrBudgetExhausted says that a turn would have come too late, or that too many wait for theirs already.
var ErrBudgetExhausted = errors.New("connect budget exhausted")

// BudgetConfig describes a rate shared by the cluster.
type BudgetConfig struct {
	// PerSecond is the rate of the whole cluster; each node takes an equal share of it. 0: unlimited. Default: 0.
	PerSecond float64
	// MaxWait is the longest a turn is waited for. Default: 5 s.
	MaxWait time.Duration
	// MaxWaiters is how many may wait at a time on this node, from 1 on. Default: 10,000.
	MaxWaiters int
}

// DefaultBudgetConfig returns the defaults.
func DefaultBudgetConfig() BudgetConfig {
	return BudgetConfig{MaxWait: 5 * time.Second, MaxWaiters: 10_000}
}

// Validate returns all faults at once, or nil.
func (c BudgetConfig) Validate() error {
	var faults []error
	if !(c.PerSecond >= 0) || math.IsInf(c.PerSecond, 0) {
		faults = append(faults, fmt.Errorf("rate %v/s: want 0 (unlimited) or more", c.PerSecond))
	}
	if c.MaxWait <= 0 {
		faults = append(faults, fmt.Errorf("longest wait %s: want more than 0", c.MaxWait))
	}
	if c.MaxWaiters < 1 {
		faults = append(faults, fmt.Errorf("waiters %d: want at least 1", c.MaxWaiters))
	}
	return errors.Join(faults...)
}

// Budget spaces out what the cluster may do only so fast, as accepting connections. The share follows the number of live
// nodes; after a pause a node may do a tenth of a second's share at once. It is safe for concurrent use.
type Budget struct {
	cfg     BudgetConfig
	live    func() int
	limiter *rate.Limiter

	mu     sync.Mutex // for share
	shared int        // the number of nodes the limiter is set for

	waiting atomic.Int64
	refused atomic.Uint64
}

// NewBudget returns a budget; live counts the nodes sharing it (Gossip.Live), and less than 1 counts as 1.
func NewBudget(cfg BudgetConfig, live func() int) (*Budget, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("connect budget: %w", err)
	}
	return &Budget{cfg: cfg, live: live, limiter: rate.NewLimiter(0, 1)}, nil
}

// Wait returns when it is the caller's turn, or with ErrBudgetExhausted, at once, when that would not come within
// MaxWait, or with ctx's error.
func (b *Budget) Wait(ctx context.Context) error {
	if b.cfg.PerSecond == 0 {
		return ctx.Err()
	}
	defer b.waiting.Add(-1)
	if b.waiting.Add(1) > int64(b.cfg.MaxWaiters) {
		b.refused.Add(1)
		return ErrBudgetExhausted
	}
	b.share()
	bounded, cancel := context.WithTimeout(ctx, b.cfg.MaxWait)
	defer cancel()
	if err := b.limiter.Wait(bounded); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.refused.Add(1)
		return ErrBudgetExhausted
	}
	return nil
}

// Ready reports, without taking a turn, whether Wait would give one now; if not, when it is worth another try.
func (b *Budget) Ready() (retryAfter time.Duration, ok bool) {
	if b.cfg.PerSecond == 0 {
		return 0, true
	}
	b.share()
	wait := b.turns(1 - b.limiter.Tokens())
	if wait > b.cfg.MaxWait {
		return wait - b.cfg.MaxWait, false
	}
	if waiting := b.waiting.Load(); waiting >= int64(b.cfg.MaxWaiters) {
		return b.turns(1), false
	}
	return 0, true
}

// turns is how long that many turns take on this node.
func (b *Budget) turns(n float64) time.Duration {
	return time.Duration(n / float64(b.limiter.Limit()) * float64(time.Second))
}

// share sets the limiter to this node's part.
func (b *Budget) share() {
	nodes := max(b.live(), 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if nodes == b.shared {
		return
	}
	b.shared = nodes
	part := b.cfg.PerSecond / float64(nodes)
	b.limiter.SetLimit(rate.Limit(part))
	b.limiter.SetBurst(max(1, int(math.Ceil(part/10))))
}

// Waiting counts those waiting now, Refused those refused so far.
func (b *Budget) Waiting() int { return int(b.waiting.Load()) }

// Refused counts the turns that were refused.
func (b *Budget) Refused() uint64 { return b.refused.Load() }
