package streams

import (
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func TestConsumersDieBetweenReadAndCommit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.group()
	nodes := []*rigNode{r.start("a:1"), r.start("b:1"), r.start("c:1")}
	var ids []string
	taken := 0
	for round := range 12 {
		ids = append(ids, r.publish(200)...)
		ghost := "ghost:" + strconv.Itoa(round)
		taken += len(r.ghostReads(ghost, 40))
		ids = append(ids, r.publish(100)...)
		if round%2 == 0 { // else left to become idle
			for _, n := range nodes {
				n.Reclaim(ghost)
			}
		}
	}
	r.settled(ids)
	require.Empty(t, r.dead())
	require.GreaterOrEqual(t, rigEach(nodes, func(s Stats) uint64 { return s.Reclaimed }), uint64(taken))
}

func TestNodesCrash(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	short := func(c *Config, _ *Deps) { c.StopTimeout = 10 * time.Millisecond }
	survivor := r.start("survivor:1")
	var ids []string
	for round := range 8 {
		victim := r.start("victim:"+strconv.Itoa(round), short)
		ids = append(ids, r.publish(400)...)
		r.eventually("victim at work", func() bool { return victim.Stats().Read > 0 || len(r.relayed()) == len(ids) })
		victim.crash()
		if round%2 == 0 {
			survivor.Reclaim(victim.cfg.Consumer)
		}
	}
	r.settled(ids)
	require.Empty(t, r.dead())
}

func TestWaitingIsRenewed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.group()
	ids := r.publish(100)
	first := r.ghostReads("ghost:1", 1)
	calm := func(c *Config, _ *Deps) { c.MinIdle = 600 * time.Millisecond }
	nodes := []*rigNode{r.start("a:1", calm), r.start("b:1", calm)}
	began := time.Now()
	r.eventually("waiting entries renewed beyond MinIdle", func() bool {
		r.deliveries(first[0], 1) // the ghost is alive, only slow
		return time.Since(began) > 1500*time.Millisecond &&
			rigEach(nodes, func(s Stats) uint64 { return s.Renewed }) >= 4*uint64(len(ids)-1)
	})
	require.Empty(t, r.relayed())
	for _, p := range r.pending() {
		require.Equal(t, int64(1), p.RetryCount, p.ID)
	}
	require.NotZero(t, rigEach(nodes, func(s Stats) uint64 { return s.Waits }))
	require.Zero(t, rigEach(nodes, func(s Stats) uint64 { return s.Reclaimed }))
	r.settled(ids) // the ghost is silent now
	require.Empty(t, r.dead())
}

func TestPoisonLeavesItsNeighboursAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.group()
	ids := []string{
		r.add(rigEvent(`{"n":0}`)...),
		r.add(rigEvent(`{"do":"panic"}`)...), // fails alone
		r.add(rigEvent(`{"n":2}`)...),        // delivered often, and innocent
		r.add(rigEvent(`{"n":3}`)...),        // two solitary handlings of it did not end
		r.add(rigEvent(`{"n":4}`)...),        // one did not, which may be its node's fault
		r.add(rigEvent(`{"n":5}`)...),
	}
	require.Len(t, r.ghostReads("ghost:1", 6), 6)
	r.deliveries(ids[1], 5)
	r.deliveries(ids[2], 5)
	r.deliveries(ids[3], 2*solitaryMark+3)
	r.deliveries(ids[4], solitaryMark+3)
	n := r.start("a:1")
	n.Reclaim("ghost:1")
	after := r.publish(3)
	r.settled(append([]string{ids[0], ids[2], ids[4], ids[5]}, after...))
	dead := r.dead()
	require.Len(t, dead, 2)
	require.Equal(t, ids[1], dead[0].Values["dead_source_id"])
	require.Equal(t, ReasonPoison, dead[0].Values["dead_reason"])
	require.Equal(t, "6", dead[0].Values["dead_deliveries"])
	require.Equal(t, ids[3], dead[1].Values["dead_source_id"])
	require.Equal(t, ReasonPoison, dead[1].Values["dead_reason"])
	require.Equal(t, "4", dead[1].Values["dead_deliveries"])
	s := n.Stats()
	require.Equal(t, map[string]uint64{ReasonPoison: 2}, s.Dead)
	require.Equal(t, uint64(3), s.Solitary)
	require.Equal(t, uint64(6), s.Reclaimed)
}

