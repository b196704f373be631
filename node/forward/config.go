package forward

import (
	"errors"
	"fmt"
	"time"
)

// Config holds what a Forwarder is told. DefaultConfig gives the defaults; Secret has none.
type Config struct {
	// Secret proves both ends of the hop, the same on all nodes; required. It is never sent.
	Secret []byte
	// Off makes this node pass nothing on; what others pass on to it is served all the same. Default false.
	Off bool
	// DialTimeout is how long a connection to another node may take to make, and then that node to prove itself; default
	// 1 s.
	DialTimeout time.Duration
	// AnswerTimeout is how long another node may take to answer, more than the ping interval, since a poll waits for
	// that; default 60 s.
	AnswerTimeout time.Duration
	// StallTimeout is how long a client may take nothing at all while an answer, or a message, waits for it, or another
	// node nothing of a request or message; default 30 s.
	StallTimeout time.Duration
	// IdleTimeout is how long a connection between nodes is kept without a request, less than the other node keeps it;
	// default 90 s.
	IdleTimeout time.Duration
	// MaxIdle is how many of these are kept for each node; default 512, 1 to 100,000.
	MaxIdle int
	// MaxPolls and MaxWebSockets are how many requests, and WebSockets, are passed on at a time; beyond, they are answered
	// as of an unknown session. Default 10,000 each, 1 to 10,000,000.
	MaxPolls, MaxWebSockets int
	// MaxPayload is how much of a request's body is passed on, but for one more byte by which the other node sees that it
	// is too much; default 100,000 bytes, 1 or more.
	MaxPayload int64
	// MarkAge is how far the clocks of two nodes may differ, and how long a captured mark is of use; default 10 s.
	MarkAge time.Duration
}

// DefaultConfig is the one place of this package's defaults.
func DefaultConfig() Config {
	return Config{
		DialTimeout: time.Second, AnswerTimeout: time.Minute, StallTimeout: 30 * time.Second, IdleTimeout: 90 * time.Second,
		MaxIdle: 512, MaxPolls: 10_000, MaxWebSockets: 10_000, MaxPayload: 100_000, MarkAge: 10 * time.Second,
	}
}

// Validate reports every fault of c, joined.
func (c Config) Validate() error {
	var faults []error
	check := func(ok bool, field string, value any, want string) {
		if !ok {
			faults = append(faults, fmt.Errorf("forward: %s is %v, want %s", field, value, want))
		}
	}
	check(len(c.Secret) > 0, "Secret", "empty", "a secret")
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"DialTimeout", c.DialTimeout},
		{"AnswerTimeout", c.AnswerTimeout},
		{"StallTimeout", c.StallTimeout},
		{"IdleTimeout", c.IdleTimeout},
		{"MarkAge", c.MarkAge},
	} {
		check(d.value > 0, d.field, d.value, "more than 0")
	}
	check(c.MaxIdle >= 1 && c.MaxIdle <= 100_000, "MaxIdle", c.MaxIdle, "1 to 100000")
	check(c.MaxPolls >= 1 && c.MaxPolls <= 10_000_000, "MaxPolls", c.MaxPolls, "1 to 10000000")
	check(c.MaxWebSockets >= 1 && c.MaxWebSockets <= 10_000_000, "MaxWebSockets", c.MaxWebSockets, "1 to 10000000")
	check(c.MaxPayload >= 1, "MaxPayload", c.MaxPayload, "1 or more")
	return errors.Join(faults...)
}
