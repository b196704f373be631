package adapter

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

const logKey = "{teloo}:log"

// logger writes entries as the stream's consumers do.
type logger struct {
	t testing.TB
	c *redis.Client
}

func (l logger) add(id, event, src string) {
	l.t.Helper()
	fields, err := EncodeBroadcast("core:1", Broadcast{Event: event, Rooms: []string{"r"}})
	require.NoError(l.t, err)
	if src != "" {
		fields = append(fields, "src", src)
	}
	l.fields(id, fields)
}

func (l logger) fields(id string, fields []string) {
	l.t.Helper()
	require.NoError(l.t, l.c.XAdd(context.Background(), &redis.XAddArgs{Stream: logKey, ID: id, Values: fields}).Err())
}

func events(names ...string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = `["` + name + `"]`
	}
	return out
}

func TestReaderStartsAtTheEndAndMissesNothingOfAnEmptyLog(t *testing.T) {
	server := redistest.Start(t)
	l := logger{t, server.Client()}
	first := startNode(t, server.Addr(), testConfig("a:1"))
	require.Equal(t, "0-0", first.cluster.Stats().Position)
	a := first.connect("r")
	l.add("*", "one", "5-1")
	a.expect(events("one")...)
	second := startNode(t, server.Addr(), testConfig("b:1"))
	b := second.connect("r")
	l.add("*", "again", "5-1")
	l.add("*", "older", "4-9")
	l.add("*", "two", "5-2")
	a.expect(events("one", "two")...)
	b.expect(events("two")...)
	require.Equal(t, uint64(2), second.cluster.Stats().Duplicates, "a new node knows what was delivered before")
}

func TestSourcesAreComparedAsNumbersAndCanBeReset(t *testing.T) {
	server := redistest.Start(t)
	l := logger{t, server.Client()}
	n := startNode(t, server.Addr(), testConfig("a:1"))
	c := n.connect("r")
	l.add("*", "a", "9-9")
	l.add("*", "b", "9-10")
	l.add("*", "c", "10-0")
	l.add("*", "no source", "")
	l.fields("*", []string{"at", "1"})
	l.add("*", "dropped", "9-11")
	l.fields("*", []string{"src", "0-0"})
	l.add("*", "d", "1-0")
	l.add("*", "broken source", "x")
	l.add("*", "e", "1-1")
	c.expect(events("a", "b", "c", "no source", "d", "e")...)
	stats := n.cluster.Stats()
	require.Equal(t, uint64(1), stats.Duplicates)
	require.Equal(t, uint64(1), stats.BadEntries)
	late := startNode(t, server.Addr(), testConfig("b:1"))
	d := late.connect("r")
	l.add("*", "f", "1-2")
	d.expect(events("f")...)
}

func TestOneBadEntryCostsItself(t *testing.T) {
	server := redistest.Start(t)
	l := logger{t, server.Client()}
	n := startNode(t, server.Addr(), testConfig("a:1"))
	c, other := n.connect("r"), n.connect("r")
	n.cluster.nspMu.Lock()
	n.cluster.nsps["/boom"] = &nspAdapter{c: n.cluster, name: "/boom"}
	n.cluster.nspMu.Unlock()
	n.socket(other.sid).OnAnyOutgoing(func(args ...any) {
		if args[0] == "panic" {
			panic("listener")
		}
	})
	l.add("*", "good", "")
	l.fields("*", []string{"uid", "x", "nsp", "/", "type", "3", "data", "{"})
	l.fields("*", []string{"uid", "x", "nsp", "/", "type", "99", "data", "{}"})
	l.fields("*", []string{"uid", "x", "nsp", "/boom", "type", "3", "data", nodeJSON})
	l.fields("*", []string{"uid", "x", "nsp", "/nowhere", "type", "3", "data", nodeJSON})
	l.add("*", "panic", "")
	l.add("*", "better", "")
	c.expect(events("good", "panic", "better")...)
	other.expect(events("good", "better")...)
	stats := n.cluster.Stats()
	require.Equal(t, uint64(2), stats.BadEntries)
	require.Equal(t, uint64(2), stats.DeliveryPanics)
	require.Equal(t, uint64(1), stats.UnknownNamespace)
}