// A handler that hangs is to the cluster what one is that killed its process.
func TestTwoKilledSolitaryHandlingsArePoison(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.group()
	before := r.publish(3)
	evil := r.add(rigEvent(`{"do":"hang"}`)...)
	after := r.publish(3)
	require.Len(t, r.ghostReads("ghost:1", 100), 7)
	r.deliveries(evil, 3)

	s := &slow{id: evil, release: make(chan struct{})}
	defer close(s.release)
	victim := func(c *Config, d *Deps) { c.HandleTimeout, d.Handle = time.Hour, s.handle }
	marks := func() int64 {
		for _, p := range r.pending() {
			if p.ID == evil {
				return p.RetryCount / solitaryMark
			}
		}
		return -1
	}
	first := r.start("victim:1", victim)
	first.Reclaim("ghost:1")
	r.eventually("handled alone", func() bool { return s.entered.Load() == 1 })
	require.Equal(t, int64(1), marks(), "the mark stands in the pending list before the handler is called")
	first.crash()
	second := r.start("victim:2", victim)
	r.eventually("handled alone once more", func() bool { return s.entered.Load() == 2 })
	require.Equal(t, int64(2), marks())
	require.Empty(t, r.dead(), "one mark may be left by an innocent node")
	second.crash()

	r.start("b:1")
	r.settled(append(before, after...))
	require.Len(t, r.dead(), 1)
	require.Equal(t, evil, r.dead()[0].Values["dead_source_id"])
	require.Equal(t, ReasonPoison, r.dead()[0].Values["dead_reason"])
	require.Equal(t, "6", r.dead()[0].Values["dead_deliveries"])
}

func TestRunEndsThoughRedisVanishedDuringSolitaryHandling(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.group()
	id := r.add(rigEvent(`{"n":1}`)...)
	require.Len(t, r.ghostReads("ghost:1", 1), 1)
	r.deliveries(id, 3)
	release := make(chan struct{})
	var entered atomic.Bool
	n := r.start("a:1", func(c *Config, d *Deps) {
		c.StopTimeout = 100 * time.Millisecond
		d.Handle = func(ev Event) (Relay, error) {
			entered.Store(true)
			<-release
			return rigHandle(ev)
		}
	})
	n.Reclaim("ghost:1")
	r.eventually("handled alone", entered.Load)
	_ = n.clients[0].Close()
	n.cancel()
	close(release)
	select {
	case <-n.finished:
	case <-time.After(10 * time.Second):
		t.Error("Run outlasts StopTimeout while Redis does not answer")
	}
}

func TestFlushWhileRunning(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	nodes := []*rigNode{r.start("a:1"), r.start("b:1"), r.start("c:1")}
	r.settled(r.publish(1000))
	for range 3 {
		require.NoError(t, r.rdb.FlushAll(t.Context()).Err())
		r.settled(r.publish(500))
	}
	r.eventually("creations counted", func() bool {
		return rigEach(nodes, func(s Stats) uint64 { return s.GroupsCreated }) >= 3
	})
	require.Empty(t, r.dead())
}

func TestFlushOfAQuietStream(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.group()
	n := r.start("a:1")
	r.settled(r.publish(10))
	require.Zero(t, n.Stats().GroupsCreated)
	require.NoError(t, r.rdb.FlushAll(t.Context()).Err())
	r.eventually("group created again", func() bool {
		s := n.Stats()
		return s.GroupsCreated == 1 && s.StreamsReset == 1
	})
	require.Equal(t, []string{rigReset}, r.srcs())
	r.settled(r.publish(10))
}

func TestGroupDestroyed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.group()
	for _, name := range []string{"a:1", "b:1", "c:1"} {
		r.start(name)
	}
	ids := r.publish(300)
	for range 5 {
		r.eventually("at work", func() bool { return len(r.relayed()) > 0 })
		require.NoError(t, r.rdb.XGroupDestroy(t.Context(), r.keys.events, "gateway").Err())
		ids = append(ids, r.publish(300)...)
	}
	r.settled(ids)
	require.Equal(t, ids, r.srcs(), "the stream was never taken for a new one")
}

func TestNewEventStreamWithLowerIDs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.group()
	r.start("a:1")
	r.start("b:1")
	ids := r.publish(100)
	r.settled(ids)
	_, err := r.rdb.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
		p.Del(t.Context(), r.keys.events)
		for i := range 100 {
			id := "5-" + strconv.Itoa(i+1)
			ids = append(ids, id)
			p.XAdd(t.Context(), &redis.XAddArgs{Stream: r.keys.events, ID: id, Values: rigEvent("{}")})
		}
		return nil
	})
	require.NoError(t, err)
	r.settled(ids)
	srcs := r.srcs()
	require.Len(t, srcs, 201)
	require.Equal(t, rigReset, srcs[100], "readers are told between the last of the old and the first of the new")
	require.Equal(t, "5-100", r.rdb.Get(t.Context(), r.keys.committed).Val())
}

