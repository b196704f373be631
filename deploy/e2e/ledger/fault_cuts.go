package main

import (
	"context"
	"fmt"
	"time"
)

// cuts is a bad mobile network: every client's connection breaks every few seconds.
type cuts struct{}

func (cuts) about() about {
	return about{name: "cuts", text: "every client's TCP connection cut at random every 1 to 5 s, for 20 s", allRecovered: true}
}

func (cuts) inject(ctx context.Context, s *scene) error {
	s.mark("cutting")
	cutting, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	s.edge.harass(cutting, time.Second, 5*time.Second)
	s.set.progress("  no longer cutting")
	return ctx.Err()
}

// leastCuts is how often a client must have come back; 20 s have time for 4 to 20 cuts.
const leastCuts = 2

func (cuts) check(_ context.Context, s *scene, _ *result) []string {
	var wrong []string
	s.fleet.look(func(records []*record) {
		for id, c := range records {
			if back := len(c.sessions) - 1; back < leastCuts {
				wrong = append(wrong, fmt.Sprintf("client %d came back %d times only", id, back))
			}
		}
	})
	return wrong
}
