package streams

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Condition is how the group stands at one moment.
type Condition struct {
	// Grouped is false where there is no event stream or no group yet.
	Grouped bool
	// Length is the event stream's, in entries, Lag how many of them were delivered to no node; -1: Redis cannot tell.
	Length, Lag int64
	// Pending is how many were delivered and are not settled, Oldest the first of them; empty: none.
	Pending int64
	Oldest  string
	// OldestIdle is for how long that one was neither delivered nor renewed.
	OldestIdle time.Duration
	// Consumers are those of the group.
	Consumers []ConsumerInfo
	// Dead is the number of dead letters.
	Dead int64
}

// ConsumerInfo is one consumer of the group. Idle is since its last attempt to do anything.
type ConsumerInfo struct {
	Name    string
	Pending int64
	Idle    time.Duration
}

// Inspect reads the condition of the group that consumes the event stream of prefix. It changes nothing.
func Inspect(ctx context.Context, rdb redis.UniversalClient, prefix, group string) (Condition, error) {
	k := newKeys(prefix)
	var c Condition
	fail := func(what string, err error) (Condition, error) {
		return Condition{}, fmt.Errorf("reading %s: %w", what, err)
	}
	var err error
	if c.Dead, err = rdb.XLen(ctx, k.dead).Result(); err != nil {
		return fail("the dead letters", err)
	}
	if c.Length, err = rdb.XLen(ctx, k.events).Result(); err != nil {
		return fail("the event stream", err)
	}
	groups, err := rdb.XInfoGroups(ctx, k.events).Result()
	if err != nil && strings.Contains(err.Error(), "no such key") {
		return c, nil
	}
	if err != nil {
		return fail("its groups", err)
	}
	for _, g := range groups {
		if g.Name == group {
			c.Grouped, c.Lag, c.Pending = true, g.Lag, g.Pending
		}
	}
	if !c.Grouped {
		return c, nil
	}
	oldest, err := rdb.XPendingExt(ctx, &redis.XPendingExtArgs{Stream: k.events, Group: group, Start: "-", End: "+", Count: 1}).Result()
	if err != nil {
		return fail("what is pending", err)
	}
	if len(oldest) > 0 {
		c.Oldest, c.OldestIdle = oldest[0].ID, oldest[0].Idle
	}
	consumers, err := rdb.XInfoConsumers(ctx, k.events, group).Result()
	if err != nil {
		return fail("the consumers", err)
	}
	for _, consumer := range consumers {
		c.Consumers = append(c.Consumers, ConsumerInfo{consumer.Name, consumer.Pending, consumer.Idle})
	}
	return c, nil
}

// TimeOf is when Redis gave out an entry's id; false if it is none.
func TimeOf(id string) (time.Time, bool) {
	at, ok := parseStreamID(id)
	if !ok || at.ms > math.MaxInt64 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(at.ms)), true
}
