package main

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"
)

const (
	drainNodes   = 3
	drainSockets = 3000 // of each node
	drainWindow  = 20 * time.Second
	drainBound   = 28 * time.Second // SHUTDOWN_TIMEOUT's default
)

// drain is the orderly end of a node that has many clients: the others must not be stormed by them.
type drain struct {
	mean, most float64 // reconnects a second of the node that had the most in one
}

func (*drain) about() about {
	return about{
		name: "drain",
		text: "a node with about 3,000 of 9,000 clients, light ones, stopped by SIGTERM: what the others get in a second is " +
			"at most twice the mean of the 20 s",
		allRecovered: true, clients: drainNodes * drainSockets, light: true,
		load: load{rate: 2, pulse: 3 * time.Second},
		env:  []string{"DRAIN_WINDOW=" + drainWindow.String(), "SHUTDOWN_TIMEOUT=" + drainBound.String()},
		// The stock client's own.
		options: map[string]any{"reconnectionDelay": 1000, "reconnectionDelayMax": 5000, "randomizationFactor": 0.5},
	}
}

func (d *drain) inject(ctx context.Context, s *scene) error {
	n := s.nodes[0]
	held := s.on(n.name)
	s.mark("SIGTERM " + n.name)
	began := time.Now()
	if err := n.end(syscall.SIGTERM, drainBound+2*time.Second); err != nil {
		return err
	}
	if code := n.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%w: %s ended with %d after SIGTERM", errUnwell, n.name, code)
	}
	s.notef("%s had %d clients and ended after %.1f s", n.name, held, time.Since(began).Seconds())
	if err := s.back(ctx, backBound); err != nil {
		return err
	}
	d.measure(s, began.UnixMilli())
	return s.relaunch(ctx, n)
}

// on is how many clients a node has.
func (s *scene) on(node string) int {
	held := 0
	s.fleet.look(func(records []*record) {
		for _, c := range records {
			if c.ready() && c.node() == node {
				held++
			}
		}
	})
	return held
}

// measure counts who connected to each node in each second since, in ms.
func (d *drain) measure(s *scene, since int64) {
	seconds := int(drainWindow / time.Second)
	perSecond := map[string][]int{}
	s.fleet.look(func(records []*record) {
		for _, c := range records {
			for _, one := range c.sessions {
				if one.up < since {
					continue
				}
				bins := perSecond[one.node]
				for at := int((one.up - since) / 1000); len(bins) <= at; {
					bins = append(bins, 0)
				}
				bins[(one.up-since)/1000]++
				perSecond[one.node] = bins
			}
		}
	})
	for node, bins := range perSecond {
		total := 0
		for _, n := range bins {
			total += n
		}
		mean, most := float64(total)/float64(seconds), float64(slices.Max(bins))
		s.notef("%s: %d reconnects, in each second %v, at most %.2f times the mean of %.0f", node, total, bins, most/mean, mean)
		if most > d.most {
			d.mean, d.most = mean, most
		}
	}
}

func (d *drain) check(_ context.Context, _ *scene, r *result) []string {
	var wrong []string
	if d.most > 2*d.mean {
		wrong = append(wrong, fmt.Sprintf("%.0f reconnects in a second, the mean being %.0f", d.most, d.mean))
	}
	if r.reconnects < drainSockets/2 {
		wrong = append(wrong, fmt.Sprintf("only %d reconnects", r.reconnects))
	}
	return wrong
}
