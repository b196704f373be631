package presence

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// newStepped returns a presence whose writer the test steps by itself; flushed is called after each call of it.
func newStepped(t *testing.T, flushed func(p *Presence, rooms bool)) (*Presence, *writer, context.Context) {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Name, cfg.Node, cfg.ReapBatch = "a", "a:1", 10
	p, err := New(cfg, Deps{Redis: redistest.Start(t).Client(), Announce: announce, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	p.hooks.flushed = func(rooms bool) { flushed(p, rooms) }
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return p, newWriter(p), ctx
}

func TestATrickleDoesNotHoldTheWriter(t *testing.T) {
	calls := 0
	p, w, ctx := newStepped(t, func(p *Presence, rooms bool) {
		calls++
		p.Connect(fmt.Sprint("u", calls), "client")
	})
	p.Connect("u", "client")
	p.Join(Member{"r1", "u", "client"})
	require.NoError(t, w.step(ctx))
	require.Equal(t, 2, calls, "what came meanwhile is gathered for the next time")
	require.NoError(t, w.step(ctx))
	require.Equal(t, 3, calls)
}

func TestUsersGoBeforeRoomMembers(t *testing.T) {
	var order []bool
	p, w, ctx := newStepped(t, func(p *Presence, rooms bool) {
		order = append(order, rooms)
		if len(order) == 3 {
			p.Connect("late", "client")
		}
	})
	for i := range 15 {
		p.enterRoom(fmt.Sprint("u", i))
		p.enterRoom(fmt.Sprint("v", i))
		p.Connect(fmt.Sprint("u", i), "client")
	}
	require.NoError(t, w.step(ctx))
	require.Equal(t, []bool{false, false, true, false, true, true}, order, "those of whom /stats tells wait for one call at most")
	s, err := p.Stats(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 16, s.ConnectedUsers)
	require.EqualValues(t, 30, p.deps.Redis.HLen(ctx, p.keys.room("r1")).Val())
}

func (p *Presence) enterRoom(user string) { p.Join(Member{"r1", user, "client"}) }

func TestWhileChangesComeFastTheyAreGathered(t *testing.T) {
	flushes := 0
	p, w, ctx := newStepped(t, func(*Presence, bool) { flushes++ })
	p.cfg.ReapBatch = 500
	come := func(from, n int) {
		for i := range n {
			p.Connect(fmt.Sprint("u", from+i), "client")
		}
	}
	step := func(want int, why string) {
		t.Helper()
		flushes = 0
		require.NoError(t, w.step(ctx))
		require.Equal(t, want, flushes, why)
	}
	come(0, busy)
	step(1, "the whole state")
	come(100, busy-1)
	step(0, "left out")
	step(0, "left out")
	step(1, "the last of three")
	come(200, busy)
	step(1, "few changes do not wait")
	require.Positive(t, w.gathering)
	w.marked, w.written = 0, 0
	step(1, "nor does the whole state")
	come(300, 1)
	step(0, "left out")
	come(1000, 499)
	step(1, "a full call does not wait")
}

func TestUserLeftWaitsOutTheGathering(t *testing.T) {
	p, w, ctx := newStepped(t, func(*Presence, bool) {})
	p.cfg.LeaveGrace = time.Millisecond
	p.rooms.hold = 0
	p.enterRoom("u")
	require.NoError(t, w.step(ctx))
	before := p.deps.Redis.Time(ctx).Val()
	p.Leave(Member{"r1", "u", "client"})
	require.NoError(t, w.step(ctx))
	due := p.deps.Redis.ZScore(ctx, p.keys.leaving, "r1|client|u").Val()
	require.GreaterOrEqual(t, int64(due), before.Add(gather*p.cfg.FlushEvery).UnixMilli())
}
