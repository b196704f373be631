package main

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"golang.org/x/sync/errgroup"
)

const (
	// growth is how far the heap may grow before it is collected, in percent of what is alive: a node's memory is mostly
	// alive, and half the collections cost half.
	growth = 200
	// goDefault is Go's own, if nobody has set GOGC.
	goDefault = 100
	// ofContainer is the share of the container's memory beyond which it is collected more eagerly instead of growing.
	ofContainer = 0.9
)

// tuneMemory sets how eagerly memory is collected, unless GOGC says so, and bounds it by the container's limit, unless
// GOMEMLIMIT does.
func tuneMemory(log *slog.Logger) {
	if was := debug.SetGCPercent(growth); was != goDefault {
		debug.SetGCPercent(was)
	}
	_, err := memlimit.SetGoMemLimitWithOpts(memlimit.WithRatio(ofContainer), memlimit.WithProvider(memlimit.FromCgroup))
	if err != nil && !errors.Is(err, memlimit.ErrNoLimit) && !errors.Is(err, memlimit.ErrNoCgroup) {
		log.Warn("the container's memory limit is not known", "err", err)
	}
	log.Debug("memory", "limit_bytes", debug.SetMemoryLimit(-1))
}

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

// runChores does what nothing else waits for.
func (p *parts) runChores(ctx context.Context) error {
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return p.releaseMemory(ctx) })
	all.Go(func() error { return p.runDrain(ctx) })
	all.Go(func() error { return p.page.run(ctx) })
	all.Go(func() error { return p.runCanary(ctx) })
	all.Go(func() error { return p.runIngress(ctx) })
	all.Go(func() error { return p.runSampler(ctx) })
	if p.forward != nil {
		all.Go(func() error { return p.forward.Run(ctx) })
	}
	if p.level != nil {
		all.Go(func() error { return p.level.run(ctx, p.log) })
	}
	return all.Wait()
}

// releaseMemory gives a storm's garbage back to the system.
func (p *parts) releaseMemory(ctx context.Context) error {
	return afterStorms(ctx, quietFor, func() uint64 { return p.node.Stats().Connects }, debug.FreeOSMemory)
}
