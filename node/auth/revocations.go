package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// manyRevocations is where a copy begins to weigh: a million are more than 100 MB on every node.
	manyRevocations = 100_000
	longestPoll     = 2 * time.Second // between two tries while Redis does not answer
)

// RevocationsConfig says where revocations are kept and how closely they are followed. Start from
// DefaultRevocationsConfig.
type RevocationsConfig struct {
	// Prefix of the Redis keys. Default: {teloo}.
	Prefix string
	// Poll is how often the version is asked for. More than 0, at most 1 s. Default: 300 ms.
	Poll time.Duration
	// Reread is how often everything is read again, whatever the version says. At least Poll. Default: 30 s.
	Reread time.Duration
	// MaxTokenLife is how long the issuer's tokens live at most: what a user's older tokens were refused by is forgotten
	// thereafter, and a token of unknown expiry is kept that long. More than 0. Default: 30 days.
	MaxTokenLife time.Duration
	// OnChange, if not nil, is called after a copy that differs from the one before is in place: by Run, which waits for
	// it. A socket admitted by Check at that moment may still be unknown to it, so check once more when it is known.
	OnChange func()
}

// DefaultRevocationsConfig returns the defaults.
func DefaultRevocationsConfig() RevocationsConfig {
	return RevocationsConfig{
		Prefix: "{teloo}", Poll: 300 * time.Millisecond, Reread: 30 * time.Second, MaxTokenLife: 30 * 24 * time.Hour,
	}
}

// Validate returns all faults at once, or nil.
func (c RevocationsConfig) Validate() error {
	var faults []error
	if c.Prefix == "" {
		faults = append(faults, errors.New("no prefix: want as {teloo}"))
	}
	if c.Poll <= 0 || c.Poll > time.Second {
		faults = append(faults, fmt.Errorf("poll %s: want more than 0, at most 1s", c.Poll))
	}
	if c.Reread < c.Poll {
		faults = append(faults, fmt.Errorf("reread %s: want at least the poll's %s", c.Reread, c.Poll))
	}
	if c.MaxTokenLife <= 0 {
		faults = append(faults, fmt.Errorf("token life %s: want more than 0", c.MaxTokenLife))
	}
	return errors.Join(faults...)
}

// Revocations holds a full copy of what was revoked and adds to it. Run has to run for the copy to come and to stay
// fresh; everything else is safe for concurrent use.
type Revocations struct {
	cfg   RevocationsConfig
	redis redis.UniversalClient
	log   *slog.Logger
	now   func() time.Time
	copy  atomic.Pointer[revoked] // what it points to is never changed
	wake  chan struct{}           // this node has revoked something

	reads, failures atomic.Uint64
	readAt          atomic.Int64 // unix ms

	// The rest is Run's.
	failed  bool      // the last poll did
	last    time.Time // the last whole reading
	warned  bool      // of the number of entries
	strange int       // entries that could not be understood, at the last reading
}

// RevocationStats describes the copy of one node.
type RevocationStats struct {
	// Tokens and Users count the entries. Reads and Failures count whole readings and polls that failed.
	Tokens, Users   int
	Reads, Failures uint64
	// ReadAt is when the copy was last read whole; zero: never.
	ReadAt time.Time
}

// NewRevocations returns revocations without a copy. The client stays the caller's.
func NewRevocations(cfg RevocationsConfig, rdb redis.UniversalClient, log *slog.Logger) (*Revocations, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("revocations configuration: %w", err)
	}
	return &Revocations{
		cfg: cfg, redis: rdb, log: log.With("component", "revocations"), now: time.Now, wake: make(chan struct{}, 1),
	}, nil
}

var (
	errTokenID = fmt.Errorf("%w: by its id", ErrTokenRevoked)
	errUser    = fmt.Errorf("%w: by its user", ErrTokenRevoked)
)

// Check returns nil for a token that was not revoked, else an error that is ErrTokenRevoked, or ErrUnavailable while there
// has never been a copy. It asks the copy alone, takes no lock and allocates nothing.
func (r *Revocations) Check(id Identity) error {
	known := r.copy.Load()
	if known == nil {
		return ErrUnavailable
	}
	if known.tokens[id.TokenID] {
		return errTokenID
	}
	// No issue is the zero time, which is before any.
	if second, ok := known.before[id.User]; ok && id.IssuedAt.Unix() <= second {
		return errUser
	}
	return nil
}

// Ready says whether there is a copy.
func (r *Revocations) Ready() bool { return r.copy.Load() != nil }

// Stats returns the figures of the copy.
func (r *Revocations) Stats() RevocationStats {
	stats := RevocationStats{Reads: r.reads.Load(), Failures: r.failures.Load()}
	if known := r.copy.Load(); known != nil {
		stats.Tokens, stats.Users, stats.ReadAt = len(known.tokens), len(known.before), time.UnixMilli(r.readAt.Load())
	}
	return stats
}

// Run keeps the copy fresh until ctx ends, then returns nil. It waits for Redis as long as it takes.
func (r *Revocations) Run(ctx context.Context) error {
	for wait := time.Duration(0); ; {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-r.wake:
			timer.Stop()
		case <-timer.C:
		}
		wait = r.cfg.Poll
		if err := r.poll(ctx); err != nil && ctx.Err() == nil {
			wait = r.fail(err, wait)
		}
	}
}

// fail notes a poll that failed and returns what to wait before the next.
func (r *Revocations) fail(err error, wait time.Duration) time.Duration {
	if r.failed { // for a second time, at least
		wait = longestPoll
	}
	if !r.failed {
		r.log.Warn("revocations cannot be read; those known stay in force", "err", err, "copy", r.Ready())
	}
	r.failed = true
	r.failures.Add(1)
	return wait
}

// poll reads everything if it may have changed. After a failure it may have: a Redis that comes back is perhaps another.
func (r *Revocations) poll(ctx context.Context) error {
	version, err := r.redis.Get(ctx, r.versionKey()).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("reading the revocations' version: %w", err)
	}
	old := r.copy.Load()
	if old != nil && !r.failed && old.version == version && time.Since(r.last) < r.cfg.Reread {
		return nil
	}
	// The version is from before the reading, so that what is added meanwhile is read by the next poll.
	read, err := r.read(ctx, version)
	if err != nil {
		return err
	}
	r.copy.Store(read.revoked)
	r.last = time.Now()
	r.readAt.Store(r.last.UnixMilli())
	r.reads.Add(1)
	if r.failed {
		r.log.Info("revocations are read again", "tokens", len(read.tokens), "users", len(read.before))
	}
	r.failed = false
	r.remark(read)
	if r.cfg.OnChange != nil && (old == nil || !maps.Equal(old.tokens, read.tokens) || !maps.Equal(old.before, read.before)) {
		r.cfg.OnChange()
	}
	if read.stale > 0 {
		r.forget(ctx)
	}
	return nil
}

// remark warns of a copy that grows large or holds what nobody understands, once each.
func (r *Revocations) remark(read reading) {
	n := len(read.tokens) + len(read.before)
	if n > manyRevocations && !r.warned {
		r.log.Warn("very many revocations; each node holds them all in memory", "tokens", len(read.tokens), "users", len(read.before))
	}
	r.warned = n > manyRevocations
	if read.strange > r.strange {
		r.log.Warn("revocations not understood; want jti:X by expiry in ms, and user:U with unix seconds", "entries", read.strange)
	}
	r.strange = read.strange
}