func TestAnOutageDelaysDeliveryAndLosesNothing(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	p := startProxy(t, server.Addr())
	l := logger{t, server.Client()}
	n := startNode(t, server.Addr(), testConfig("a:1"), p.through())
	c := n.connect("r")
	l.add("*", "one", "1-1")
	c.expect(events("one")...)
	p.setCut(true)
	eventually(t, "outage noticed", func() bool { return !n.cluster.Ready() })
	l.add("*", "two", "1-2")
	p.setCut(false)
	c.expect(events("one", "two")...)
	eventually(t, "ready again", n.cluster.Ready)
	server.Kill()
	eventually(t, "restart noticed", func() bool { return !n.cluster.Ready() })
	server.Launch()
	l.add("*", "three", "1-3")
	c.expect(events("one", "two", "three")...)
	eventually(t, "ready again", n.cluster.Ready)
	stats := n.cluster.Stats()
	require.NotZero(t, stats.ReadErrors)
	require.Zero(t, stats.Gaps+stats.WentBack+stats.Resets)
}

func TestALogThatWentBackIsFollowedFromItsNewestKnownEntry(t *testing.T) {
	for _, connected := range []bool{true, false} {
		t.Run(fmt.Sprint("connected=", connected), func(t *testing.T) {
			ctx := context.Background()
			server := redistest.Start(t)
			p := startProxy(t, server.Addr())
			l := logger{t, server.Client()}
			n := startNode(t, server.Addr(), testConfig("a:1"), p.through())
			c := n.connect("r")
			l.add("100-1", "a", "1-1")
			l.add("100-2", "b", "1-2")
			l.add("100-3", "c", "1-3")
			dump, err := l.c.Dump(ctx, logKey).Result()
			require.NoError(t, err)
			l.add("200-0", "lost", "1-4")
			l.add("200-1", "lost too", "1-5")
			c.expect(events("a", "b", "c", "lost", "lost too")...)
			if !connected {
				p.setCut(true)
			}
			// The failover's survivor: the tail is gone, and there are other entries below the reader's position.
			_, err = l.c.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
				pipe.RestoreReplace(ctx, logKey, 0, dump)
				for i, event := range []string{"lost", "lost too", "new"} {
					fields, err := EncodeBroadcast("core:1", Broadcast{Event: event, Rooms: []string{"r"}})
					if err != nil {
						return err
					}
					pipe.XAdd(ctx, &redis.XAddArgs{
						Stream: logKey, ID: fmt.Sprint("150-", i), Values: append(fields, "src", fmt.Sprint("1-", 4+i)),
					})
				}
				return nil
			})
			require.NoError(t, err)
			p.setCut(false)
			c.expect(events("a", "b", "c", "lost", "lost too", "new")...)
			stats := n.cluster.Stats()
			require.Equal(t, uint64(1), stats.WentBack)
			require.Equal(t, uint64(2), stats.Duplicates)
			require.Zero(t, stats.Gaps+stats.Resets)
			require.Equal(t, "150-2", stats.Position)
		})
	}
}

func TestALogThatKeptNothingKnownIsReadFromItsOldest(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	l := logger{t, server.Client()}
	n := prepareNode(t, server.Addr(), testConfig("a:1"))
	defer n.http.Close()
	r := newReader(n.cluster)
	r.started, r.anchored, r.pos = true, true, streamID{400, 0}
	r.recent.push(streamID{50, 0})
	r.recent.push(streamID{400, 0})
	l.add("350-0", "unknown", "")
	require.NoError(t, l.c.XTrimMinID(ctx, logKey, "350-0").Err())
	require.NoError(t, r.verify(ctx))
	require.Equal(t, streamID{350, 0}.before(), r.pos)
	require.NoError(t, r.verify(ctx), "a position that is no entry is not looked for")
	require.Equal(t, streamID{350, 0}.before(), r.pos)
	l.add("360-0", "next", "")
	require.NoError(t, l.c.XTrimMaxLen(ctx, logKey, 1).Err())
	require.NoError(t, r.verify(ctx), "but entries after it that were trimmed are missed")
	require.Equal(t, streamID{360, 0}.before(), r.pos)
	require.Equal(t, uint64(1), n.cluster.Stats().Gaps)
}

