package main

import (
	"context"
	"time"
)

// flush takes everything from Redis, sessions, log and presence included. Clients may lose events, but not unknowingly.
type flush struct{}

func (flush) about() about {
	return about{name: "flush", text: "FLUSHALL under load", lossWithNotice: true, logMayLose: true}
}

func (flush) inject(ctx context.Context, s *scene) error {
	s.mark("FLUSHALL")
	if err := s.redis.direct.FlushAll(ctx).Err(); err != nil {
		return err
	}
	if err := s.grant(ctx); err != nil {
		return err
	}
	if err := pause(ctx, 5*time.Second); err != nil {
		return err
	}
	return s.well(ctx)
}

func (flush) check(_ context.Context, s *scene, r *result) []string {
	s.notef("%d lost to the flush, %d of them without notice", r.total.lost, r.total.silent)
	return nil
}
