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
	l.fields(id, entryOf(l.t, event, src))
}

func (l logger) fields(id string, fields []string) {
	l.t.Helper()
	require.NoError(l.t, l.c.XAdd(context.Background(), &redis.XAddArgs{Stream: logKey, ID: id, Values: fields}).Err())
}

// flush empties Redis and appends, in one step, an event to the new log if it has a name. It waits for the next
// millisecond first: the new log's first entry could else have the last one's id.
func (l logger) flush(event, src string) {
	l.t.Helper()
	last := time.Now().UnixMilli()
	eventually(l.t, "the next millisecond", func() bool { return time.Now().UnixMilli() > last })
	ctx := context.Background()
	_, err := l.c.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.FlushAll(ctx)
		if event != "" {
			pipe.XAdd(ctx, &redis.XAddArgs{Stream: logKey, Values: entryOf(l.t, event, src)})
		}
		return nil
	})
	require.NoError(l.t, err)
}

// trim leaves the newest entries of the log.
func (l logger) trim(left int64) {
	l.t.Helper()
	require.NoError(l.t, l.c.XTrimMaxLen(context.Background(), logKey, left).Err())
}

// entryOf returns the fields of an event for the room r.
func entryOf(t testing.TB, event, src string) []string {
	t.Helper()
	fields, err := EncodeBroadcast("core:1", Broadcast{Event: event, Rooms: []string{"r"}})
	require.NoError(t, err)
	if src != "" {
		fields = append(fields, "src", src)
	}
	return fields
}

// follower is a node that follows the log through a proxy, with one socket in the room r.
type follower struct {
	logger
	*testNode

	server *redistest.Server
	proxy  *proxy
	client *client
}

func startFollower(t *testing.T, cfg Config, change ...func(*Deps)) follower {
	t.Helper()
	f := follower{server: redistest.Start(t)}
	f.logger, f.proxy = logger{t, f.server.Client()}, startProxy(t, f.server.Addr())
	f.testNode = startNode(t, f.server.Addr(), cfg, append([]func(*Deps){f.proxy.through()}, change...)...)
	f.client = f.connect("r")
	return f
}

// cutOff cuts the reader off Redis and waits until it has noticed.
func (f follower) cutOff() {
	f.testNode.t.Helper()
	f.proxy.setCut(true)
	eventually(f.testNode.t, "outage noticed", func() bool { return !f.cluster.Ready() })
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
	f := startFollower(t, testConfig("a:1"))
	f.add("*", "a", "9-9")
	f.add("*", "b", "9-10")
	f.add("*", "c", "10-0")
	f.add("*", "no source", "")
	f.fields("*", []string{"at", "1"})
	f.add("*", "dropped", "9-11")
	f.fields("*", []string{"src", "0-0"})
	f.add("*", "d", "1-0")
	f.add("*", "broken source", "x")
	f.add("*", "e", "1-1")
	f.client.expect(events("a", "b", "c", "no source", "d", "e")...)
	stats := f.cluster.Stats()
	require.Equal(t, uint64(1), stats.Duplicates)
	require.Equal(t, uint64(1), stats.BadEntries)
	late := startNode(t, f.server.Addr(), testConfig("b:1"))
	d := late.connect("r")
	f.add("*", "f", "1-2")
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

// After a long outage every reader's position is old, and nothing is lost as long as the log has it.
func TestAPositionAfterALongPauseTrimsNothingOfTheLogsEnd(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t, "--stream-node-max-entries", "1") // so that trimming is exact
	redisClient := server.Client()
	for _, id := range []string{"1000-0", "2900-0", "3000-0"} {
		logger{t, redisClient}.fields(id, []string{"a", "b"})
	}
	ids := func() (ids []string) {
		require.NoError(t, positionScript.Run(ctx, redisClient, []string{logKey}, 0, 1500, 1000).Err())
		entries, err := redisClient.XRange(ctx, logKey, "-", "+").Result()
		require.NoError(t, err)
		for _, e := range entries {
			ids = append(ids, e.ID)
		}
		return ids
	}
	for range 2 {
		require.Equal(t, []string{"2900-0", "3000-0"}, ids()[:2])
	}
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

func TestAnswersThatRefuseDelayDeliveryAndLoseNothing(t *testing.T) {
	ctx := context.Background()
	f := startFollower(t, testConfig("a:1"))
	f.add("*", "first", "0-1")
	want := events("first")
	f.client.expect(want...)
	do := func(args ...any) { t.Helper(); require.NoError(t, f.c.Do(ctx, args...).Err()) }
	for i, answers := range [][2][]any{
		{{"CONFIG", "SET", "requirepass", "secret"}, {"CONFIG", "SET", "requirepass", ""}},
		{{"ACL", "SETUSER", "default", "-xread"}, {"ACL", "SETUSER", "default", "+xread"}},
	} {
		before := f.cluster.Stats().ReadErrors
		do(answers[0]...)
		do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		event := fmt.Sprint("e", i)
		f.add("*", event, fmt.Sprint("1-", i))
		eventually(t, "refused", func() bool { return f.cluster.Stats().ReadErrors >= before+3 })
		require.False(t, f.cluster.Ready())
		do(answers[1]...)
		want = append(want, events(event)...)
		f.client.expect(want...)
	}
	stats := f.cluster.Stats()
	require.Zero(t, stats.Gaps+stats.WentBack+stats.Resets+stats.Duplicates)
	// A refusal in the midst of a transaction is not taken for an empty log.
	do("ACL", "SETUSER", "default", "-xinfo")
	late := prepareNode(t, f.server.Addr(), testConfig("b:1"))
	late.run()
	eventually(t, "refused", func() bool { return late.cluster.Stats().ReadErrors >= 2 })
	require.Empty(t, late.cluster.Stats().Position)
	do("ACL", "SETUSER", "default", "+xinfo")
	eventually(t, "ready", late.cluster.Ready)
	require.Equal(t, f.cluster.Stats().Position, late.cluster.Stats().Position)
}

// refuseLargeReads fails reads of more than most entries, as one does whose reply does not arrive in time.
type refuseLargeReads struct {
	beforeCommand

	most int64
	on   *atomic.Bool
}

func (h refuseLargeReads) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if args := cmd.Args(); h.on.Load() && cmd.Name() == "xread" && args[2].(int64) > h.most {
			cmd.SetErr(context.DeadlineExceeded)
			return context.DeadlineExceeded
		}
		return next(ctx, cmd)
	}
}

func TestWhatDoesNotArriveInTimeIsReadInSmallerParts(t *testing.T) {
	var slow atomic.Bool
	f := startFollower(t, testConfig("a:1"), func(d *Deps) {
		d.Blocking.AddHook(refuseLargeReads{most: 100, on: &slow})
	})
	f.add("*", "one", "")
	f.client.expect(events("one")...)
	slow.Store(true)
	f.cutOff()
	want := events("one")
	for i := range 300 {
		f.add("*", fmt.Sprint("e", i), "")
		want = append(want, events(fmt.Sprint("e", i))...)
	}
	f.proxy.setCut(false)
	f.client.expect(want...)
	slow.Store(false)
	require.Zero(t, f.gaps.Load())
}
