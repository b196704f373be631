package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/teloo/realtime-gateway/deploy/bench/load"
	"github.com/teloo/realtime-gateway/deploy/e2e/hostile/attack"
)

const (
	// latecomers are good clients that come when the burst has ended, and have to be served within a time.
	latecomers = 100
	servedIn   = 2 * time.Second
	// burstAddrs is how many addresses a burst comes from.
	burstAddrs = 20
)

// burst lets many come at once whose tokens are bad, under the default limits and, since an attacker may have any number
// of addresses, without a limit by address.
func burst(ctx context.Context, f settings) (*report, error) {
	r := &report{scenario: "burst"}
	for _, limits := range []struct {
		name    string
		environ []string
	}{{"default limits", nil}, {"no limit by address", []string{"HANDSHAKE_RATE=0"}}} {
		f.progress("  %d handshakes, %s", f.handshakes, limits.name)
		if err := oneBurst(ctx, f, r, limits.name, limits.environ); err != nil {
			return r, fmt.Errorf("%s: %w", limits.name, err)
		}
	}
	return r, nil
}

func oneBurst(ctx context.Context, f settings, r *report, name string, environ []string) error {
	s, err := newStage(ctx, f, environ...)
	defer s.close()
	if err != nil {
		return err
	}
	before, err := s.node.usage()
	if err != nil {
		return err
	}
	began := time.Now()
	answers, err := attack.Burst(ctx, attack.BurstConfig{
		Addr: s.addr, Seed: f.seed, Count: f.handshakes, AtOnce: f.atOnce, Addresses: burstAddrs,
	})
	if err != nil {
		return err
	}
	took := time.Since(began)
	after, err := s.node.usage()
	if err != nil {
		return err
	}
	came := time.Now()
	fleet, stop, err := runFleet(ctx, s, load.Config{Clients: latecomers, Token: func(i int) string { return token(userOf(i)) }})
	if err != nil {
		return err
	}
	defer stop()
	served := waitReady(ctx, fleet, latecomers, 30*time.Second)
	late := time.Since(came)
	r.notef(name+": handshakes", "%d in %v from %d addresses: %s", f.handshakes, took.Round(10*time.Millisecond), burstAddrs, answersText(answers))
	r.checkf(answers[attack.BurstTaken] == 0, name+": taken with a bad token", "0", "%d", answers[attack.BurstTaken])
	r.checkf(answers[attack.BurstNoAnswer] == 0, name+": without an answer", "0", "%d", answers[attack.BurstNoAnswer])
	r.notef(name+": CPU per refused handshake", "%v", ((after.cpu - before.cpu) / time.Duration(f.handshakes)).Round(time.Microsecond))
	r.checkf(served == nil && late <= servedIn, fmt.Sprintf("%s: %d good clients served in", name, latecomers), servedIn.String(), "%v",
		late.Round(time.Millisecond))
	r.notef(name+": resident MB before, after", "%.1f, %.1f", mb(before), mb(after))
	r.checkf(s.node.running() && s.fault() == "", name+": panics, restarts", "none", "%.200s", s.fault())
	return nil
}

// answersText is the answers, the most frequent first.
func answersText(answers map[string]int) string {
	names := slices.SortedFunc(maps.Keys(answers), func(a, b string) int {
		if d := answers[b] - answers[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%d %s", answers[name], name)
	}
	return strings.Join(names, ", ")
}
