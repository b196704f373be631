package adapter

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"
)

// maxRecoveryEvents and maxRecoveryBytes keep a replay, and what comes while it is read, within what may wait for one
// connection.
const (
	maxRecoveryEvents = 50_000
	maxRecoveryBytes  = 32 << 20
)

// maxIdentity bounds the length in bytes of a node's identity, of ours and of those that arrive from outside.
const maxIdentity = 256

// Config holds the adapter's settings. DefaultConfig is the only place of defaults; UID has none.
type Config struct {
	// Prefix starts every key and channel; on a Redis Cluster it has to hold a hash tag. Default "{teloo}".
	Prefix string
	// UID is this node's identity in the cluster, 1 to 256 bytes. No default.
	UID string
	// Block is how long one read of the log waits for an entry. Default 2 s.
	Block time.Duration
	// RequestTimeout bounds a request to the other nodes that names no timeout of its own. Default 5 s.
	RequestTimeout time.Duration
	// PositionEvery is the age of the newest log entry at which an empty one is appended. Default 30 s.
	PositionEvery time.Duration
	// LogMaxAge is the age beyond which log entries may be trimmed; twice the recovery window. Default 4 min.
	LogMaxAge time.Duration
	// LogMaxEntries caps the log whatever its age. Default 500,000.
	LogMaxEntries int64
	// PublishQueue is how many messages may wait to be appended to the log. Default 8,192.
	PublishQueue int
	// ReadCount is how many entries one read of the log takes at most. Default 1,000.
	ReadCount int
	// RecoveryWindow is how long after the end of its connection, or of its node, a client recovers. Default 2 min.
	RecoveryWindow time.Duration
	// RecoveryMaxEvents is how many events a recovering client may have missed, of 32 MiB together at most; 1 to 50,000.
	// Default 10,000.
	RecoveryMaxEvents int
	// RingMaxEntries and RingMaxBytes bound the recent log in memory, besides LogMaxAge. Defaults 100,000 and 64 MiB.
	RingMaxEntries, RingMaxBytes int
	// CloseDelay is how long a lost connection is not written to its session, for the client that is back by then; less
	// than RecoveryWindow, which runs from the loss all the same. Default 5 s.
	CloseDelay time.Duration
	// SessionTTL is how long Redis keeps a live socket's session that is not written again; it is at half of that.
	// Default 1 h.
	SessionTTL time.Duration
	// SessionTimeout bounds the reading or writing of one session. Default 2 s.
	SessionTimeout time.Duration
	// SyncAfter is how long a socket may be sent nothing before it is sent the position. Default 60 s.
	SyncAfter time.Duration
	// TraceEntries is how many of its latest deliveries, and of its replays, a node remembers for Ask; 0: none. Each costs
	// about 200 bytes. Default 20,000, at most 10,000,000.
	TraceEntries int
	// WaitReplicas is how many replicas of Redis must have an entry before it is delivered. Default 0: none.
	WaitReplicas int
	// WaitTimeout is how long delivery waits for them and then goes on without, until there are enough again. 0: for as
	// long as it takes. Default 1 s.
	WaitTimeout time.Duration
	// Sharded uses SPUBLISH and SSUBSCRIBE, for a Redis Cluster. Default false.
	Sharded bool
}

// DefaultConfig returns the defaults; UID is left empty and has to be set.
func DefaultConfig() Config {
	return Config{
		Prefix:         "{teloo}",
		Block:          2 * time.Second,
		RequestTimeout: 5 * time.Second,
		PositionEvery:  30 * time.Second,
		LogMaxAge:      4 * time.Minute,
		LogMaxEntries:  500_000,
		PublishQueue:   8192,
		ReadCount:      1000,

		RecoveryWindow:    2 * time.Minute,
		RecoveryMaxEvents: 10_000,
		RingMaxEntries:    100_000,
		RingMaxBytes:      64 << 20,
		CloseDelay:        5 * time.Second,
		SessionTTL:        time.Hour,
		SessionTimeout:    2 * time.Second,
		SyncAfter:         time.Minute,
		TraceEntries:      20_000,

		WaitTimeout: time.Second,
	}
}

