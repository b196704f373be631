package main

import (
	"context"
	"fmt"
	"syscall"
)

// rolling is a deployment: each node is stopped in order and started again before the next. As there, nobody looks at
// the clients meanwhile: the next is stopped as soon as all nodes say that they are ready.
type rolling struct{}

func (rolling) about() about {
	return about{name: "rolling", text: "every node stopped by SIGTERM and started anew, one after the other", allRecovered: true}
}

func (rolling) inject(ctx context.Context, s *scene) error {
	for _, n := range s.nodes {
		s.mark("SIGTERM " + n.name)
		if err := n.end(syscall.SIGTERM, stopBound); err != nil {
			return err
		}
		if code := n.cmd.ProcessState.ExitCode(); code != 0 {
			return fmt.Errorf("%w: %s ended with %d after SIGTERM", errUnwell, n.name, code)
		}
		if err := s.relaunch(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (rolling) check(_ context.Context, s *scene, _ *result) []string {
	var wrong []string
	s.fleet.look(func(records []*record) {
		if node := togetherAway(records); node != "" {
			wrong = append(wrong, node)
		}
	})
	return wrong
}

// togetherAway says when clients of two nodes were away at the same time; "" if they never were.
func togetherAway(records []*record) string {
	type absence struct {
		from, to int64
		node     string
	}
	var all []absence
	for _, c := range records {
		for i, one := range c.sessions {
			if one.down > 0 && i+1 < len(c.sessions) {
				all = append(all, absence{from: one.down, to: c.sessions[i+1].up, node: one.node})
			}
		}
	}
	for i, a := range all {
		for _, b := range all[:i] {
			if a.node != b.node && a.from < b.to && b.from < a.to {
				return fmt.Sprintf("clients of %s and of %s were away together", a.node, b.node)
			}
		}
	}
	return ""
}
