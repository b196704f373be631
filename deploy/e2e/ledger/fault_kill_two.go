package main

import (
	"context"
	"time"
)

// killTwo leaves one of three nodes.
type killTwo struct{ unchecked }

func (killTwo) about() about {
	return about{name: "kill-two", text: "kill -9 of two nodes of three, one after the other", allRecovered: true, load: heavyLoad}
}

func (killTwo) inject(ctx context.Context, s *scene) error {
	two := s.nodes[:max(1, min(2, len(s.nodes)-1))]
	for _, n := range two {
		if err := s.killed(n); err != nil {
			return err
		}
		// Long enough for clients to have come to the next to be killed, too short for everything to have settled.
		if err := pause(ctx, 3*time.Second); err != nil {
			return err
		}
	}
	if err := s.back(ctx, backBound); err != nil {
		return err
	}
	return s.relaunch(ctx, two...)
}
