package main

import (
	"context"
	"time"
)

// redisAway keeps the nodes from Redis, first silently, then by refusal, and then makes it slow.
type redisAway struct{ unchecked }

func (redisAway) about() about {
	return about{
		name: "redis-away", text: "Redis unreachable for 30 s (15 s silent, 15 s refusing), then 200 ms slow for 30 s",
		stayConnected: true,
	}
}

func (redisAway) inject(ctx context.Context, s *scene) error {
	s.mark("redis silent")
	if err := s.redis.toxic("timeout", map[string]any{"timeout": 0}, true); err != nil {
		return err
	}
	if err := pause(ctx, 15*time.Second); err != nil {
		return err
	}
	s.set.progress("  redis refuses")
	s.redis.refuse()
	if err := pause(ctx, 15*time.Second); err != nil {
		return err
	}
	if err := s.redis.heal(ctx); err != nil {
		return err
	}
	s.mark("redis slow")
	if err := s.redis.toxic("latency", map[string]any{"latency": 200}, false); err != nil {
		return err
	}
	if err := pause(ctx, 30*time.Second); err != nil {
		return err
	}
	if err := s.redis.heal(ctx); err != nil {
		return err
	}
	return s.well(ctx)
}