func TestAPositionThatWasTrimmedAwayIsAGap(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	p := startProxy(t, server.Addr())
	l := logger{t, server.Client()}
	n := startNode(t, server.Addr(), testConfig("a:1"), p.through())
	c := n.connect("r")
	l.add("*", "one", "1-1")
	c.expect(events("one")...)
	p.setCut(true)
	l.add("*", "missed", "1-2")
	l.add("*", "two", "1-3")
	l.add("*", "three", "1-4")
	require.NoError(t, l.c.XTrimMaxLen(ctx, logKey, 2).Err())
	p.setCut(false)
	c.expect(events("one", "two", "three")...)
	require.Equal(t, uint64(1), n.cluster.Stats().Gaps)
	require.Equal(t, int64(1), n.gaps.Load())
	// All trimmed, later ones included: the log's last id still tells.
	p.setCut(true)
	l.add("*", "missed too", "1-5")
	require.NoError(t, l.c.XTrimMaxLen(ctx, logKey, 0).Err())
	p.setCut(false)
	eventually(t, "second gap", func() bool { return n.gaps.Load() == 2 })
	l.add("*", "four", "1-6")
	c.expect(events("one", "two", "three", "four")...)
	// A log that is empty, but of which nothing was missed, is no gap.
	require.NoError(t, l.c.XTrimMaxLen(ctx, logKey, 0).Err())
	p.setCut(true)
	eventually(t, "outage noticed", func() bool { return !n.cluster.Ready() })
	p.setCut(false)
	eventually(t, "ready", n.cluster.Ready)
	l.add("*", "five", "1-7")
	c.expect(events("one", "two", "three", "four", "five")...)
	require.Equal(t, uint64(2), n.cluster.Stats().Gaps)
}

func TestALogBegunAndTrimmedBeforeItWasReadIsAGap(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	p := startProxy(t, server.Addr())
	l := logger{t, server.Client()}
	n := startNode(t, server.Addr(), testConfig("a:1"), p.through())
	c := n.connect("r")
	p.setCut(true)
	eventually(t, "outage noticed", func() bool { return !n.cluster.Ready() })
	l.add("*", "missed", "")
	l.add("*", "one", "")
	require.NoError(t, l.c.XTrimMaxLen(ctx, logKey, 1).Err())
	p.setCut(false)
	c.expect(events("one")...)
	require.Equal(t, int64(1), n.gaps.Load())
}

func TestAFlushedLogIsReadFromItsBeginning(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	p := startProxy(t, server.Addr())
	l := logger{t, server.Client()}
	n := startNode(t, server.Addr(), testConfig("a:1"), p.through())
	c := n.connect("r")
	l.add("5000000000000-0", "one", "9-9")
	c.expect(events("one")...)
	require.NoError(t, l.c.FlushAll(ctx).Err())
	eventually(t, "flush noticed", func() bool { return n.cluster.Stats().Resets == 1 })
	l.add("*", "two", "1-1") // below the old position, and below the old source
	c.expect(events("one", "two")...)
	p.setCut(true)
	require.NoError(t, l.c.FlushAll(ctx).Err())
	l.add("*", "three", "0-5")
	p.setCut(false)
	c.expect(events("one", "two", "three")...)
	// Flushed and written to while the reader waits: nothing but the lower source tells.
	_, err := l.c.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.FlushAll(ctx)
		fields, err := EncodeBroadcast("core:1", Broadcast{Event: "four", Rooms: []string{"r"}})
		pipe.XAdd(ctx, &redis.XAddArgs{Stream: logKey, Values: append(fields, "src", "0-1")})
		return err
	})
	require.NoError(t, err)
	c.expect(events("one", "two", "three", "four")...)
	require.Equal(t, uint64(3), n.cluster.Stats().Resets)
	require.Zero(t, n.gaps.Load())
	require.Zero(t, n.cluster.Stats().WentBack)
}

