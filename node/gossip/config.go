package gossip

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/memberlist"
)

const maxIdentity = 128

// Config describes one node's gossip. Start from DefaultConfig; Identity has no default.
type Config struct {
	// Bind is the TCP and UDP address listened on, "host:port" or ":port". Port 0 takes a free one (see Addr).
	// Default: ":7946".
	Bind string
	// Advertise is what others reach this node at, "host" or "host:port"; empty: the bound address or, when that is
	// all of them, the first private one of an interface.
	Advertise string
	// Seeds are "host:port" of nodes to join through; a name may stand for many addresses and is resolved again every
	// time. Empty: this node waits for others.
	Seeds []string
	// Secret, of any length, encrypts gossip; nodes with another one stay strangers. Empty: no encryption.
	Secret []byte
	// Identity is this process, "name:incarnation", unique for ever. 1 to 128 bytes without control characters.
	Identity string
	// Meta is what others learn of this node; 512 bytes as JSON.
	Meta Meta

	// ProbeInterval is how often one other node is probed, and how long a probe may take. Default: 400 ms. With the two
	// below a dead process is known after about 1.5 s, and a process may stand still for 1 s without being taken for one.
	ProbeInterval time.Duration
	// ProbeTimeout is what a direct answer may take before others are asked to probe, below ProbeInterval.
	// Default: 250 ms.
	ProbeTimeout time.Duration
	// SuspicionMult is for how many probe intervals a silent node may still refute its death, 1 to 10. Default: 2.
	SuspicionMult int
	// JoinEvery is how often seeds are tried while no other node is known. Default: 1 s.
	JoinEvery time.Duration
	// RejoinEvery is how often seeds are resolved and those not in the cluster joined, later on: it heals partitions.
	// Default: 5 s.
	RejoinEvery time.Duration
	// SyncEvery is how often the whole membership is exchanged with one node. Default: 15 s.
	SyncEvery time.Duration
	// StreamTimeout bounds a TCP exchange with another node. Default: 2 s.
	StreamTimeout time.Duration
	// LeaveTimeout bounds the farewell at the end of Run. Default: 1 s.
	LeaveTimeout time.Duration
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		Bind:          ":7946",
		ProbeInterval: 400 * time.Millisecond,
		ProbeTimeout:  250 * time.Millisecond,
		SuspicionMult: 2,
		JoinEvery:     time.Second,
		RejoinEvery:   5 * time.Second,
		SyncEvery:     15 * time.Second,
		StreamTimeout: 2 * time.Second,
		LeaveTimeout:  time.Second,
	}
}

// Meta is what a node tells the others about itself.
type Meta struct {
	// Name is the node's name, without incarnation.
	Name string `json:"name,omitempty"`
	// Addr is its HTTP address, "host:port".
	Addr    string `json:"addr,omitempty"`
	Version string `json:"version,omitempty"`
	// Draining nodes take no new connections and are about to leave.
	Draining bool `json:"draining,omitempty"`
}

func (m Meta) encode() ([]byte, error) {
	raw, err := json.Marshal(m)
	if err == nil && len(raw) > memberlist.MetaMaxSize {
		err = fmt.Errorf("metadata takes %d bytes: want at most %d", len(raw), memberlist.MetaMaxSize)
	}
	return raw, err
}

// decodeMeta reads what another node says of itself; it may be of another version.
func decodeMeta(raw []byte) (Meta, error) {
	var m Meta
	if len(raw) > memberlist.MetaMaxSize {
		return m, fmt.Errorf("metadata of %d bytes", len(raw))
	}
	err := json.Unmarshal(raw, &m)
	return m, err
}

// Validate returns all faults at once, or nil.
func (c Config) Validate() error {
	faults := []error{c.validateTimes()}
	if _, _, err := splitBind(c.Bind); err != nil {
		faults = append(faults, fmt.Errorf("bind %q: want host:port or :port", c.Bind))
	}
	if c.Advertise != "" {
		if _, _, err := splitAdvertise(c.Advertise, 1); err != nil {
			faults = append(faults, fmt.Errorf("advertise %q: want host or host:port", c.Advertise))
		}
	}
	for _, seed := range c.Seeds {
		if host, port, err := splitBind(seed); err != nil || host == "" || port == 0 {
			faults = append(faults, fmt.Errorf("seed %q: want host:port, as gateway-gossip:7946", seed))
		}
	}
	if !validIdentity(c.Identity) {
		faults = append(faults, fmt.Errorf("identity %.64q: want 1 to %d bytes without control characters", c.Identity, maxIdentity))
	}
	longest := c.Meta
	longest.Draining = true
	if _, err := longest.encode(); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

func (c Config) validateTimes() error {
	var faults []error
	for _, f := range []struct {
		name string
		d    time.Duration
	}{
		{"probe interval", c.ProbeInterval},
		{"probe timeout", c.ProbeTimeout},
		{"join interval", c.JoinEvery},
		{"rejoin interval", c.RejoinEvery},
		{"sync interval", c.SyncEvery},
		{"stream timeout", c.StreamTimeout},
		{"leave timeout", c.LeaveTimeout},
	} {
		if f.d < time.Millisecond || f.d > time.Hour {
			faults = append(faults, fmt.Errorf("%s %s: want 1ms to 1h", f.name, f.d))
		}
	}
	if c.ProbeTimeout >= c.ProbeInterval {
		faults = append(faults, fmt.Errorf("probe timeout %s: want less than the probe interval %s", c.ProbeTimeout, c.ProbeInterval))
	}
	if c.SuspicionMult < 1 || c.SuspicionMult > 10 {
		faults = append(faults, fmt.Errorf("suspicion multiplier %d: want 1 to 10", c.SuspicionMult))
	}
	return errors.Join(faults...)
}

func validIdentity(s string) bool {
	return s != "" && len(s) <= maxIdentity && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func splitBind(addr string) (host string, port int, err error) {
	host, digits, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	return host, int(n), err
}

// splitAdvertise takes the bound port where the address names none.
func splitAdvertise(addr string, bound int) (host string, port int, err error) {
	if net.ParseIP(addr) != nil || !strings.Contains(addr, ":") {
		return addr, bound, nil
	}
	if host, port, err = splitBind(addr); err != nil {
		return "", 0, err
	}
	if host == "" || port == 0 {
		return "", 0, errors.New("host or port missing")
	}
	return host, port, nil
}
