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

func TestALogThatWentBackIsFollowedFromItsNewestKnownEntry(t *testing.T) {
	for _, connected := range []bool{true, false} {
		t.Run(fmt.Sprint("connected=", connected), func(t *testing.T) {
			ctx := context.Background()
			f := startFollower(t, testConfig("a:1"))
			f.add("100-1", "a", "1-1")
			f.add("100-2", "b", "1-2")
			f.add("100-3", "c", "1-3")
			dump, err := f.c.Dump(ctx, logKey).Result()
			require.NoError(t, err)
			f.add("200-0", "lost", "1-4")
			f.add("200-1", "lost too", "1-5")
			f.client.expect(events("a", "b", "c", "lost", "lost too")...)
			if !connected {
				f.proxy.setCut(true)
			}
			// The failover's survivor: the tail is gone, and there are other entries below the reader's position.
			_, err = f.c.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
				pipe.RestoreReplace(ctx, logKey, 0, dump)
				for i, event := range []string{"lost", "lost too", "new"} {
					pipe.XAdd(ctx, &redis.XAddArgs{
						Stream: logKey, ID: fmt.Sprint("150-", i), Values: entryOf(t, event, fmt.Sprint("1-", 4+i)),
					})
				}
				return nil
			})
			require.NoError(t, err)
			f.proxy.setCut(false)
			f.client.expect(events("a", "b", "c", "lost", "lost too", "new")...)
			stats := f.cluster.Stats()
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
	f := startFollower(t, testConfig("a:1"))
	f.add("*", "one", "1-1")
	f.client.expect(events("one")...)
	f.proxy.setCut(true)
	f.add("*", "missed", "1-2")
	f.add("*", "two", "1-3")
	f.add("*", "three", "1-4")
	f.trim(2)
	f.proxy.setCut(false)
	f.client.expect(events("one", "two", "three")...)
	require.Equal(t, uint64(1), f.cluster.Stats().Gaps)
	require.Equal(t, int64(1), f.gaps.Load())
	// All trimmed, later ones included: the log's last id still tells.
	f.proxy.setCut(true)
	f.add("*", "missed too", "1-5")
	f.trim(0)
	f.proxy.setCut(false)
	eventually(t, "second gap", func() bool { return f.gaps.Load() == 2 })
	f.add("*", "four", "1-6")
	f.client.expect(events("one", "two", "three", "four")...)
	// A log that is empty, but of which nothing was missed, is no gap.
	f.trim(0)
	f.cutOff()
	f.proxy.setCut(false)
	eventually(t, "ready", f.cluster.Ready)
	f.add("*", "five", "1-7")
	f.client.expect(events("one", "two", "three", "four", "five")...)
	require.Equal(t, uint64(2), f.cluster.Stats().Gaps)
}

func TestALogBegunAndTrimmedBeforeItWasReadIsAGap(t *testing.T) {
	f := startFollower(t, testConfig("a:1"))
	f.cutOff()
	f.add("*", "missed", "")
	f.add("*", "one", "")
	f.trim(1)
	f.proxy.setCut(false)
	f.client.expect(events("one")...)
	require.Equal(t, int64(1), f.gaps.Load())
}

func TestAFlushedLogIsReadFromItsBeginning(t *testing.T) {
	f := startFollower(t, testConfig("a:1"))
	f.add("5000000000000-0", "one", "9-9")
	f.client.expect(events("one")...)
	f.flush("", "")
	eventually(t, "flush noticed", func() bool { return f.cluster.Stats().Resets == 1 })
	f.add("*", "two", "1-1") // below the old position, and below the old source
	f.client.expect(events("one", "two")...)
	f.proxy.setCut(true)
	f.flush("three", "0-5")
	f.proxy.setCut(false)
	f.client.expect(events("one", "two", "three")...)
	// Flushed and written to while the reader waits: nothing but the lower source tells.
	f.flush("four", "0-1")
	f.client.expect(events("one", "two", "three", "four")...)
	require.Equal(t, uint64(3), f.cluster.Stats().Resets)
	require.Equal(t, int64(3), f.gaps.Load(), "whatever else the log held is lost")
	require.Zero(t, f.cluster.Stats().WentBack)
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
	cfg := testConfig("a:1")
	cfg.ReadCount = 10
	var behind atomic.Bool
	var f follower
	trimmed := false
	f = startFollower(t, cfg, func(d *Deps) {
		d.Blocking.AddHook(beforeCommand{"xread", func() {
			if behind.Load() && !trimmed && f.cluster.count.delivered.Load() == 11 {
				trimmed = true
				f.trim(5)
			}
		}})
	})
	f.add("*", "one", "")
	f.client.expect(events("one")...)
	f.cutOff()
	want := events("one")
	for i := range 30 {
		f.add("*", fmt.Sprint("e", i), "")
		if i < 10 || i >= 25 {
			want = append(want, events(fmt.Sprint("e", i))...)
		}
	}
	behind.Store(true)
	f.proxy.setCut(false)
	f.client.expect(want...)
	require.Equal(t, int64(1), f.gaps.Load(), "what was missed is known")
}

func TestTrimmingOvertakesAReaderThatWasHeldUp(t *testing.T) {
	f := startFollower(t, testConfig("a:1"))
	entered, release := make(chan struct{}), make(chan struct{})
	_ = f.cluster.adapterOf("/").On("join-room", func(...any) {
		close(entered)
		<-release
	})
	f.io.In("r").SocketsJoin("x")
	<-entered
	held := time.Now()
	f.add("*", "missed", "")
	f.add("*", "two", "")
	f.trim(1)
	eventually(t, "held up for long", func() bool { return time.Since(held) > 2*time.Second })
	close(release)
	f.client.expect(events("two")...)
	require.Equal(t, int64(1), f.gaps.Load())
}

func TestAFlushIsNoticedWhateverComesFirst(t *testing.T) {
	cfg := testConfig("a:1")
	cfg.Block = 30 * time.Second
	f := startFollower(t, cfg)
	f.add("*", "one", "9-9")
	f.client.expect(events("one")...)
	blockedReader(t, f.c)
	f.flush("unsourced", "")
	f.client.expect(events("one", "unsourced")...)
	f.add("*", "two", "0-5")
	f.add("*", "three", "0-6")
	f.client.expect(events("one", "unsourced", "two", "three")...)
	require.Equal(t, uint64(1), f.cluster.Stats().Resets)
	require.Zero(t, f.cluster.Stats().Duplicates)
}

func TestANewLogWhoseClockIsBehindIsReadFromItsBeginning(t *testing.T) {
	f := startFollower(t, testConfig("a:1"))
	f.add("5000000000000-0", "one", "9-9")
	f.client.expect(events("one")...)
	f.proxy.setCut(true)
	f.flush("", "")
	f.add("4000000000000-0", "two", "1-1")
	f.proxy.setCut(false)
	f.client.expect(events("one", "two")...)
	require.Equal(t, uint64(1), f.cluster.Stats().Resets)
	require.Zero(t, f.cluster.Stats().WentBack)
}

func TestAfterAGapSourcesStartAnew(t *testing.T) {
	f := startFollower(t, testConfig("a:1"))
	f.add("*", "one", "9-9")
	f.client.expect(events("one")...)
	f.proxy.setCut(true)
	f.flush("", "")
	for i, event := range []string{"missed", "two", "three"} {
		f.add("*", event, fmt.Sprint("1-", i))
	}
	f.trim(2)
	f.proxy.setCut(false)
	f.client.expect(events("one", "two", "three")...)
	require.Equal(t, int64(1), f.gaps.Load())
}

func TestAnEntryThatWasFlushedAwayUnreadIsAGapAlthoughOthersFollow(t *testing.T) {
	ctx := context.Background()
	cfg := testConfig("a:1")
	cfg.Block = 2 * time.Second
	f := startFollower(t, cfg)
	f.add("*", "one", "1-1")
	f.client.expect(events("one")...)
	blockedReader(t, f.c)
	entry := func(event, src string) *redis.XAddArgs {
		fields, err := EncodeBroadcast("core:1", Broadcast{Event: event, Rooms: []string{"r"}})
		require.NoError(t, err)
		return &redis.XAddArgs{Stream: logKey, Values: append(fields, "src", src)}
	}
	_, err := f.c.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.XAdd(ctx, entry("lost", "1-2"))
		pipe.FlushAll(ctx)
		pipe.XAdd(ctx, entry("two", "1-3"))
		return nil
	})
	require.NoError(t, err)
	f.client.expect(events("one", "two")...)
	require.Equal(t, int64(1), f.gaps.Load())
	require.Equal(t, uint64(1), f.cluster.Stats().Resets)
}