func TestOldServersDoNotSayWhatWasTrimmed(t *testing.T) {
	r := &reader{c: &Cluster{cfg: DefaultConfig()}, pos: streamID{ms: 1_000_000}}
	require.True(t, r.neverTrimmed(logInfo{length: 5}, streamID{ms: 1_100_000}))
	require.False(t, r.neverTrimmed(logInfo{length: 5}, streamID{ms: 2_000_000}), "old enough to be trimmed")
	require.False(t, r.neverTrimmed(logInfo{length: 490_000}, streamID{ms: 1_100_000}), "near the cap")
	require.True(t, r.neverTrimmed(logInfo{length: 5, added: 5}, streamID{ms: 2_000_000}))
	require.False(t, r.neverTrimmed(logInfo{length: 5, added: 6}, streamID{ms: 1_000_001}))
}

func TestRecentIDsAreBounded(t *testing.T) {
	var ring idRing
	require.Equal(t, streamID{}, ring.oldest())
	for i := range 10 * recentIDs {
		ring.push(streamID{ms: uint64(i + 1)})
	}
	require.LessOrEqual(t, len(ring.ids), 2*recentIDs)
	require.GreaterOrEqual(t, len(ring.ids), recentIDs)
	require.True(t, ring.has(streamID{ms: 10 * recentIDs}))
	require.False(t, ring.has(streamID{ms: 10*recentIDs - 1, seq: 1}))
	ring.forgetAbove(streamID{ms: 10*recentIDs - 5})
	require.False(t, ring.has(streamID{ms: 10 * recentIDs}))
	require.True(t, ring.has(streamID{ms: 10*recentIDs - 5}))
}

func TestTheLeaderGivesAQuietLogAPosition(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	cfg := testConfig("a:1")
	cfg.PositionEvery = 60 * time.Millisecond
	n := startNode(t, server.Addr(), cfg, func(d *Deps) { d.Lead = nil })
	eventually(t, "positions", func() bool { return n.cluster.Stats().Position != "0-0" })
	first := n.cluster.Stats().Position
	eventually(t, "the next position", func() bool { return n.cluster.Stats().Position != first })
	entries, err := server.Client().XRange(ctx, logKey, "-", "+").Result()
	require.NoError(t, err)
	require.NotContains(t, entries[0].Values, "nsp")
	require.Zero(t, n.cluster.Stats().BadEntries+n.cluster.Stats().UnknownNamespace)
	server.Kill()
	eventually(t, "outage noticed", func() bool { return !n.cluster.Ready() })
	server.Launch()
	eventually(t, "positions of the new log", func() bool {
		length, err := server.Client().XLen(ctx, logKey).Result()
		return err == nil && length > 0
	})
}

func TestPositionScript(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	redisClient := server.Client()
	run := func(every, age, length int) []any {
		reply, err := positionScript.Run(ctx, redisClient, []string{logKey}, every, age, length).Slice()
		require.NoError(t, err)
		return reply
	}
	first := run(1000, 2000, 1000)
	require.NotEmpty(t, first[0], "an empty log gets one")
	require.Equal(t, []any{"", int64(0)}, run(60_000, 120_000, 1000), "a fresh entry is position enough")
	require.NoError(t, redisClient.Del(ctx, logKey).Err())
	for i := range 1000 {
		logger{t, redisClient}.fields(fmt.Sprint("5-", i+1), []string{"a", "b"})
	}
	reply := run(60_000, 600_000_000, 300)
	require.NotEmpty(t, reply[0], "the newest is old")
	length, err := redisClient.XLen(ctx, logKey).Result()
	require.NoError(t, err)
	require.LessOrEqual(t, length, int64(400), "trimming by age and by the cap is approximate")
	require.NoError(t, redisClient.Del(ctx, logKey).Err())
	now := time.Now().UnixMilli()
	for i := range 1000 {
		logger{t, redisClient}.fields(fmt.Sprintf("%d-%d", now, i+1), []string{"a", "b"})
	}
	reply = run(60_000, 120_000, 300)
	require.Empty(t, reply[0])
	require.Equal(t, int64(700), reply[1])
}

