package engine

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"time"
)

// Config holds what a Server is told. DefaultConfig gives the defaults.
type Config struct {
	// NodeName names this node in the ids of its sessions; default none, required.
	NodeName string
	// Secret authenticates session ids, the same on all nodes; default a random one.
	Secret []byte
	// MaxSessions bounds the sessions, those that are not yet anybody's included; beyond, handshakes are answered by 503.
	// Default 20,000, 1 to 10,000,000.
	MaxSessions int
	// PingInterval is how often a client is pinged, PingTimeout how long it may take to answer; default 25 s and 20 s.
	PingInterval, PingTimeout time.Duration
	// UpgradeTimeout bounds a polling client's change to WebSocket; default 10 s.
	UpgradeTimeout time.Duration
	// MaxPayload bounds a message and a POST body from a client, in bytes; default 100,000, 1 to 16 MiB.
	MaxPayload int
	// MaxUntrusted bounds the same until Session.Trust, where MaxPayload is more; default 64 KiB, 1 or more.
	MaxUntrusted int
	// MaxQueueBytes and MaxQueueFrames bound what waits for a client that does not keep up; beyond, it is closed as a slow
	// consumer, as it is at 64 times as much of what is uncharged. Default 1 MiB and 1,024.
	MaxQueueBytes, MaxQueueFrames int
	// StallTimeout is how long a client may take nothing at all while something waits for it; default 30 s.
	StallTimeout time.Duration
	// CloseGrace bounds an orderly close: sending what waits, and the client's answer; default 2 s.
	CloseGrace time.Duration
	// CloseWait bounds how long the end of a session waits for what it received before; default 30 s.
	CloseWait time.Duration
	// Writers is how many goroutines write to the clients; default one per processor.
	Writers int
	// Final reports whether a text message of a client's ends what its earlier ones began, so that it is to be handled only
	// after them, as the end of the session is; see Session.OnClosing. Default: none does.
	Final func(message []byte) bool
	// Acceptable reports whether a text message of a client's may be passed on; if not, it ends the session as malformed.
	// Default: all may.
	Acceptable func(message []byte) bool
	// Written is told of the marks of Session.NoteWritten. It must neither block nor call back. Default nil: nobody is.
	Written func(mark int64)
	// Translate makes of a text message of a client's that speaks revision 3 what others say for it; it must not change what it
	// is given. Default: the same.
	Translate func(message []byte) []byte
	// AllowEIO3 serves clients that speak revision 3 of the protocol, too; default false.
	AllowEIO3 bool
	// AllowOrigin decides on requests of browsers' pages; default all are refused that name an origin.
	AllowOrigin func(*http.Request) bool
}

// DefaultConfig is the one place of this package's defaults.
func DefaultConfig() Config {
	return Config{
		MaxSessions:    20_000,
		PingInterval:   25 * time.Second,
		PingTimeout:    20 * time.Second,
		UpgradeTimeout: 10 * time.Second,
		MaxPayload:     100_000,
		MaxUntrusted:   64 << 10,
		MaxQueueBytes:  1 << 20,
		MaxQueueFrames: 1024,
		StallTimeout:   30 * time.Second,
		CloseGrace:     2 * time.Second,
		CloseWait:      30 * time.Second,
		Writers:        runtime.GOMAXPROCS(0),
		Final:          func([]byte) bool { return false },
		Acceptable:     func([]byte) bool { return true },
		Translate:      func(message []byte) []byte { return message },
		AllowOrigin:    func(r *http.Request) bool { return r.Header.Get("Origin") == "" },
	}
}

// Validate reports every fault of c, joined.
func (c Config) Validate() error {
	var faults []error
	check := func(ok bool, field string, value any, want string) {
		if !ok {
			faults = append(faults, fmt.Errorf("engine: %s is %v, want %s", field, value, want))
		}
	}
	check(c.NodeName != "", "NodeName", `""`, "a name")
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"PingInterval", c.PingInterval},
		{"PingTimeout", c.PingTimeout},
		{"UpgradeTimeout", c.UpgradeTimeout},
		{"StallTimeout", c.StallTimeout},
		{"CloseGrace", c.CloseGrace},
		{"CloseWait", c.CloseWait},
	} {
		check(d.value > 0, d.field, d.value, "more than 0")
	}
	check(c.MaxSessions >= 1 && c.MaxSessions <= 10_000_000, "MaxSessions", c.MaxSessions, "1 to 10000000")
	check(c.MaxPayload >= 1 && c.MaxPayload <= 16<<20, "MaxPayload", c.MaxPayload, "1 to 16777216")
	check(c.MaxUntrusted >= 1, "MaxUntrusted", c.MaxUntrusted, "1 or more")
	check(c.MaxQueueBytes > 0, "MaxQueueBytes", c.MaxQueueBytes, "more than 0")
	check(c.MaxQueueFrames > 0, "MaxQueueFrames", c.MaxQueueFrames, "more than 0")
	check(c.Writers > 0 && c.Writers <= 1024, "Writers", c.Writers, "1 to 1024")
	check(c.Final != nil, "Final", "nil", "a function")
	check(c.Acceptable != nil, "Acceptable", "nil", "a function")
	check(c.Translate != nil, "Translate", "nil", "a function")
	check(c.AllowOrigin != nil, "AllowOrigin", "nil", "a function")
	return errors.Join(faults...)
}
