package admin

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	minKey = 32 // bytes
	maxKey = 1024
)

// Config is what the admin API is told at start.
type Config struct {
	// Key is what whoever asks has to know. 32 to 1,024 bytes of visible ASCII, since it travels in a header; required.
	Key string
	// Node is this node's name, told by answers that concern it alone. 1 to 128 bytes; required.
	Node string
	// Timeout is how long one action may take. 10 ms to 1 min, default 10 s.
	Timeout time.Duration
	// MaxBody is the largest request body, bytes. 1 KiB to 1 MiB, default 128 KiB: an event's 64 KiB and its envelope.
	MaxBody int64
	// MaxFailures is how many wrong keys an address (of IPv6, a /64) may send in a minute before all it sends is refused
	// unread, until time has worn them off. 1 to 1,000, default 10.
	MaxFailures int
	// MaxAddresses is how many addresses are watched for that; the one longest silent is forgotten first. 16 to
	// 1,000,000, default 4,096.
	MaxAddresses int
}

// DefaultConfig is the one place of this package's defaults.
func DefaultConfig() Config {
	return Config{Timeout: 10 * time.Second, MaxBody: 128 << 10, MaxFailures: 10, MaxAddresses: 4096}
}

// Validate names every fault of the configuration at once, and never shows the key.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("admin: "+format, args...)) }
	if len(c.Key) < minKey || len(c.Key) > maxKey {
		fault("Key has %d bytes, want %d to %d", len(c.Key), minKey, maxKey)
	}
	if strings.ContainsFunc(c.Key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		fault("Key has other characters than visible ASCII ones, which a header does not carry safely")
	}
	if c.Node == "" || len(c.Node) > maxID {
		fault("Node has %d bytes, want 1 to %d", len(c.Node), maxID)
	}
	if c.Timeout < 10*time.Millisecond || c.Timeout > time.Minute {
		fault("Timeout is %v, want 10ms to 1m", c.Timeout)
	}
	if c.MaxBody < 1<<10 || c.MaxBody > 1<<20 {
		fault("MaxBody is %d, want 1024 to 1048576", c.MaxBody)
	}
	if c.MaxFailures < 1 || c.MaxFailures > 1000 {
		fault("MaxFailures is %d, want 1 to 1000", c.MaxFailures)
	}
	if c.MaxAddresses < 16 || c.MaxAddresses > 1_000_000 {
		fault("MaxAddresses is %d, want 16 to 1000000", c.MaxAddresses)
	}
	return errors.Join(faults...)
}

// withDefaults fills what was left at its zero value.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	c.Timeout = cmp.Or(c.Timeout, d.Timeout)
	c.MaxBody = cmp.Or(c.MaxBody, d.MaxBody)
	c.MaxFailures = cmp.Or(c.MaxFailures, d.MaxFailures)
	c.MaxAddresses = cmp.Or(c.MaxAddresses, d.MaxAddresses)
	return c
}
