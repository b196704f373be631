package main

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMemoryIsReleasedAfterAStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var connects, releases atomic.Int64
		ended := make(chan error, 1)
		go func() {
			ended <- afterStorms(ctx, quietFor, func() uint64 { return uint64(connects.Load()) }, func() { releases.Add(1) })
		}()
		time.Sleep(quietFor / 2) // between two looks
		for range 10 {           // they come and come
			connects.Add(stormOf)
			time.Sleep(quietFor)
		}
		require.Zero(t, releases.Load())
		time.Sleep(10 * quietFor)
		require.EqualValues(t, 1, releases.Load(), "once")
		connects.Add(stormOf - 1)
		time.Sleep(10 * quietFor)
		require.EqualValues(t, 1, releases.Load(), "those few are not worth it")
		connects.Add(1)
		time.Sleep(10 * quietFor)
		require.EqualValues(t, 2, releases.Load())
		stop()
		require.NoError(t, <-ended)
	})
}

func TestTheHeapsGrowthIsSetUnlessSomebodyHas(t *testing.T) {
	was, limit := debug.SetGCPercent(goDefault), debug.SetMemoryLimit(-1)
	defer func() {
		debug.SetGCPercent(was)
		debug.SetMemoryLimit(limit)
	}()
	log := slog.New(slog.DiscardHandler)
	tuneMemory(log)
	require.Equal(t, growth, debug.SetGCPercent(50))
	tuneMemory(log)
	require.Equal(t, 50, debug.SetGCPercent(goDefault))
}
