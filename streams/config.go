// Package streams owns the way of an event from the Core API's stream into the broadcast log: the consumer group, the
// decoding of entries, the ordered commit, reclaim, dead letters, trimming and idempotency. It guarantees that the log
// holds each event once and in the stream's order, whichever nodes read, wait, die or come back.
//
// It never talks to a client, never reads the log, and never decides where an event goes: that is the caller's
// HandleFunc. It never closes a Redis client that it was given.
package streams

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Errors that callers test for.
var (
	// ErrConfig is the root of every fault that Validate and New report.
	ErrConfig = errors.New("streams: invalid configuration")
	// ErrAlreadyRun is returned by a second call of Run.
	ErrAlreadyRun = errors.New("streams: consumer was run before")
)

// Config says how one node consumes. All durations are positive.
type Config struct {
	// Prefix begins every Redis key and carries the hash tag. Default "{teloo}".
	Prefix string
	// Group is the consumer group that all nodes share. Default "gateway".
	Group string
	// Consumer is this node's identity, "name:incarnation". Required.
	Consumer string
	// Batch is how many entries one read asks for and one commit may carry, 1 to 1000. Default 256.
	Batch int
	// BatchBytes bounds the arguments of one commit, in bytes; a larger single entry goes alone. Default 1 MiB.
	BatchBytes int
	// Block is how long one read waits for new entries. Default 2 s.
	Block time.Duration
	// MinIdle is how long an entry must have been neither renewed nor delivered before any node reclaims it. Default 2 s.
	MinIdle time.Duration
	// HandleTimeout is how long one call of the handler may take. Beyond it, its goroutine is left alone, and what was read
	// together is reclaimed like a dead node's. Default 30 s.
	HandleTimeout time.Duration
	// ReclaimEvery is the period of the search for such entries. Default 500 ms.
	ReclaimEvery time.Duration
	// TrimEvery is the period of the cluster-wide chores: trimming the event stream, deleting dead consumers. Default 5 s.
	TrimEvery time.Duration
	// DedupeTTL is how long an event_id is remembered. Default 10 min.
	DedupeTTL time.Duration
	// GrantTTL is how long a grant holds after it was last given. Default 720 h.
	GrantTTL time.Duration
	// LogMaxAge is the age beyond which log entries are trimmed. Default 4 min.
	LogMaxAge time.Duration
	// StopTimeout bounds the finishing of the batch after Run's context ended. Default 5 s.
	StopTimeout time.Duration
	// LogMaxEntries caps the log, in entries; cutting into LogMaxAge is counted and warned of. Default 500,000.
	LogMaxEntries int64
	// DeadMaxEntries caps the dead letters, in entries; the oldest go, counted and warned of. Default 100,000.
	DeadMaxEntries int64
	// MaxDeliveries is the delivery from which an entry is handled alone, at least 2. Default 3.
	MaxDeliveries int
}

// DefaultConfig returns the defaults. Consumer is left empty: it must be the node's own.
func DefaultConfig() Config {
	return Config{
		Prefix:         "{teloo}",
		Group:          "gateway",
		Batch:          256,
		BatchBytes:     1 << 20,
		Block:          2 * time.Second,
		MinIdle:        2 * time.Second,
		HandleTimeout:  30 * time.Second,
		ReclaimEvery:   500 * time.Millisecond,
		TrimEvery:      5 * time.Second,
		DedupeTTL:      10 * time.Minute,
		GrantTTL:       720 * time.Hour,
		LogMaxAge:      4 * time.Minute,
		StopTimeout:    5 * time.Second,
		LogMaxEntries:  500_000,
		DeadMaxEntries: 100_000,
		MaxDeliveries:  3,
	}
}

// Validate reports every fault at once, each wrapping ErrConfig.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...))
	}
	if open, end := strings.IndexByte(c.Prefix, '{'), strings.IndexByte(c.Prefix, '}'); open < 0 || end <= open+1 {
		fault("Prefix %q needs a hash tag such as {teloo}", c.Prefix)
	}
	for name, v := range map[string]string{"Group": c.Group, "Consumer": c.Consumer} {
		if !validID(v) {
			fault("%s %q must be 1 to %d bytes of text", name, v, maxIDBytes)
		}
	}
	if c.Batch < 1 || c.Batch > maxBatch {
		fault("Batch %d must be 1 to %d", c.Batch, maxBatch)
	}
	if c.BatchBytes < 1 {
		fault("BatchBytes %d must be positive", c.BatchBytes)
	}
	if c.LogMaxEntries < 1 {
		fault("LogMaxEntries %d must be positive", c.LogMaxEntries)
	}
	if c.DeadMaxEntries < 1 {
		fault("DeadMaxEntries %d must be positive", c.DeadMaxEntries)
	}
	if c.MaxDeliveries < 2 || c.MaxDeliveries >= solitaryMark {
		fault("MaxDeliveries %d must be 2 to %d", c.MaxDeliveries, solitaryMark-1)
	}
	for name, d := range map[string]time.Duration{
		"Block": c.Block, "MinIdle": c.MinIdle, "HandleTimeout": c.HandleTimeout, "ReclaimEvery": c.ReclaimEvery,
		"TrimEvery": c.TrimEvery, "DedupeTTL": c.DedupeTTL, "GrantTTL": c.GrantTTL, "LogMaxAge": c.LogMaxAge, "StopTimeout": c.StopTimeout,
	} {
		if d < time.Millisecond {
			fault("%s %s must be at least 1ms", name, d)
		}
	}
	return errors.Join(faults...)
}

// maxBatch keeps a commit's arguments within what Lua can unpack.
const maxBatch = 1000

// keys are the Redis keys of one prefix.
type keys struct {
	events, log, dead, committed, seen, grants, grantIndex string
}

func newKeys(prefix string) keys {
	return keys{
		events:     prefix + ":events",
		log:        prefix + ":log",
		dead:       prefix + ":dead",
		committed:  prefix + ":committed",
		seen:       prefix + ":seen:",
		grants:     prefix + ":grants:",
		grantIndex: prefix + ":grants",
	}
}

// seenKey is the key of an event_id.
func (k keys) seenKey(eventID string) string {
	sum := sha256.Sum256([]byte(eventID))
	return k.seen + hex.EncodeToString(sum[:16])
}
