package main

import (
	"context"
	"time"
)

// clientKill closes the nodes' connections from Redis' side, again and again.
type clientKill struct{ unchecked }

func (clientKill) about() about {
	return about{name: "client-kill", text: "CLIENT KILL of all connections, every second for 10 s", stayConnected: true}
}

func (clientKill) inject(ctx context.Context, s *scene) error {
	s.mark("CLIENT KILL")
	for range 10 {
		for _, kind := range []string{"normal", "pubsub"} {
			// The harness's own connections may be among them.
			_ = s.redis.direct.ClientKillByFilter(ctx, "TYPE", kind, "SKIPME", "yes").Err()
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
	return s.well(ctx)
}
