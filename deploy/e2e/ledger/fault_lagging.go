package main

import (
	"context"
	"time"
)

// lagging sends clients to a node that reads the log later than the one they come from: what they have had already
// must not reach them again when that node comes to it.
type lagging struct{}

func (lagging) about() about {
	return about{name: "lagging", text: "clients of killed nodes reconnect to the one that is left, whose reader is 700 ms behind", allRecovered: true}
}

func (lagging) inject(ctx context.Context, s *scene) error {
	slow := len(s.nodes) - 1
	if err := s.redis.toxic("latency", map[string]any{"latency": 700}, false, slow); err != nil {
		return err
	}
	if err := pause(ctx, 4*time.Second); err != nil {
		return err
	}
	for _, n := range s.nodes[:slow] {
		if err := s.killed(n); err != nil {
			return err
		}
	}
	if err := pause(ctx, 6*time.Second); err != nil {
		return err
	}
	if err := s.back(ctx, backBound); err != nil {
		return err
	}
	if err := s.redis.heal(ctx); err != nil {
		return err
	}
	for _, n := range s.nodes[:slow] {
		if err := s.relaunch(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (lagging) check(_ context.Context, s *scene, _ *result) []string {
	slow := s.nodes[len(s.nodes)-1].name
	came := 0
	s.fleet.look(func(records []*record) {
		for _, c := range records {
			for i, one := range c.sessions[1:] {
				if one.node == slow && c.sessions[i].node != slow {
					came++
				}
			}
		}
	})
	if came == 0 {
		return []string{"no client came to the node that is behind"}
	}
	s.notef("%d clients came to the node that is behind", came)
	return nil
}
