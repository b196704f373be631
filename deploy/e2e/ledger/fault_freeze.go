package main

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// freeze stops a node in its tracks without ending it: what it had begun, it goes on with when the others have long
// taken over. Half of its clients lose their connection meanwhile and take their sessions to the others while it still
// holds them; the other half wait.
type freeze struct {
	moved, stayed []int // clients of the frozen node
	thawed        int64 // unix ms
}

const (
	frozenFor   = 15 * time.Second
	movedAfter  = 5 * time.Second
	leastServed = 10 * time.Second // that a client waits who stays with the frozen node
)

func (*freeze) about() about {
	return about{
		name: "freeze", text: "a node stopped by SIGSTOP for 15 s, then continued; half of its clients cut off after 5 s",
		allRecovered: true,
	}
}

func (f *freeze) inject(ctx context.Context, s *scene) error {
	n := s.nodes[0]
	f.moved, f.stayed = nil, nil
	s.fleet.look(func(records []*record) {
		for id, c := range records {
			switch {
			case c.node() != n.name:
			case (len(f.moved)+len(f.stayed))%2 == 0:
				f.moved = append(f.moved, id)
			default:
				f.stayed = append(f.stayed, id)
			}
		}
	})
	s.mark("SIGSTOP " + n.name)
	n.signal(syscall.SIGSTOP)
	defer n.signal(syscall.SIGCONT)
	if err := pause(ctx, movedAfter); err != nil {
		return err
	}
	s.mark(fmt.Sprintf("%d of %d clients of %s cut off", len(f.moved), len(f.moved)+len(f.stayed), n.name))
	for _, id := range f.moved {
		s.edge.slots[id].cut(outage)
	}
	if err := pause(ctx, frozenFor-movedAfter); err != nil {
		return err
	}
	f.thawed = time.Now().UnixMilli()
	n.signal(syscall.SIGCONT)
	s.mark("SIGCONT " + n.name)
	return s.well(ctx)
}

func (f *freeze) check(_ context.Context, s *scene, r *result) []string {
	var wrong []string
	fail := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if len(f.moved) == 0 || len(f.stayed) == 0 {
		fail("only %d clients were on the frozen node", len(f.moved)+len(f.stayed))
	}
	if served := time.Duration(r.served) * time.Millisecond; served < leastServed {
		fail("all were served again after %v: the node was not frozen", served)
	}
	late := 0
	s.fleet.look(func(records []*record) {
		for _, id := range f.moved {
			c := records[id]
			if len(c.sessions) < 2 || c.sessions[1].node == s.nodes[0].name {
				fail("client %d, whose connection was cut, did not move: %d connections", id, len(c.sessions))
			} else if c.sessions[1].up >= f.thawed {
				late++
			}
		}
	})
	if late > 0 {
		fail("%d of %d moved only after the node went on, so that nothing was taken over", late, len(f.moved))
	}
	return wrong
}
