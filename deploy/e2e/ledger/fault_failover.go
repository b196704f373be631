package main

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"
)

// failover kills the master of Redis under load, a moment after its replicas were cut off from it: what it took in that
// moment it takes along. With wait, the writer and the nodes ask for a replica (WAIT), so that nobody has seen anything of
// it, and the writer writes it again. Without, what Redis lost of what it had acknowledged is stated, and nothing else may
// be missing.
type failover struct {
	kind string
	wait int
	lost int // events that Redis had acknowledged and has no more
}

func (f *failover) about() about {
	a := about{name: f.kind + "-failover", redis: f.kind, stayConnected: true, wait: f.wait}
	a.text = "kill -9 of the master of Redis (" + f.kind + ") half a second after it lost its replicas, WAIT on"
	if f.wait == 0 {
		a.name += "-async"
		a.text = "the same with WAIT off: what Redis loses is stated"
		a.lossWithNotice, a.logMayLose = true, true
	}
	return a
}

// cutFor is how long the master goes on alone: more than a client needs to be sent an event, and less than what makes
// delivery go on without replicas.
const cutFor = 500 * time.Millisecond

func (f *failover) inject(ctx context.Context, s *scene) error {
	many := s.redis.many
	old, err := many.master(ctx)
	if err != nil {
		return err
	}
	// Its replicas come back at once, and are refused.
	for _, command := range [][]any{
		{"ACL", "SETUSER", "default", "-psync", "-sync"}, {"CLIENT", "KILL", "TYPE", "replica"},
	} {
		if err := old.direct.Do(ctx, command...).Err(); err != nil {
			return fmt.Errorf("cutting off the replicas: %w", err)
		}
	}
	if err := pause(ctx, cutFor); err != nil {
		return err
	}
	s.mark("kill -9 " + old.name)
	before := s.writer.begun()
	if err := old.end(syscall.SIGKILL, 10*time.Second); err != nil {
		return err
	}
	began := time.Now()
	if err := many.replaced(ctx, old); err != nil {
		return err
	}
	s.notef("another master takes writes after %v", time.Since(began).Round(time.Millisecond))
	if err := f.settle(ctx, s, old); err != nil {
		return err
	}
	return f.count(ctx, s, before)
}

// settle starts the killed server again, which is a replica then, and waits until everything works.
func (f *failover) settle(ctx context.Context, s *scene, old *redisMember) error {
	if err := pause(ctx, 3*time.Second); err != nil {
		return err
	}
	if err := s.redis.many.launch(ctx, old); err != nil {
		return err
	}
	if err := s.well(ctx); err != nil {
		return err
	}
	return s.writerGoesOn(ctx)
}

func (s *scene) writerGoesOn(ctx context.Context) error {
	return until(ctx, "the writer goes on", time.Minute, func() error {
		if s.writer.stuck() {
			return errUnwell
		}
		return nil
	})
}

// replaced waits until another member than old has our keys and takes writes.
func (m *redisMany) replaced(ctx context.Context, old *redisMember) error {
	return until(ctx, "another master", time.Minute, func() error {
		now, err := m.master(ctx)
		if err == nil && now == old {
			err = errUnwell
		}
		if err == nil {
			err = m.client.Set(ctx, "{teloo}:ledger", 1, time.Minute).Err()
		}
		return err
	})
}

// count finds which of the events before the kill Redis has no more.
func (f *failover) count(ctx context.Context, s *scene, before int) error {
	kept, err := s.kept(ctx)
	if err != nil {
		return err
	}
	f.lost = 0
	for n := range before {
		if !kept[n] {
			f.lost++
		}
	}
	if f.wait == 0 {
		s.excused = func(n int) bool { return n < before && !kept[n] }
	}
	s.notef("%d of %d events acknowledged and lost by Redis", f.lost, before)
	return nil
}

func (f *failover) check(_ context.Context, s *scene, r *result) []string {
	s.notef("%d deliveries lost", r.total.lost)
	switch {
	case f.wait > 0 && f.lost > 0:
		return []string{fmt.Sprintf("Redis lost %d events that a replica had", f.lost)}
	case f.wait == 0 && f.lost == 0:
		return []string{"Redis lost nothing, so that nothing was shown"}
	}
	return nil
}

// switchover makes a replica of Redis its master, as for an upgrade: the old one goes on as a replica, and whoever is
// connected to it reads what it is told, or is refused. Sentinels do not tell the old master beforehand; what it takes
// until they do is lost, so that one has to wait for all replicas: another one may still follow it.
type switchover struct {
	kind string
	wait int
}

func (f switchover) about() about {
	return about{
		name: f.kind + "-switch", text: "a replica of Redis (" + f.kind + ") is made its master, WAIT on",
		redis: f.kind, wait: f.wait, stayConnected: true,
	}
}

func (f switchover) inject(ctx context.Context, s *scene) error {
	many := s.redis.many
	old, err := many.master(ctx)
	if err != nil {
		return err
	}
	s.mark("another master instead of " + old.name)
	if f.kind == sentinels {
		err = many.watch[0].direct.Do(ctx, "SENTINEL", "FAILOVER", masterName).Err()
	} else {
		err = many.replicaOf(old).direct.Do(ctx, "CLUSTER", "FAILOVER").Err()
	}
	if err != nil {
		return err
	}
	if err := many.replaced(ctx, old); err != nil {
		return err
	}
	if err := s.well(ctx); err != nil {
		return err
	}
	return s.writerGoesOn(ctx)
}

// replicaOf is the replica that a master of a Cluster was given.
func (m *redisMany) replicaOf(master *redisMember) *redisMember {
	return m.members[slices.Index(m.members, master)+3]
}

func (switchover) check(_ context.Context, s *scene, r *result) []string {
	s.notef("%d deliveries lost", r.total.lost)
	return nil
}
