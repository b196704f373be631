package main

import (
	"context"
	"time"
)

// cuts is a bad mobile network: every client's connection breaks every few seconds.
type cuts struct{ unchecked }

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
