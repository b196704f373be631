package main

import (
	"context"
	"syscall"
	"time"
)

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
