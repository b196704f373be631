package auth

import (
	"context"
	_ "embed" // the script
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/sweep_grants.lua
var sweepSource string

var sweepScript = redis.NewScript(sweepSource)

// sweepBatch is how many solicitudes one call of the script looks at.
const sweepBatch = 100

// Run removes expired grants until ctx ends, then returns nil. Every node may run it at the same time.
func (g *Grants) Run(ctx context.Context) error {
	// At random, so that neither nodes that started together nor nodes that often restart sweep in step or never.
	for wait := spread(g.every); ; wait = g.every*3/4 + spread(g.every/2) {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		if err := g.sweep(ctx); err != nil && ctx.Err() == nil {
			g.failures.Add(1)
			g.log.Warn("expired grants not removed; the next sweep tries again", "err", err)
		}
	}
}

func spread(d time.Duration) time.Duration { return rand.N(d) } //nolint:gosec // spreading needs no secrecy

// sweep looks at every solicitud in the index whose grants may all have expired. One clock, Redis's, says what has.
func (g *Grants) sweep(ctx context.Context) error {
	at, err := g.redis.Time(ctx).Result()
	if err != nil {
		return fmt.Errorf("asking for the time: %w", err)
	}
	now := strconv.FormatInt(at.UnixMilli(), 10)
	index := GrantsIndex(g.prefix)
	for {
		// What the script has looked at is no longer due, so that each round brings others.
		due, err := g.redis.ZRangeByScore(ctx, index, &redis.ZRangeBy{Min: "-inf", Max: now, Count: sweepBatch}).Result()
		if err != nil {
			return fmt.Errorf("listing solicitudes: %w", err)
		}
		if len(due) == 0 {
			return nil
		}
		keys := make([]string, 0, 1+len(due))
		keys = append(keys, index)
		for _, solicitud := range due {
			keys = append(keys, index+":"+solicitud)
		}
		if err := sweepScript.Run(ctx, g.redis, keys, now).Err(); err != nil {
			return fmt.Errorf("sweeping grants: %w", err)
		}
	}
}
