package presence

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Config is what one node's presence needs. DefaultConfig holds the defaults; Node and Name have none.
type Config struct {
	Prefix  string // of every key; with a hash tag, since scripts touch several keys. Default "{teloo}"
	Node    string // this process' identity, "name:incarnation"
	Name    string // the node's name: the lowest live one leads
	Addr    string // the node's HTTP address, shown in Stats; may be empty
	Version string // of the program, shown in Stats; may be empty
	LogKey  string // the stream that user_joined and user_left are appended to. Default "{teloo}:log"

	FlushEvery     time.Duration // changes are collected this long before they are written, while many come three times as long. Default 100 ms
	HeartbeatEvery time.Duration // default 1 s
	HeartbeatDead  time.Duration // a heartbeat older than this, by Redis' clock, is a lost host's. Default 6 s
	AbsentFor      time.Duration // an absent subscriber has to stay absent this long. Default 1 s
	ReconnectGrace time.Duration // no reaping this soon after the own connection was disturbed. Default 3 s
	LeaveGrace     time.Duration // user_left waits this long, and the longest collecting, for the user to come back. Default 5 s
	Window         time.Duration // a dead node's end time is kept this long. Default 2 min
	StopTimeout    time.Duration // what the clean leave may take. Default 3 s

	Roles     []string // the roles counted in Stats.ByRole. Default admin, advisor, client
	ReapBatch int      // fields a script call may touch, 1 to 5,000. Default 500
	Sharded   bool     // Redis Cluster: the alive channel is a sharded one. Default false
}

// DefaultConfig returns the defaults; the caller fills in Node and Name.
func DefaultConfig() Config {
	return Config{
		Prefix:         "{teloo}",
		LogKey:         "{teloo}:log",
		FlushEvery:     100 * time.Millisecond,
		HeartbeatEvery: time.Second,
		HeartbeatDead:  6 * time.Second,
		AbsentFor:      time.Second,
		ReconnectGrace: 3 * time.Second,
		LeaveGrace:     5 * time.Second,
		Window:         2 * time.Minute,
		StopTimeout:    3 * time.Second,
		Roles:          []string{"admin", "advisor", "client"},
		ReapBatch:      500,
	}
}

// maxBatch keeps a script call's arguments, and the time it holds Redis, small.
const maxBatch = 5000

// Validate reports every fault at once, nil if there is none.
func (c Config) Validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf("presence: "+format, args...))
		}
	}
	for _, s := range []struct{ name, value string }{
		{"Prefix", c.Prefix}, {"Node", c.Node}, {"Name", c.Name}, {"LogKey", c.LogKey},
	} {
		fault(s.value == "", "%s is empty", s.name)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"FlushEvery", c.FlushEvery},
		{"HeartbeatEvery", c.HeartbeatEvery},
		{"HeartbeatDead", c.HeartbeatDead},
		{"AbsentFor", c.AbsentFor},
		{"ReconnectGrace", c.ReconnectGrace},
		{"LeaveGrace", c.LeaveGrace},
		{"Window", c.Window},
		{"StopTimeout", c.StopTimeout},
	} {
		fault(d.value < time.Millisecond, "%s is %v, needs at least 1ms", d.name, d.value)
	}
	fault(c.HeartbeatDead < 3*c.HeartbeatEvery, "HeartbeatDead %v is under three times HeartbeatEvery %v", c.HeartbeatDead, c.HeartbeatEvery)
	fault(c.ReapBatch < 1 || c.ReapBatch > maxBatch, "ReapBatch is %d, needs 1 to %d", c.ReapBatch, maxBatch)
	fault(len(c.Roles) == 0, "Roles is empty")
	fault(c.Sharded && !hashTagged(c.Prefix), "Prefix %q has no hash tag, which a Redis Cluster needs", c.Prefix)
	return errors.Join(faults...)
}

func hashTagged(prefix string) bool {
	open := strings.IndexByte(prefix, '{')
	return open >= 0 && strings.IndexByte(prefix[open:], '}') > 1
}
