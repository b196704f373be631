package main

import (
	"context"
)

// readOnly makes Redis a replica for a while, as after a failover that the nodes have not noticed.
type readOnly struct{ unchecked }

func (readOnly) about() about {
	return about{
		name: "read-only", text: "Redis answers READONLY, as a replica, for 10 s, when 100 events wait to be relayed",
		stayConnected: true,
	}
}

func (readOnly) inject(ctx context.Context, s *scene) error {
	port, err := freePort() // where nobody listens
	if err != nil {
		return err
	}
	return refusal{
		what:  "READONLY",
		begin: func(ctx context.Context) error { return s.redis.direct.Do(ctx, "REPLICAOF", "127.0.0.1", port).Err() },
		lift:  func(ctx context.Context) error { return s.redis.direct.Do(ctx, "REPLICAOF", "NO", "ONE").Err() },
	}.inject(ctx, s)
}
