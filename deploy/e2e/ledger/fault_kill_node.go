package main

import (
	"context"
	"fmt"
	"time"
)

// killNode ends one node without warning. Its clients must be recovered on the others; then it comes back.
type killNode struct{}

func (killNode) about() about {
	return about{name: "kill-node", text: "kill -9 of a node under load, which comes back later", allRecovered: true, load: heavyLoad}
}

func (killNode) inject(ctx context.Context, s *scene) error {
	if err := s.killed(s.nodes[0]); err != nil {
		return err
	}
	if err := pause(ctx, 3*time.Second); err != nil {
		return err
	}
	if err := s.back(ctx, backBound); err != nil {
		return err
	}
	return s.relaunch(ctx, s.nodes[0])
}

func (killNode) check(_ context.Context, s *scene, _ *result) []string {
	var wrong []string
	moved := 0
	s.fleet.look(func(records []*record) {
		for id, c := range records {
			for i, one := range c.sessions[1:] {
				if c.sessions[i].node != s.nodes[0].name {
					wrong = append(wrong, fmt.Sprintf("client %d lost its connection to %s, which lived", id, c.sessions[i].node))
				}
				if one.node != s.nodes[0].name {
					moved++
				}
			}
		}
	})
	if moved == 0 {
		wrong = append(wrong, "no client was on the killed node")
	}
	return wrong
}
