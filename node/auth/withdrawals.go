package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// withdrawalsPage is how many notices are handled at once.
	withdrawalsPage = 1000
	noPosition      = "0-0"

	solicitudField, userFieldName = "solicitud", "user"
)

// Withdrawal says that a user's grant for a solicitud was withdrawn. It is a notice, and not a proof: whoever is told of
// it looks at the grants.
type Withdrawal struct{ Solicitud, User string }

// WithdrawalsConfig says where notices of withdrawn grants are read and who is told. Start from DefaultWithdrawalsConfig.
type WithdrawalsConfig struct {
	// Prefix of the Redis keys. Default: {teloo}.
	Prefix string
	// Poll is how often notices are asked for. More than 0, at most 1 s. Default: 300 ms.
	Poll time.Duration
	// OnWithdrawn is told what was withdrawn; required. An empty list says that anything may have been: at the start, and
	// whenever notices may have been missed. After an error it is told again.
	OnWithdrawn func(ctx context.Context, list []Withdrawal) error
}

// DefaultWithdrawalsConfig returns the defaults; OnWithdrawn has none.
func DefaultWithdrawalsConfig() WithdrawalsConfig {
	return WithdrawalsConfig{Prefix: "{teloo}", Poll: 300 * time.Millisecond}
}

// Validate returns all faults at once, or nil.
func (c WithdrawalsConfig) Validate() error {
	var faults []error
	if c.Prefix == "" {
		faults = append(faults, errors.New("no prefix: want as {teloo}"))
	}
	if c.Poll <= 0 || c.Poll > time.Second {
		faults = append(faults, fmt.Errorf("poll %s: want more than 0, at most 1s", c.Poll))
	}
	if c.OnWithdrawn == nil {
		faults = append(faults, errors.New("nobody to tell"))
	}
	return errors.Join(faults...)
}

// Withdrawals follows the notices that grants were withdrawn.
type Withdrawals struct {
	cfg   WithdrawalsConfig
	redis redis.UniversalClient
	log   *slog.Logger

	failures atomic.Uint64 // polls that failed

	// The rest is Run's.
	position string // the last notice that was handled; "" before the first reading
	failed   bool   // the last poll did
}

// NewWithdrawals returns what follows nothing until Run. The client stays the caller's.
func NewWithdrawals(cfg WithdrawalsConfig, rdb redis.UniversalClient, log *slog.Logger) (*Withdrawals, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("withdrawals configuration: %w", err)
	}
	return &Withdrawals{cfg: cfg, redis: rdb, log: log.With("component", "withdrawals")}, nil
}

// Run tells of withdrawals until ctx ends, then returns nil. It waits for Redis as long as it takes.
func (w *Withdrawals) Run(ctx context.Context) error {
	for wait := time.Duration(0); ; {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		more, err := w.poll(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			wait = w.fail(err)
		case more:
			wait = 0
		default:
			wait = w.cfg.Poll
		}
	}
}

// fail notes a poll that failed and returns what to wait before the next.
func (w *Withdrawals) fail(err error) time.Duration {
	w.failures.Add(1)
	if w.failed {
		return longestPoll
	}
	w.failed = true
	w.log.Warn("withdrawn grants cannot be followed; no notice is lost", "err", err)
	return w.cfg.Poll
}

// poll handles one page of notices and says whether there may be more. It reads its own position along with what
// follows: if that is gone, the stream was emptied, went back, or was trimmed beyond it.
func (w *Withdrawals) poll(ctx context.Context) (more bool, err error) {
	if w.position == "" {
		return false, w.startOver(ctx)
	}
	entries, err := w.redis.XRangeN(ctx, WithdrawalsKey(w.cfg.Prefix), w.position, "+", withdrawalsPage).Result()
	if err != nil {
		return false, fmt.Errorf("reading withdrawn grants: %w", err)
	}
	switch {
	case w.position == noPosition:
	case len(entries) == 0 || entries[0].ID != w.position:
		w.log.Info("notices of withdrawn grants were missed; looking at all subscriptions")
		return false, w.startOver(ctx)
	default:
		entries = entries[1:]
	}
	if err := w.tell(ctx, entries); err != nil {
		return false, err
	}
	w.recovered()
	return len(entries) >= withdrawalsPage-1, nil
}

// startOver goes on from the newest notice; whatever was withdrawn before is found by looking at everything.
func (w *Withdrawals) startOver(ctx context.Context) error {
	newest, err := w.redis.XRevRangeN(ctx, WithdrawalsKey(w.cfg.Prefix), "+", "-", 1).Result()
	if err != nil {
		return fmt.Errorf("reading the newest withdrawn grant: %w", err)
	}
	if err := w.cfg.OnWithdrawn(ctx, nil); err != nil {
		return fmt.Errorf("looking at all subscriptions: %w", err)
	}
	w.position = noPosition
	if len(newest) > 0 {
		w.position = newest[0].ID
	}
	w.recovered()
	return nil
}

func (w *Withdrawals) tell(ctx context.Context, entries []redis.XMessage) error {
	if len(entries) == 0 {
		return nil
	}
	list := make([]Withdrawal, 0, len(entries))
	for _, e := range entries {
		solicitud, _ := e.Values[solicitudField].(string)
		user, _ := e.Values[userFieldName].(string)
		if checkGrant(solicitud, user) != nil {
			w.log.Warn("a withdrawal not understood; want the fields solicitud and user", "entry", e.ID)
			continue
		}
		list = append(list, Withdrawal{Solicitud: solicitud, User: user})
	}
	if len(list) > 0 {
		if err := w.cfg.OnWithdrawn(ctx, list); err != nil {
			return fmt.Errorf("looking at subscriptions: %w", err)
		}
	}
	w.position = entries[len(entries)-1].ID
	return nil
}

func (w *Withdrawals) recovered() {
	if w.failed {
		w.failed = false
		w.log.Info("withdrawn grants are followed again")
	}
}
