package main

import (
	"context"
	"errors"
	"time"
)

// outOfMemory makes Redis refuse every command that could need memory.
type outOfMemory struct{ unchecked }

func (outOfMemory) about() about {
	return about{name: "oom", text: "Redis answers OOM for 10 s", stayConnected: true}
}

func (outOfMemory) inject(ctx context.Context, s *scene) error {
	s.mark("OOM")
	err := errors.Join(
		s.redis.direct.ConfigSet(ctx, "maxmemory-policy", "noeviction").Err(),
		s.redis.direct.ConfigSet(ctx, "maxmemory", "1").Err(),
	)
	if err == nil {
		err = pause(ctx, 10*time.Second)
	}
	if err := errors.Join(err, s.redis.direct.ConfigSet(ctx, "maxmemory", "0").Err()); err != nil {
		return err
	}
	return s.well(ctx)
}