func TestRedisKilledAndBack(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	r := rigAt(t, server.Addr())
	long := func(c *Config, _ *Deps) { c.MinIdle = time.Second }
	nodes := []*rigNode{r.start("a:1", long), r.start("b:1", long), r.start("c:1", long)}
	var ids []string
	for range 3 {
		ids = append(ids, r.publish(1500)...)
		r.eventually("at work", func() bool { return len(r.relayed()) > len(ids)-1400 })
		server.Kill()
		r.eventually("waiting", func() bool {
			return !slices.ContainsFunc(nodes, func(n *rigNode) bool { return n.State() != StateWaiting })
		})
		server.Launch()
	}
	r.settled(ids)
	require.Empty(t, r.dead())
	r.eventually("consuming", func() bool {
		return !slices.ContainsFunc(nodes, func(n *rigNode) bool { return n.State() != StateConsuming })
	})
	require.NotZero(t, rigEach(nodes, func(s Stats) uint64 { return s.RedisErrors }))
}

func TestRedisDownAtStart(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := rigAt(t, server.Addr())
	server.Kill()
	n := r.start("a:1")
	r.eventually("tried", func() bool { return n.Stats().RedisErrors > 0 })
	require.Equal(t, StateWaiting, n.State())
	server.Launch()
	r.settled(r.publish(50))
}

func TestOutOfMemoryLosesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx := t.Context()
	n := r.start("a:1")
	ids := r.publish(100)
	r.settled(ids)
	n.stop()
	more := r.publish(100)
	require.NoError(t, r.rdb.ConfigSet(ctx, "maxmemory", "1").Err())
	n = r.start("a:2")
	r.eventually("refused", func() bool { return n.Stats().RedisErrors > 0 && n.State() == StateWaiting })
	require.NoError(t, r.rdb.ConfigSet(ctx, "maxmemory", "0").Err())
	r.settled(append(ids, more...))
}

func TestDeletedPendingEntriesAreLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.group()
	ids := r.publish(20)
	require.Len(t, r.ghostReads("ghost:1", 10), 10)
	require.Len(t, r.ghostReads("ghost:2", 5), 5)
	require.NoError(t, r.rdb.XDel(t.Context(), r.keys.events, ids[2], ids[3], ids[12]).Err())
	n := r.start("a:1")
	n.Reclaim("ghost:1")
	want := slices.Concat(ids[:2], ids[4:12], ids[13:])
	r.settled(want)
	r.eventually("counted", func() bool { return n.Stats().LostToTrimming == 3 })
}

// A read whose reply was lost leaves entries pending on a living consumer: it finds them itself, without MinIdle.
func TestOwnLostReadIsRecovered(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := rigAt(t, server.Addr())
	r.group()
	n := r.start("a:1", func(c *Config, _ *Deps) { c.MinIdle = time.Hour })
	r.eventually("consuming", func() bool { return n.State() == StateConsuming })
	ids := r.publish(50)
	r.settled(ids)
	require.NoError(t, n.clients[1].Do(t.Context(), "PING").Err())
	// Entries get pending on it behind its back, then its read's connection breaks.
	killed := false
	r.eventually("a pending entry behind its back", func() bool {
		_, err := r.rdb.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
			p.XAdd(t.Context(), &redis.XAddArgs{Stream: r.keys.events, Values: rigEvent("{}")})
			p.XReadGroup(t.Context(), &redis.XReadGroupArgs{
				Group: "gateway", Consumer: "a:1", Streams: []string{r.keys.events, ">"}, Count: 100, Block: -1,
			})
			p.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
			return nil
		})
		killed = err == nil
		return killed || len(r.pending()) > 0
	})
	r.eventually("recovered", func() bool { return n.Stats().Reclaimed > 0 && len(r.pending()) == 0 })
	entries, err := r.rdb.XRange(t.Context(), r.keys.events, "-", "+").Result()
	require.NoError(t, err)
	want := make([]string, len(entries))
	for i, e := range entries {
		want[i] = e.ID
	}
	r.settled(want)
}
