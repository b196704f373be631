package main

import (
	"context"
	"runtime/debug"
	"time"
)

const (
	// quietFor is how long nobody must have come for a storm of connects to be over.
	quietFor = 5 * time.Second
	// stormOf connects leave garbage worth collecting at once.
	stormOf = 1000
)

// afterStorms calls release when many have connected and nobody has for a while, until ctx ends: clients that then idle
// cause no collection for minutes, and the garbage of a storm is as large as what it has built.
func afterStorms(ctx context.Context, quiet time.Duration, connects func() uint64, release func()) error {
	tick := time.NewTicker(quiet)
	defer tick.Stop()
	var last, released uint64
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := connects()
		if now == last && now-released >= stormOf {
			released = now
			release()
		}
		last = now
	}
}

// releaseMemory gives a storm's garbage back to the system.
func (p *parts) releaseMemory(ctx context.Context) error {
	return afterStorms(ctx, quietFor, func() uint64 { return p.node.Stats().Connects }, debug.FreeOSMemory)
}
