package main

import (
	"context"
	"errors"
	"os"
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
	return s.redisBack(ctx)
}

func (s *scene) redisBack(ctx context.Context) error {
	if err := s.redis.launch(ctx); err != nil {
		return err
	}
	s.set.progress("  redis-server is back")
	return s.well(ctx)
}

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

// aofCut takes Redis back in time by a second: what it had acknowledged then is gone from it, though clients have it.
type aofCut struct{}

func (aofCut) about() about {
	return about{
		name: "aof-cut", text: "redis-server killed and the last second of its AOF cut off before the restart",
		lossWithNotice: true, logMayLose: true,
	}
}

func (aofCut) inject(ctx context.Context, s *scene) error {
	path, length, err := s.redis.aof()
	if err != nil {
		return err
	}
	if err := pause(ctx, time.Second); err != nil {
		return err
	}
	// An event whose acknowledgement was lost together with its trace would have to be written again: nobody could know.
	release := s.writer.hold()
	defer func() { release() }()
	before := s.writer.begun()
	s.mark("kill -9 redis-server")
	if err := s.redis.kill(); err != nil {
		return err
	}
	// Redis writes whole commands, and drops one that is cut in its middle when it starts.
	if err := os.Truncate(path, length); err != nil {
		return err
	}
	if err := s.redis.launch(ctx); err != nil {
		return err
	}
	kept, err := s.kept(ctx)
	if err != nil {
		return err
	}
	s.excused = func(n int) bool { return n < before && !kept[n] }
	s.notef("%d of %d events lost by Redis", before-len(kept), before)
	release()
	release = func() {}
	if err := pause(ctx, 5*time.Second); err != nil {
		return err
	}
	return s.well(ctx)
}

// kept are the events that Redis still has. The event stream is read first: what a node moves meanwhile is in the log.
func (s *scene) kept(ctx context.Context) (map[int]bool, error) {
	kept := map[int]bool{}
	for _, stream := range []string{eventStream, "{teloo}:log"} {
		numbers, err := numbersOf(ctx, s.redis.direct, stream)
		if err != nil {
			return nil, err
		}
		for _, n := range numbers {
			kept[n] = true
		}
	}
	return kept, nil
}

func (aofCut) check(_ context.Context, s *scene, r *result) []string {
	s.notef("%d deliveries lost", r.total.lost)
	return nil
}

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