func TestTheCapIsCountedWhenItCutsIntoTheWindow(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	cfg := testConfig("a:1")
	cfg.PositionEvery, cfg.LogMaxEntries = 60*time.Millisecond, 100
	n := startNode(t, server.Addr(), cfg, func(d *Deps) { d.Lead = nil })
	pipe := server.Client().Pipeline()
	for range 1000 {
		pipe.XAdd(ctx, &redis.XAddArgs{Stream: logKey, Values: []string{"a", "b"}})
	}
	_, err := pipe.Exec(ctx)
	require.NoError(t, err)
	eventually(t, "cut counted", func() bool { return n.cluster.Stats().CapCut >= 800 })
}

// entry returns the fields of an event for the room r.
func entryOf(t testing.TB, event, src string) []string {
	t.Helper()
	fields, err := EncodeBroadcast("core:1", Broadcast{Event: event, Rooms: []string{"r"}})
	require.NoError(t, err)
	if src != "" {
		fields = append(fields, "src", src)
	}
	return fields
}

// beforeCommand lets a test act just before the reader sends a command.
type beforeCommand struct {
	name string
	do   func()
}

func (beforeCommand) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h beforeCommand) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == h.name {
			h.do()
		}
		return next(ctx, cmd)
	}
}

func (beforeCommand) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestTrimmingOvertakesAReaderThatIsBehind(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	p := startProxy(t, server.Addr())
	l := logger{t, server.Client()}
	cfg := testConfig("a:1")
	cfg.ReadCount = 10
	var behind atomic.Bool
	var n *testNode
	trimmed := false
	n = startNode(t, server.Addr(), cfg, p.through(), func(d *Deps) {
		d.Blocking.AddHook(beforeCommand{"xread", func() {
			if behind.Load() && !trimmed && n.cluster.count.delivered.Load() == 11 {
				trimmed = true
				_ = l.c.XTrimMaxLen(ctx, logKey, 5).Err()
			}
		}})
	})
	c := n.connect("r")
	l.add("*", "one", "")
	c.expect(events("one")...)
	p.setCut(true)
	eventually(t, "outage noticed", func() bool { return !n.cluster.Ready() })
	want := events("one")
	for i := range 30 {
		l.add("*", fmt.Sprint("e", i), "")
		if i < 10 || i >= 25 {
			want = append(want, events(fmt.Sprint("e", i))...)
		}
	}
	behind.Store(true)
	p.setCut(false)
	c.expect(want...)
	require.Equal(t, int64(1), n.gaps.Load(), "what was missed is known")
}

func TestTrimmingOvertakesAReaderThatWasHeldUp(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	l := logger{t, server.Client()}
	n := startNode(t, server.Addr(), testConfig("a:1"))
	c := n.connect("r")
	entered, release := make(chan struct{}), make(chan struct{})
	_ = n.cluster.adapterOf("/").On("join-room", func(...any) {
		close(entered)
		<-release
	})
	n.io.In("r").SocketsJoin("x")
	<-entered
	held := time.Now()
	l.add("*", "missed", "")
	l.add("*", "two", "")
	require.NoError(t, l.c.XTrimMaxLen(ctx, logKey, 1).Err())
	eventually(t, "held up for long", func() bool { return time.Since(held) > 2*time.Second })
	close(release)
	c.expect(events("two")...)
	require.Equal(t, int64(1), n.gaps.Load())
}