// Validate reports all faults of the configuration at once.
func (c Config) Validate() error {
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	need(c.Prefix != "", "adapter: Prefix is empty")
	need(c.UID != "" && len(c.UID) <= maxIdentity && utf8.ValidString(c.UID),
		"adapter: UID has to be 1 to %d bytes of UTF-8", maxIdentity)
	// Redis counts BLOCK in milliseconds, and 0 would wait for ever.
	need(c.Block >= time.Millisecond, "adapter: Block is %v, at least 1ms is needed", c.Block)
	need(c.RequestTimeout > 0, "adapter: RequestTimeout is %v", c.RequestTimeout)
	need(c.PositionEvery >= time.Millisecond, "adapter: PositionEvery is %v, at least 1ms is needed", c.PositionEvery)
	need(c.LogMaxAge > c.PositionEvery, "adapter: LogMaxAge (%v) has to exceed PositionEvery (%v)", c.LogMaxAge, c.PositionEvery)
	need(c.LogMaxEntries > 0, "adapter: LogMaxEntries is %d", c.LogMaxEntries)
	need(c.PublishQueue > 0, "adapter: PublishQueue is %d", c.PublishQueue)
	need(c.ReadCount > 0, "adapter: ReadCount is %d", c.ReadCount)
	need(c.RecoveryWindow >= time.Millisecond, "adapter: RecoveryWindow is %v, at least 1ms is needed", c.RecoveryWindow)
	need(c.RecoveryMaxEvents >= 1 && c.RecoveryMaxEvents <= maxRecoveryEvents,
		"adapter: RecoveryMaxEvents is %d, 1 to %d are allowed", c.RecoveryMaxEvents, maxRecoveryEvents)
	need(c.RingMaxEntries > 0, "adapter: RingMaxEntries is %d", c.RingMaxEntries)
	need(c.RingMaxBytes > 0, "adapter: RingMaxBytes is %d", c.RingMaxBytes)
	need(c.CloseDelay >= 0 && c.CloseDelay < c.RecoveryWindow,
		"adapter: CloseDelay (%v) has to be less than RecoveryWindow (%v)", c.CloseDelay, c.RecoveryWindow)
	need(c.SessionTTL >= c.RecoveryWindow, "adapter: SessionTTL (%v) is less than RecoveryWindow (%v)", c.SessionTTL, c.RecoveryWindow)
	need(c.SessionTimeout > 0, "adapter: SessionTimeout is %v", c.SessionTimeout)
	need(c.WaitReplicas >= 0, "adapter: WaitReplicas is %d", c.WaitReplicas)
	need(c.WaitTimeout >= 0, "adapter: WaitTimeout is %v", c.WaitTimeout)
	need(c.SyncAfter > 0, "adapter: SyncAfter is %v", c.SyncAfter)
	need(c.TraceEntries >= 0 && c.TraceEntries <= 10_000_000, "adapter: TraceEntries is %d, 0 to 10000000 are allowed", c.TraceEntries)
	return errors.Join(faults...)
}

// Deps are what the adapter uses and does not own.
type Deps struct {
	// Redis runs commands and holds the subscription. It must not retry by itself (MaxRetries -1).
	Redis redis.UniversalClient
	// Blocking is used by the log reader alone, so that waiting reads never starve the command pool. Its ReadTimeout has
	// to exceed Config.Block. When Run is told to
	// stop, its connections are closed, and those that it makes later fail.
	Blocking redis.UniversalClient
	// Lead says whether this node does cluster-wide chores; nil means always. It must not block.
	Lead func() bool
	// Expired says that the node with this identity ended longer than the recovery window ago; nil means never. It must
	// not block.
	Expired func(identity string) bool
	// OnGap is called by the log reader when its position was trimmed away, or Redis was emptied: entries were missed, so
	// the sockets of this node have to be closed. Their sessions have ended already. It must not block. May be nil.
	OnGap func(reason string)
	// Traced is called by the log reader for each entry with a trace context that it has delivered. It must not block.
	// Nil: nobody wants to know.
	Traced func(Delivered)
	// Delivered is called with the id, in the event stream, of each event that has receivers here, when it has been handed to
	// their connections. Then the connections are asked, too, to tell of one of these when it has been written. soon says that
	// it was some microseconds after the last call, so that no clock has to be looked at. It is called by one goroutine at a
	// time, and must neither block nor allocate. May be nil.
	Delivered func(ms, seq uint64, soon bool)
	// Log may be nil: nothing is logged then.
	Log *slog.Logger
}

func (d Deps) validate() error {
	if d.Redis == nil || d.Blocking == nil {
		return errors.New("adapter: Deps.Redis and Deps.Blocking are both needed")
	}
	return nil
}
