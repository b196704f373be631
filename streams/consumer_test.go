package streams

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestConsumersKeepTheOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const count = 6000
	nodes := []*rigNode{r.start("a:1"), r.start("b:1"), r.start("c:1")}
	ids := r.publish(count)
	r.settled(ids)
	r.eventually("all consuming", func() bool {
		return !slices.ContainsFunc(nodes, func(n *rigNode) bool { return n.State() != StateConsuming })
	})
	require.Equal(t, uint64(count), rigEach(nodes, func(s Stats) uint64 { return s.Relayed }))
	require.Equal(t, uint64(count), rigEach(nodes, func(s Stats) uint64 { return s.Read }))
	require.Empty(t, r.dead())
	require.Equal(t, ids[count-1], r.rdb.Get(t.Context(), r.keys.committed).Val())
	for _, n := range nodes {
		require.Zero(t, n.Stats().Backlog)
	}
}

// A node that drains hands its part of the events over, and goes on with what only it does for the cluster.
func TestRetire(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	chores := func(c *Config, _ *Deps) { c.TrimEvery = 20 * time.Millisecond }
	a, b := r.start("a:1", chores), r.start("b:1", func(_ *Config, d *Deps) { d.Lead = func() bool { return false } })
	ids := r.publish(2000)
	require.NoError(t, a.Retire(t.Context()))
	require.NoError(t, a.Retire(t.Context()), "again")
	require.Zero(t, a.Stats().Backlog)
	require.Equal(t, StateStopped, a.State())
	read, trimmed := a.Stats().Read, a.Stats().EventsTrimmed
	ids = append(ids, r.publish(500)...)
	r.settled(ids)
	require.Equal(t, read, a.Stats().Read, "it has read since")
	require.Equal(t, uint64(len(ids)), a.Stats().Relayed+b.Stats().Relayed)
	r.eventually("the chores go on", func() bool { return a.Stats().EventsTrimmed > trimmed })
	a.stop()
	require.NoError(t, a.Retire(t.Context()), "after its end")
}

// What cannot be settled does not hold the caller for ever.
func TestRetireWhileOthersAreWaitedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.group()
	r.publish(51)
	require.Len(t, r.ghostReads("ghost:1", 1), 1)
	a := r.start("a:1", func(c *Config, _ *Deps) { c.MinIdle = time.Minute })
	r.eventually("entries wait for an older one", func() bool { return a.Stats().Backlog > 0 })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, a.Retire(ctx), context.DeadlineExceeded)
	require.Positive(t, a.Stats().Backlog)
}

func TestMiniredisMainPath(t *testing.T) {
	t.Parallel()
	mini := miniredis.RunT(t)
	r := rigAt(t, mini.Addr())
	r.group()
	ids := r.publish(300)
	taken := r.ghostReads("ghost:1", 5)
	require.Len(t, taken, 5)
	a := r.start("a:1", func(c *Config, _ *Deps) { c.TrimEvery = 50 * time.Millisecond })
	r.start("b:1")
	a.Reclaim("ghost:1")
	bad := r.add("nonsense", "1")
	ids = append(ids, r.publish(100)...)
	r.settled(ids)
	require.Len(t, r.dead(), 1)
	require.Equal(t, bad, r.dead()[0].Values["dead_source_id"])
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	type bad struct {
		reason string
		pairs  []string
	}
	bads := []bad{
		{ReasonMalformed, []string{"x", "1", "dead_reason", "earlier", "x", "2"}},
		{ReasonBadPayload, []string{"payload", "[1]"}},
		{ReasonUnknownEvent, []string{"event", "other_thing", "data", "{}"}},
		{ReasonBadData, []string{"event", "oferta_new", "data", "[]"}},
		{ReasonBadData, []string{"event", "oferta_new", "data", "{\"a\":\"\xff\"}"}},
		{ReasonDataTooLarge, []string{"event", "oferta_new", "data", `{"a":"` + strings.Repeat("x", MaxDataBytes) + `"}`}},
		{ReasonBadRooms, rigEvent("{}", "rooms", "7")},
		{ReasonNoRoute, rigEvent("{}", "rooms", "[]")},
		{ReasonBadEventID, rigEvent("{}", "event_id", "")},
		{ReasonPanic, rigEvent(`{"do":"panic"}`)},
		{ReasonUnroutable, rigEvent(`{"do":"fail"}`)},
		{"no_such_client", rigEvent(`{"do":"reject"}`)},
		{ReasonUnroutable, rigEvent(`{"do":"odd"}`)},
		{ReasonUnroutable, rigEvent(`{"do":"grants"}`)},
	}
	var good, dead []string
	for _, b := range bads {
		good = append(good, r.add(rigEvent(`{"ok":1}`)...))
		dead = append(dead, r.add(b.pairs...))
	}
	good = append(good, r.add(rigEvent(`{"ok":1}`)...))
	began := time.Now().Add(-time.Second)
	n := r.start("a:1")
	r.settled(good)

	got := r.dead()
	require.Len(t, got, len(bads))
	reasons := map[string]uint64{}
	for i, m := range got {
		require.Equal(t, bads[i].reason, m.Values["dead_reason"], "%d", i)
		require.Equal(t, dead[i], m.Values["dead_source_id"])
		require.Equal(t, "a:1", m.Values["dead_node"])
		require.Equal(t, "1", m.Values["dead_deliveries"])
		at, err := time.Parse(time.RFC3339Nano, m.Values["dead_at"].(string))
		require.NoError(t, err)
		require.WithinRange(t, at, began, time.Now().Add(time.Second))
		for j := 0; j < len(bads[i].pairs); j += 2 {
			require.Contains(t, m.Values, bads[i].pairs[j])
		}
		reasons[bads[i].reason]++
	}
	s := n.Stats()
	require.Equal(t, reasons, s.Dead)
	require.Equal(t, uint64(1), s.Panics)
	require.Equal(t, uint64(len(good)), s.Relayed)
	require.Equal(t, good[len(good)-1], s.LastCommitted)
}

