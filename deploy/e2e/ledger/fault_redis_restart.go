package main

import (
	"context"
	"time"
)

// redisRestart kills Redis, whose AOF holds all that it acknowledged, and starts it again.
type redisRestart struct{ unchecked }

func (redisRestart) about() about {
	return about{name: "redis-restart", text: "kill -9 of redis-server with AOF always, restarted after 5 s", stayConnected: true}
}

func (redisRestart) inject(ctx context.Context, s *scene) error {
	s.mark("kill -9 redis-server")
	if err := s.redis.kill(); err != nil {
		return err
	}
	if err := pause(ctx, 5*time.Second); err != nil {
		return err
	}
	if err := s.redis.launch(ctx); err != nil {
		return err
	}
	s.set.progress("  redis-server is back")
	return s.well(ctx)
}
