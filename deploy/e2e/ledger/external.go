package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"
)

// target is a cluster that somebody else runs, in place of one that is started here.
type target struct {
	address string // of the load balancer, host:port; "": none, the harness runs its own
	redis   string // host:port; nothing else may write events there meanwhile
	harm    string // a shell command
	label   string // of the report
	light   bool
}

// harmed is a fault that a command makes, and mends, while it runs.
type harmed struct {
	unchecked
	target
}

func (h harmed) about() about {
	return about{name: h.label, text: h.harm, allRecovered: true, light: h.light}
}

func (h harmed) inject(ctx context.Context, s *scene) error {
	log, err := os.Create(filepath.Join(s.dir, "harm.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	s.mark(h.label)
	began := time.Now()
	cmd := exec.CommandContext(ctx, "sh", "-c", h.harm) //nolint:gosec // the operator's own
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w, see %s", h.label, err, log.Name())
	}
	s.notef("%s took %v", h.label, time.Since(began).Round(100*time.Millisecond))
	return nil
}

// attach is startCluster for a cluster that runs already.
func attach(ctx context.Context, dir string, t target, people []person) (*cluster, error) {
	redis.SetLogger(silent{})
	c := &cluster{dir: dir, redis: &redisServer{dir: dir}}
	c.redis.direct = redis.NewClient(&redis.Options{Addr: t.redis, MaxRetries: -1, DialerRetries: 1, ReadTimeout: 2 * time.Second})
	last, err := c.redis.direct.XRevRangeN(ctx, "{teloo}:log", "+", "-", 1).Result()
	if err != nil {
		return c, fmt.Errorf("redis at %s: %w", t.redis, err)
	}
	// What earlier runs left is not this one's.
	c.redis.since = "-"
	if len(last) > 0 {
		c.redis.since = "(" + last[0].ID
	}
	c.edge, err = startEdge(t.address, people)
	return c, err
}