func TestDeadLetterOfManyFields(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var pairs []string
	for i := range maxDeadPairs + 7 {
		pairs = append(pairs, "f"+strconv.Itoa(i), "v")
	}
	r.add(pairs...)
	good := r.publish(1)
	r.start("a:1")
	r.settled(good)
	require.Len(t, r.dead(), 1)
	require.Equal(t, "7", r.dead()[0].Values["dead_dropped_fields"])
}

func TestEventIDs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	nodes := []*rigNode{r.start("a:1"), r.start("b:1")}
	var want []string
	for i := range 50 {
		id := rigEvent("{}", "event_id", "id "+strconv.Itoa(i))
		want = append(want, r.add(id...))
		for range i % 3 {
			r.add(id...)
		}
	}
	last := r.add(rigEvent("{}")...)
	want = append(want, last)
	r.settled(want)
	r.eventually("duplicates counted", func() bool {
		return rigEach(nodes, func(s Stats) uint64 { return s.Duplicates }) == 49
	})
	seen, err := r.rdb.Keys(t.Context(), r.keys.seen+"*").Result()
	require.NoError(t, err)
	require.Len(t, seen, 50)
	require.InDelta(t, float64(10*time.Minute), float64(r.rdb.PTTL(t.Context(), seen[0]).Val()), float64(2*time.Minute))
}

func TestGrants(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	require.NoError(t, r.rdb.Set(t.Context(), r.keys.grants+"taken", "no zset", 0).Err())
	n := r.start("a:1", func(_ *Config, d *Deps) {
		d.Handle = func(ev Event) (Relay, error) {
			return Relay{
				Log:    []string{"name", ev.Name},
				Grants: []Grant{{"7", "ana"}, {"7", "beto"}, {"a/b {x}", "ana"}, {"taken", "ana"}},
			}, nil
		}
	})
	ids := r.publish(2)
	r.settled(ids)
	ctx := t.Context()
	require.ElementsMatch(t, []string{"ana", "beto"}, r.rdb.ZRange(ctx, r.keys.grants+"7", 0, -1).Val())
	require.Equal(t, []string{"ana"}, r.rdb.ZRange(ctx, r.keys.grants+"a%2Fb%20%7Bx%7D", 0, -1).Val())
	expiry := time.UnixMilli(int64(r.rdb.ZScore(ctx, r.keys.grants+"7", "ana").Val()))
	require.WithinDuration(t, time.Now().Add(720*time.Hour), expiry, time.Minute)
	r.eventually("failed grants counted", func() bool { return n.Stats().GrantsFailed == 2 })
}

func TestRunEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.start("a:1")
	ids := r.publish(100)
	r.settled(ids)
	r.eventually("consuming", func() bool { return n.State() == StateConsuming })
	n.stop()
	require.Equal(t, StateStopped, n.State())
	require.ErrorIs(t, n.Run(t.Context()), ErrAlreadyRun)
	consumers, err := r.rdb.XInfoConsumers(t.Context(), r.keys.events, "gateway").Result()
	require.NoError(t, err)
	require.Empty(t, consumers)
}

func TestRunFinishesWhatItHolds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.group()
	ids := r.publish(200)
	first := r.ghostReads("ghost:1", 1)
	n := r.start("a:1", func(c *Config, _ *Deps) { c.MinIdle, c.StopTimeout = time.Hour, rigDeadline })
	r.eventually("held", func() bool { return n.Stats().Backlog > 0 && n.Stats().Waits > 0 })
	n.cancel()
	require.NoError(t, r.rdb.XAck(t.Context(), r.keys.events, "gateway", first[0]).Err())
	n.stop()
	// Whatever it had read is settled, in order, though it was waiting when its time came.
	require.Zero(t, n.Stats().Backlog)
	require.Empty(t, r.pending())
	got := r.relayed()
	require.NotEmpty(t, got)
	require.Equal(t, ids[1:1+len(got)], got)
}

