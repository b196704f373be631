package main

import (
	"context"
	"time"

	"github.com/teloo/realtime-gateway/deploy/e2e/hostile/attack"
)

// kinds plays one kind of attack after the other, with nobody else there, and says what each costs the node.
func kinds(ctx context.Context, f settings) (*report, error) {
	r := &report{scenario: "kinds", attacks: attack.Counts{}}
	s, err := newStage(ctx, f, "HANDSHAKE_RATE=0")
	defer s.close()
	if err != nil {
		return r, err
	}
	names := attack.KindNames()
	each := f.duration / time.Duration(len(names))
	for _, name := range names {
		before, err := s.node.usage()
		if err != nil {
			return r, err
		}
		counts, err := f.attack(ctx, order{
			Addr: s.addr, Seed: f.seed, Attackers: f.attackers, Rate: f.rate, Only: name, For: each, Hold: each / 2,
		})
		if err != nil {
			return r, err
		}
		after, err := s.node.usage()
		if err != nil {
			return r, err
		}
		n := counts.Total()
		r.attacks[name] = counts[name]
		r.notef(name, "%v CPU an attack, of %d", ((after.cpu - before.cpu) / time.Duration(max(n, 1))).Round(10*time.Microsecond), n)
	}
	fault := s.fault()
	r.checkf(s.node.running() && fault == "", "panics, restarts", "none", "%.200s", fault)
	return r, nil
}
