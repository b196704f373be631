package main

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// killNode ends one node without warning. Its clients must be recovered on the others; then it comes back.
type killNode struct{}

func (killNode) about() about {
	return about{name: "kill-node", text: "kill -9 of a node under load, which comes back later", allRecovered: true}
}

func (killNode) inject(ctx context.Context, s *scene) error {
	if err := s.killed(ctx, s.nodes[0]); err != nil {
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

func (s *scene) killed(_ context.Context, n *gateway) error {
	s.mark("kill -9 " + n.name)
	return n.end(syscall.SIGKILL, 10*time.Second)
}

func (s *scene) relaunch(ctx context.Context, nodes ...*gateway) error {
	for _, n := range nodes {
		if err := s.launch(n); err != nil {
			return err
		}
	}
	return s.well(ctx)
}

// killTwo leaves one of three nodes.
type killTwo struct{ unchecked }

func (killTwo) about() about {
	return about{name: "kill-two", text: "kill -9 of two nodes of three, one after the other", allRecovered: true}
}

func (killTwo) inject(ctx context.Context, s *scene) error {
	two := s.nodes[:max(1, min(2, len(s.nodes)-1))]
	for _, n := range two {
		if err := s.killed(ctx, n); err != nil {
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

// rolling is a deployment: each node is stopped in order and started again before the next.
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
		if err := s.back(ctx, backBound); err != nil {
			return err
		}
		if err := s.relaunch(ctx, n); err != nil {
			return err
		}
		// Until the load balancer has noticed.
		if err := pause(ctx, 4*time.Second); err != nil {
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

// freeze stops a node in its tracks without ending it: what it had begun, it goes on with when the others have long
// taken over.
type freeze struct{ unchecked }

func (freeze) about() about {
	return about{name: "freeze", text: "a node stopped by SIGSTOP for 15 s, then continued"}
}

func (freeze) inject(ctx context.Context, s *scene) error {
	n := s.nodes[0]
	s.mark("SIGSTOP " + n.name)
	n.signal(syscall.SIGSTOP)
	err := pause(ctx, 15*time.Second)
	n.signal(syscall.SIGCONT)
	s.mark("SIGCONT " + n.name)
	if err != nil {
		return err
	}
	return s.well(ctx)
}

// lagging sends clients to a node that reads the log later than the one they come from: what they have had already
// must not reach them again when that node comes to it.
type lagging struct{}

func (lagging) about() about {
	return about{name: "lagging", text: "clients of a killed node reconnect to one whose reader is 700 ms behind", allRecovered: true}
}

func (lagging) inject(ctx context.Context, s *scene) error {
	slow := len(s.nodes) - 1
	if err := s.redis.toxic("latency", map[string]any{"latency": 700}, false, slow); err != nil {
		return err
	}
	if err := pause(ctx, 4*time.Second); err != nil {
		return err
	}
	if err := s.killed(ctx, s.nodes[0]); err != nil {
		return err
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
	return s.relaunch(ctx, s.nodes[0])
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