func TestAFlushIsNoticedWhateverComesFirst(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	l := logger{t, server.Client()}
	cfg := testConfig("a:1")
	cfg.Block = 30 * time.Second
	n := startNode(t, server.Addr(), cfg)
	c := n.connect("r")
	l.add("*", "one", "9-9")
	c.expect(events("one")...)
	blockedReader(t, l.c)
	_, err := l.c.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.FlushAll(ctx)
		pipe.XAdd(ctx, &redis.XAddArgs{Stream: logKey, Values: entryOf(t, "unsourced", "")})
		return nil
	})
	require.NoError(t, err)
	c.expect(events("one", "unsourced")...)
	l.add("*", "two", "0-5")
	l.add("*", "three", "0-6")
	c.expect(events("one", "unsourced", "two", "three")...)
	require.Equal(t, uint64(1), n.cluster.Stats().Resets)
	require.Zero(t, n.cluster.Stats().Duplicates)
}

func TestANewLogWhoseClockIsBehindIsReadFromItsBeginning(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	p := startProxy(t, server.Addr())
	l := logger{t, server.Client()}
	n := startNode(t, server.Addr(), testConfig("a:1"), p.through())
	c := n.connect("r")
	l.add("5000000000000-0", "one", "9-9")
	c.expect(events("one")...)
	p.setCut(true)
	require.NoError(t, l.c.FlushAll(ctx).Err())
	l.add("4000000000000-0", "two", "1-1")
	p.setCut(false)
	c.expect(events("one", "two")...)
	require.Equal(t, uint64(1), n.cluster.Stats().Resets)
	require.Zero(t, n.cluster.Stats().WentBack)
}

func TestAfterAGapSourcesStartAnew(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	p := startProxy(t, server.Addr())
	l := logger{t, server.Client()}
	n := startNode(t, server.Addr(), testConfig("a:1"), p.through())
	c := n.connect("r")
	l.add("*", "one", "9-9")
	c.expect(events("one")...)
	p.setCut(true)
	require.NoError(t, l.c.FlushAll(ctx).Err())
	for i, event := range []string{"missed", "two", "three"} {
		l.add("*", event, fmt.Sprint("1-", i))
	}
	require.NoError(t, l.c.XTrimMaxLen(ctx, logKey, 2).Err())
	p.setCut(false)
	c.expect(events("one", "two", "three")...)
	require.Equal(t, int64(1), n.gaps.Load())
}

func TestAnswersThatRefuseDelayDeliveryAndLoseNothing(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	l := logger{t, server.Client()}
	n := startNode(t, server.Addr(), testConfig("a:1"))
	c := n.connect("r")
	l.add("*", "first", "0-1")
	want := events("first")
	c.expect(want...)
	do := func(args ...any) { t.Helper(); require.NoError(t, l.c.Do(ctx, args...).Err()) }
	for i, answers := range [][2][]any{
		{{"CONFIG", "SET", "requirepass", "secret"}, {"CONFIG", "SET", "requirepass", ""}},
		{{"ACL", "SETUSER", "default", "-xread"}, {"ACL", "SETUSER", "default", "+xread"}},
	} {
		before := n.cluster.Stats().ReadErrors
		do(answers[0]...)
		do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		event := fmt.Sprint("e", i)
		l.add("*", event, fmt.Sprint("1-", i))
		eventually(t, "refused", func() bool { return n.cluster.Stats().ReadErrors >= before+3 })
		require.False(t, n.cluster.Ready())
		do(answers[1]...)
		want = append(want, events(event)...)
		c.expect(want...)
	}
	stats := n.cluster.Stats()
	require.Zero(t, stats.Gaps+stats.WentBack+stats.Resets+stats.Duplicates)
	// A refusal in the midst of a transaction is not taken for an empty log.
	do("ACL", "SETUSER", "default", "-xinfo")
	late := prepareNode(t, server.Addr(), testConfig("b:1"))
	late.run()
	eventually(t, "refused", func() bool { return late.cluster.Stats().ReadErrors >= 2 })
	require.Empty(t, late.cluster.Stats().Position)
	do("ACL", "SETUSER", "default", "+xinfo")
	eventually(t, "ready", late.cluster.Ready)
	require.Equal(t, n.cluster.Stats().Position, late.cluster.Stats().Position)
}
