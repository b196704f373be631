package main

import (
	"context"
	"time"
)

// control is no fault: what fails here is wrong with the gateway, or with the harness, at the best of times.
type control struct{ unchecked }

func (control) about() about {
	return about{name: "control", text: "nothing goes wrong", stayConnected: true}
}

func (control) inject(ctx context.Context, s *scene) error {
	s.mark("nothing")
	return pause(ctx, 5*time.Second)
}
