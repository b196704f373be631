package main

import (
	"context"
	"os"
	"time"
)

// aofCut takes Redis back in time by a second: what it had acknowledged then is gone from it, though clients have it.
type aofCut struct {
	lost int // events that Redis had acknowledged and has no more
}

func (*aofCut) about() about {
	return about{
		name: "aof-cut", text: "redis-server killed and the last second of its AOF cut off before the restart",
		lossWithNotice: true, logMayLose: true,
	}
}

func (a *aofCut) inject(ctx context.Context, s *scene) error {
	path, length, err := s.redis.aof()
	if err != nil {
		return err
	}
	if err := pause(ctx, time.Second); err != nil {
		return err
	}
	a.lost = 0
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
	a.lost = before - len(kept)
	s.notef("%d of %d events lost by Redis", a.lost, before)
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
		numbers, err := numbersOf(ctx, s.redis.direct, stream, "-")
		if err != nil {
			return nil, err
		}
		for _, n := range numbers {
			kept[n] = true
		}
	}
	return kept, nil
}

func (a *aofCut) check(_ context.Context, s *scene, r *result) []string {
	s.notef("%d deliveries lost", r.total.lost)
	if a.lost <= 0 {
		return []string{"Redis lost nothing"}
	}
	return nil
}
