package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/teloo/realtime-gateway/streams"
)

// errNotReplicated says that what was written is on Redis' master, but not on as many replicas as REDIS_WAIT_REPLICAS
// asks for: a failover may take it back.
var errNotReplicated = errors.New("written, but not on enough replicas of Redis")

// keyOwner is the client of the one server that has our keys.
func (c Config) keyOwner(ctx context.Context, client redis.UniversalClient) (redis.Cmdable, error) {
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		return client, nil
	}
	owner, err := cluster.MasterForKey(ctx, c.RedisPrefix)
	if err != nil {
		return nil, fmt.Errorf("finding the owner of %s: %w", c.RedisPrefix, err)
	}
	return owner, nil
}

// pingRedis asks the server that has our keys: on a cluster the others say nothing of it.
func (p *parts) pingRedis(ctx context.Context) error {
	owner, err := p.cfg.keyOwner(ctx, p.commands)
	if err != nil {
		return err
	}
	return owner.Ping(ctx).Err()
}

// mostWait bounds one WAIT, so that it is answered within the client's patience.
const mostWait = 2 * time.Second

// replicated returns nil once everything that Redis' master has is on as many replicas as are asked for, and
// errNotReplicated if that takes longer than REDIS_WAIT_TIMEOUT, or 2 s.
func (c Config) replicated(ctx context.Context, client redis.UniversalClient) error {
	if c.RedisWaitReplicas == 0 {
		return nil
	}
	owner, err := c.keyOwner(ctx, client)
	if err != nil {
		return err
	}
	// WAIT is for what its own connection has done. Any command before it makes that all there is by then.
	pipe := owner.Pipeline()
	ping := pipe.Ping(ctx)
	reached := redis.NewIntCmd(ctx, "wait", c.RedisWaitReplicas, c.waitFor().Milliseconds())
	_ = pipe.Process(ctx, reached)
	_, _ = pipe.Exec(ctx) // each command carries its error
	if err := errors.Join(ping.Err(), reached.Err()); err != nil {
		return fmt.Errorf("waiting for replicas: %w", err)
	}
	if reached.Val() < int64(c.RedisWaitReplicas) {
		return errNotReplicated
	}
	return nil
}

func (c Config) waitFor() time.Duration {
	if c.RedisWaitTimeout == 0 {
		return mostWait
	}
	return min(c.RedisWaitTimeout, mostWait)
}

// newPublisher is one whose events are on as many replicas as are asked for.
func (c Config) newPublisher(client redis.UniversalClient) *streams.Publisher {
	return streams.NewPublisher(client, c.RedisPrefix).Replicated(c.RedisWaitReplicas, c.waitFor())
}

// confirmed is the outcome of a write: that of having it on enough replicas if it succeeded.
func (o operators) confirmed(ctx context.Context, err error) error {
	if err == nil {
		err = o.cfg.replicated(ctx, o.commands)
	}
	return answerable(err)
}
