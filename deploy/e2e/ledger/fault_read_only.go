package main

import (
	"context"
	"errors"
	"time"
)

// readOnly makes Redis a replica for a while, as after a failover that the nodes have not noticed.
type readOnly struct{ unchecked }

func (readOnly) about() about {
	return about{name: "read-only", text: "Redis answers READONLY, as a replica, for 10 s", stayConnected: true}
}

func (readOnly) inject(ctx context.Context, s *scene) error {
	port, err := freePort() // where nobody listens
	if err != nil {
		return err
	}
	s.mark("READONLY")
	if err := s.redis.direct.Do(ctx, "REPLICAOF", "127.0.0.1", port).Err(); err != nil {
		return err
	}
	err = pause(ctx, 10*time.Second)
	if err := errors.Join(err, s.redis.direct.Do(ctx, "REPLICAOF", "NO", "ONE").Err()); err != nil {
		return err
	}
	return s.well(ctx)
}
