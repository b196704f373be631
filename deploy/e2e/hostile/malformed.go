package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/teloo/realtime-gateway/deploy/e2e/hostile/attack"
)

// quantile is what the good clients' latency is judged by.
const quantile = 0.99

// worse is how many times as slow the good clients may be served under attack.
const worse = 2

// releasedIn is how long memory is watched being given back. How much is kept is the runtime's business.
const releasedIn = 20 * time.Second

// hold is how long an attack that only stays does so.
const hold = 5 * time.Second

// malformed sends everything that no client should, while good clients receive events.
func malformed(ctx context.Context, f settings) (*report, error) {
	r := &report{scenario: "malformed"}
	// Attackers have few addresses here; that handshakes are limited is burst's matter.
	s, err := newStage(ctx, f, "HANDSHAKE_RATE=0")
	defer s.close()
	if err != nil {
		return r, err
	}
	pid := s.node.pid()
	c, err := gather(ctx, s, f.clients)
	if err != nil {
		return r, err
	}
	defer c.leave()
	// What the first connects and events leave behind is not the attack's.
	if _, err := c.during(ctx, f.reference/10, nothing); err != nil {
		return r, err
	}
	f.progress("  %d good clients alone for %v", f.clients, f.reference)
	alone, err := c.during(ctx, f.reference, nothing)
	if err != nil {
		return r, err
	}
	before, err := s.node.usage()
	if err != nil {
		return r, err
	}
	f.progress("  under attack for %v", f.duration)
	began := time.Now()
	attacked, err := c.during(ctx, time.Second, func(ctx context.Context) (err error) {
		r.attacks, err = f.attack(ctx, order{
			Addr: s.addr, Seed: f.seed, Attackers: f.attackers, Rate: f.rate, First: f.first, Count: f.count, Only: f.only,
			For: f.duration, Hold: min(hold, f.duration),
		})
		return err
	})
	took := time.Since(began)
	if err != nil {
		return r, fmt.Errorf("%w; the node's log: %s", err, s.fault())
	}
	during, err := s.node.usage()
	if err != nil {
		return r, err
	}
	r.notef("attacks", "%d in %v, %d kinds", r.attacks.Total(), took.Round(time.Second), len(r.attacks))
	r.checkf(r.attacks.Total(attack.Failed) == 0, "answers with 500", "0", "%d", r.attacks.Total(attack.Failed))
	r.checkf(r.attacks.Total() > 0 && r.attacks.Total(attack.Unreached) <= r.attacks.Total()/20, "attacks that did not come about", "5 %", "%d",
		r.attacks.Total(attack.Unreached))
	r.tally("alone", alone)
	r.tally("under attack", attacked)
	p99, was := attacked.latency.Quantile(quantile), alone.latency.Quantile(quantile)
	r.checkf(p99 <= worse*was, "p99 under attack / alone", "2", "%.2f", float64(p99)/float64(max(was, 1)))
	r.notef("node's CPU under attack", "%.0f %% of a core, %v an attack", 100*(during.cpu-before.cpu).Seconds()/took.Seconds(),
		((during.cpu - before.cpu) / time.Duration(max(r.attacks.Total(), 1))).Round(time.Microsecond))
	aftermath(ctx, f, s, r, remains{pid: pid, before: before, during: during, connections: f.clients})
	return r, nil
}

func nothing(context.Context) error { return nil }

// remains is what the node should be left with.
type remains struct {
	pid            int
	before, during usage
	connections    int
}

// share is what a figure may be above what it was.
func share(n int) int { return n + n/20 }

// aftermath waits until nothing is left of the attackers. Goroutines and heap cannot be seen from outside; they are
// looked at by a test of cmd/gateway, which is attacked in the same way.
func aftermath(ctx context.Context, f settings, s *stage, r *report, want remains) {
	f.progress("  waiting until nothing is left of the attackers")
	began := time.Now()
	var after usage
	var connections int
	waited := until(ctx, "nothing is left", f.settle, func() (err error) {
		if after, err = s.node.usage(); err != nil {
			return err
		}
		if connections, err = s.connections(ctx); err != nil {
			return err
		}
		if after.files > share(want.before.files) || connections != want.connections {
			return errors.New("there is more than before")
		}
		return nil
	})
	r.checkf(waited == nil, "nothing left of the attackers", f.settle.String(), "%v", time.Since(began).Round(time.Second))
	r.checkf(connections == want.connections, "connections in /stats", strconv.Itoa(want.connections), "%d", connections)
	r.checkf(after.files <= share(want.before.files), "files before, after", "+5 %", "%d, %d", want.before.files, after.files)
	r.notef("threads before, after", "%d, %d", want.before.threads, after.threads)
	_ = until(ctx, "memory is given back", releasedIn, func() (err error) {
		if after, err = s.node.usage(); err == nil && mb(after) > 1.2*mb(want.before) {
			err = errors.New("not yet")
		}
		return err
	})
	r.notef("resident MB before, under attack, after", "%.1f, %.1f, %.1f", mb(want.before), mb(want.during), mb(after))
	r.checkf(s.node.running() && s.node.pid() == want.pid, "restarts", "0", "%d", map[bool]int{false: 1}[s.node.running()])
	fault := s.fault()
	r.checkf(fault == "", "panics in the log", "none", "%.200s", fault)
}

func mb(u usage) float64 { return float64(u.residentKB) / 1024 }