func TestRunGivesUpAfterStopTimeout(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.group()
	r.publish(10)
	r.ghostReads("ghost:1", 1)
	n := r.start("a:1", func(c *Config, _ *Deps) { c.MinIdle, c.StopTimeout = time.Hour, 50*time.Millisecond })
	r.eventually("held", func() bool { return n.Stats().Backlog == 9 })
	n.stop()
	require.Len(t, r.pending(), 10)
	require.Empty(t, r.relayed())
}

func TestLogCap(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.group()
	n := r.start("a:1", func(c *Config, _ *Deps) { c.LogMaxEntries = 300 })
	ids := r.publish(2000)
	r.eventually("all relayed", func() bool { return n.Stats().Relayed == 2000 })
	got := r.relayed()
	require.GreaterOrEqual(t, len(got), 300)
	require.Less(t, len(got), 600)
	require.Equal(t, ids[2000-len(got):], got)
	r.eventually("cuts counted", func() bool { return n.Stats().LogCut == uint64(2000-len(got)) })
}

func TestLogAge(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.start("a:1", func(c *Config, _ *Deps) { c.LogMaxAge = 100 * time.Millisecond })
	sent := 0
	r.eventually("old entries trimmed", func() bool {
		r.publish(200)
		sent += 200
		length, err := r.rdb.XLen(t.Context(), r.keys.log).Result()
		return err == nil && n.Stats().Relayed > 0 && length < int64(n.Stats().Relayed)
	})
	require.Zero(t, n.Stats().LogCut, "age is no cut")
}

func TestEventStreamTrimmed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx := t.Context()
	lead := func(c *Config, d *Deps) { c.TrimEvery, d.Lead = 30*time.Millisecond, nil }
	follow := func(c *Config, d *Deps) {
		c.TrimEvery, d.Lead = 30*time.Millisecond, func() bool { return false }
	}
	a, b := r.start("a:1", lead), r.start("b:1", follow)
	// A slow foreign group holds the trimming back.
	r.eventually("stream exists", func() bool {
		return r.rdb.XGroupCreate(ctx, r.keys.events, "audit", "0").Err() == nil
	})
	ids := r.publish(1000)
	r.settled(ids)
	require.Equal(t, int64(1000), r.rdb.XLen(ctx, r.keys.events).Val())
	require.NoError(t, r.rdb.XGroupDestroy(ctx, r.keys.events, "audit").Err())
	r.eventually("trimmed", func() bool { return r.rdb.XLen(ctx, r.keys.events).Val() <= 200 })
	r.eventually("counted", func() bool { return a.Stats().EventsTrimmed >= 800 })
	require.Zero(t, b.Stats().EventsTrimmed)
	more := r.publish(10)
	r.settled(append(ids, more...))
}

func TestConsumersOfEndedNodesAreDeleted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.group()
	ids := r.publish(50)
	require.NotEmpty(t, r.ghostReads("ended:1", 5))
	require.NotEmpty(t, r.ghostReads("silent:1", 5))
	n := r.start("a:1", func(c *Config, d *Deps) {
		c.TrimEvery, c.MinIdle = 30*time.Millisecond, time.Second
		d.Gone = func(identity string) bool { return identity == "ended:1" }
	})
	r.settled(ids)
	r.eventually("deleted", func() bool { return n.Stats().ConsumersDeleted == 1 })
	consumers, err := r.rdb.XInfoConsumers(t.Context(), r.keys.events, "gateway").Result()
	require.NoError(t, err)
	names := []string{}
	for _, c := range consumers {
		names = append(names, c.Name)
	}
	require.ElementsMatch(t, []string{"a:1", "silent:1"}, names)
}

func TestReclaimNeverBlocks(t *testing.T) {
	t.Parallel()
	r := rigAt(t, "127.0.0.1:1")
	c, err := New(rigConfig("a:1"), Deps{Redis: r.rdb, Blocking: r.rdb, Handle: rigHandle})
	require.NoError(t, err)
	require.Equal(t, StateStopped, c.State())
	c.Reclaim("a:1") // itself: of no use
	for i := range maxDeparts + 3 {
		c.Reclaim("n:" + strconv.Itoa(i))
	}
	require.Equal(t, uint64(3), c.Stats().ReclaimsDropped)
}

func TestBlockYieldsToTheClientsTimeout(t *testing.T) {
	t.Parallel()
	impatient := &redis.Options{Addr: "127.0.0.1:1", ReadTimeout: time.Second}
	single := redis.NewClient(impatient)
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, ReadTimeout: time.Second})
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}, ReadTimeout: time.Second})
	t.Cleanup(func() { _, _, _ = single.Close(), cluster.Close(), ring.Close() })
	for _, client := range []redis.UniversalClient{single, cluster, ring} {
		cfg := rigConfig("a:1")
		cfg.Block = 2 * time.Second
		c, err := New(cfg, Deps{Redis: single, Blocking: client, Handle: rigHandle, Log: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		require.Equal(t, 500*time.Millisecond, c.block)
	}
}
