package node

import (
	"errors"
	"fmt"
	"time"
)

// Config holds what one node is told about itself. DefaultConfig gives the defaults.
type Config struct {
	// Name is shown to clients in `connected`; default none, required.
	Name string
	// SessionSecret authenticates the ids of Engine.IO sessions, the same on all nodes; default a random one.
	SessionSecret []byte
	// Path is where the Socket.IO server is mounted; default "/socket.io/".
	Path string
	// MaxConnections bounds this node's sockets; default 10,000, 1 to 1,000,000.
	MaxConnections int
	// MaxRooms bounds the solicitud rooms of one socket; default 256, 1 to 10,000.
	MaxRooms int
	// PingInterval and PingTimeout are Engine.IO's heartbeat; default 25 s and 20 s.
	PingInterval, PingTimeout time.Duration
	// ConnectTimeout is how long a transport may stay without a namespace; default 10 s.
	ConnectTimeout time.Duration
	// AdmitTimeout bounds token check, connect budget and taking over a session of one connect; default 7 s. With the 2 s
	// that finding the session may take before, less than ConnectTimeout, which would else close the connection before
	// the refusal is told.
	AdmitTimeout time.Duration
	// MaxPayload bounds one message from a client, in bytes; default 100,000, 1 KiB to 16 MiB.
	MaxPayload int64
	// AllowEIO3 serves clients of Socket.IO 2, too, whose token may stand in the query; default false.
	AllowEIO3 bool
	// Origins are the browser origins that may connect, "*" for any; default none but the node's own host.
	Origins []string
	// DrainWindow bounds how long Drain takes, and is what the reconnects of many clients are spread over; default 20 s.
	DrainWindow time.Duration
	// TokenNotice is how long before its exp a client is told that its token expires; default 60 s, 0 to 1 h.
	TokenNotice time.Duration
	// TokenLeeway is how long after its exp the Verifier takes a token, and so its socket lives; default 30 s, 0 to 5 min.
	TokenLeeway time.Duration
}

// DefaultConfig is the one place of this package's defaults.
func DefaultConfig() Config {
	return Config{
		Path:           "/socket.io/",
		MaxConnections: 10_000,
		MaxRooms:       256,
		PingInterval:   25 * time.Second,
		PingTimeout:    20 * time.Second,
		ConnectTimeout: 10 * time.Second,
		AdmitTimeout:   7 * time.Second,
		MaxPayload:     100_000,
		DrainWindow:    20 * time.Second,
		TokenNotice:    time.Minute,
		TokenLeeway:    30 * time.Second,
	}
}

// Validate reports every fault of c, joined.
func (c Config) Validate() error {
	var faults []error
	check := func(ok bool, field string, value any, want string) {
		if !ok {
			faults = append(faults, fmt.Errorf("node: %s is %v, want %s", field, value, want))
		}
	}
	check(c.Name != "", "Name", `""`, "a name")
	check(len(c.Path) > 1 && c.Path[0] == '/' && c.Path[len(c.Path)-1] == '/', "Path", c.Path, "/…/")
	check(c.MaxConnections >= 1 && c.MaxConnections <= 1_000_000, "MaxConnections", c.MaxConnections, "1 to 1000000")
	check(c.MaxRooms >= 1 && c.MaxRooms <= 10_000, "MaxRooms", c.MaxRooms, "1 to 10000")
	check(c.PingInterval > 0, "PingInterval", c.PingInterval, "more than 0")
	check(c.PingTimeout > 0, "PingTimeout", c.PingTimeout, "more than 0")
	check(c.ConnectTimeout > 0, "ConnectTimeout", c.ConnectTimeout, "more than 0")
	check(c.AdmitTimeout > 0 && c.AdmitTimeout < c.ConnectTimeout, "AdmitTimeout", c.AdmitTimeout, "more than 0, less than ConnectTimeout")
	check(c.MaxPayload >= 1<<10 && c.MaxPayload <= 16<<20, "MaxPayload", c.MaxPayload, "1024 to 16777216")
	check(c.DrainWindow > 0, "DrainWindow", c.DrainWindow, "more than 0")
	check(c.TokenNotice >= 0 && c.TokenNotice <= time.Hour, "TokenNotice", c.TokenNotice, "0 to 1h")
	check(c.TokenLeeway >= 0 && c.TokenLeeway <= 5*time.Minute, "TokenLeeway", c.TokenLeeway, "0 to 5m")
	return errors.Join(faults...)
}
