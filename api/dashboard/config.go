package dashboard

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Config is what the page is told at start.
type Config struct {
	// Key is what a visitor has to know: that of the admin API. 32 to 1,024 bytes; required.
	Key string
	// Node is this node's name; required.
	Node string
	// SampleEvery is how often this node notes its own figures, by the clock, so that the nodes' notes fit together.
	// 1 s to 1 min, default 5 s.
	SampleEvery time.Duration
	// Window is how far back the charts go, and what "lately" means. 1 min to 1 h, default 15 min.
	Window time.Duration
	// CollectEvery is how often all nodes are asked while somebody watches. 100 ms to 1 min, default 2 s.
	CollectEvery time.Duration
	// AskTimeout is how long a node may take to answer before it is shown as silent. 10 ms to CollectEvery, default 1.5 s.
	AskTimeout time.Duration
	// MaxFailures is how many wrong keys an address may send in a minute. 1 to 1,000, default 10.
	MaxFailures int
	// MaxAddresses is how many addresses are watched for that. 16 to 1,000,000, default 4,096.
	MaxAddresses int
	// DeadTimeout bounds one request that concerns dead letters. 10 ms to 1 min, default 10 s.
	DeadTimeout time.Duration
}

// MaxWatchers is how many may watch one node at a time.
const MaxWatchers = 50

// DefaultConfig is the one place of this package's defaults.
func DefaultConfig() Config {
	return Config{
		SampleEvery: 5 * time.Second, Window: 15 * time.Minute, CollectEvery: 2 * time.Second, AskTimeout: 1500 * time.Millisecond,
		MaxFailures: 10, MaxAddresses: 4096, DeadTimeout: 10 * time.Second,
	}
}

// Validate names every fault of the configuration at once, and never shows the key.
func (c Config) Validate() error {
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("dashboard: "+format, args...))
		}
	}
	between := func(name string, value, least, most time.Duration) {
		need(value >= least && value <= most, "%s is %v, want %v to %v", name, value, least, most)
	}
	need(len(c.Key) >= 32 && len(c.Key) <= 1024, "Key has %d bytes, want 32 to 1024", len(c.Key))
	need(c.Node != "", "Node is empty")
	between("SampleEvery", c.SampleEvery, time.Second, time.Minute)
	between("Window", c.Window, time.Minute, time.Hour)
	between("CollectEvery", c.CollectEvery, 100*time.Millisecond, time.Minute)
	between("AskTimeout", c.AskTimeout, 10*time.Millisecond, c.CollectEvery)
	between("DeadTimeout", c.DeadTimeout, 10*time.Millisecond, time.Minute)
	need(c.MaxFailures >= 1 && c.MaxFailures <= 1000, "MaxFailures is %d, want 1 to 1000", c.MaxFailures)
	need(c.MaxAddresses >= 16 && c.MaxAddresses <= 1_000_000, "MaxAddresses is %d, want 16 to 1000000", c.MaxAddresses)
	return errors.Join(faults...)
}

// withDefaults fills what was left at its zero value.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	c.SampleEvery = cmp.Or(c.SampleEvery, d.SampleEvery)
	c.Window = cmp.Or(c.Window, d.Window)
	c.CollectEvery = cmp.Or(c.CollectEvery, d.CollectEvery)
	c.AskTimeout = cmp.Or(c.AskTimeout, d.AskTimeout)
	c.MaxFailures = cmp.Or(c.MaxFailures, d.MaxFailures)
	c.MaxAddresses = cmp.Or(c.MaxAddresses, d.MaxAddresses)
	c.DeadTimeout = cmp.Or(c.DeadTimeout, d.DeadTimeout)
	return c
}
