package main

import (
	"context"
	"errors"
)

// outOfMemory makes Redis refuse every command that could need memory; it still takes acknowledgements.
type outOfMemory struct{ unchecked }

func (outOfMemory) about() about {
	return about{name: "oom", text: "Redis answers OOM for 10 s, when 100 events wait to be relayed", stayConnected: true}
}

func (outOfMemory) inject(ctx context.Context, s *scene) error {
	return refusal{
		what: "OOM",
		begin: func(ctx context.Context) error {
			return errors.Join(
				s.redis.direct.ConfigSet(ctx, "maxmemory-policy", "noeviction").Err(),
				s.redis.direct.ConfigSet(ctx, "maxmemory", "1").Err(),
			)
		},
		lift: func(ctx context.Context) error { return s.redis.direct.ConfigSet(ctx, "maxmemory", "0").Err() },
	}.inject(ctx, s)
}
