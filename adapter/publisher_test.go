package adapter

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func TestARefusedPublishIsAnErrorOrCounted(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	n := startNode(t, server.Addr(), testConfig("a:1"))
	c := n.connect("r")
	admin := server.Client()
	refused := uint64(0)
	try := func(contains string) {
		t.Helper()
		require.ErrorContains(t, n.cluster.Publish(ctx, Broadcast{Event: "refused", Rooms: []string{"r"}}), contains)
		_ = n.io.To("r").Emit("refused")
		refused += 2
		eventually(t, "both counted", func() bool { return n.cluster.Stats().PublishFailed == refused })
	}
	require.NoError(t, admin.ConfigSet(ctx, "maxmemory", "1").Err())
	try("OOM")
	require.NoError(t, admin.ConfigSet(ctx, "maxmemory", "0").Err())
	n.publish("one", "r")
	require.NoError(t, admin.ReplicaOf(ctx, "127.0.0.1", "1").Err())
	try("READONLY")
	require.NoError(t, admin.ReplicaOf(ctx, "NO", "ONE").Err())
	n.publish("two", "r")
	c.expect(events("one", "two")...)
	server.Kill()
	try("")
	server.Launch()
	eventually(t, "ready again", n.cluster.Ready)
	n.publish("three", "r")
	c.expect(events("one", "two", "three")...)
	require.Equal(t, uint64(3), n.cluster.Stats().Published)
}

func TestTheQueueIsBounded(t *testing.T) {
	server := redistest.Start(t)
	cfg := testConfig("a:1")
	cfg.PublishQueue = 2
	n := prepareNode(t, server.Addr(), cfg)
	for i := range 5 {
		_ = n.io.Emit("ev", i)
	}
	require.Equal(t, uint64(3), n.cluster.Stats().PublishDropped)
	require.Equal(t, 2, n.cluster.Stats().Queued)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	err := n.cluster.Publish(ctx, Broadcast{Event: "late"})
	require.ErrorIs(t, err, ErrQueueFull)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	// A caller that gives up while queued, and one that still waits when the node stops.
	waiting := make(chan error, 1)
	go func() { waiting <- n.cluster.Publish(context.Background(), Broadcast{Event: "patient"}) }()
	n.run()
	require.NoError(t, <-waiting)
	length, err := server.Client().XLen(context.Background(), logKey).Result()
	require.NoError(t, err)
	require.Equal(t, int64(3), length)
}

func TestACallerThatGaveUpIsNotPublishedFor(t *testing.T) {
	server := redistest.Start(t)
	n := prepareNode(t, server.Addr(), testConfig("a:1"))
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan error, 1)
	go func() { gone <- n.cluster.Publish(ctx, Broadcast{Event: "given up"}) }()
	eventually(t, "queued", func() bool { return n.cluster.Stats().Queued == 1 })
	cancel()
	require.ErrorIs(t, <-gone, context.Canceled)
	n.run()
	eventually(t, "settled", func() bool { return n.cluster.Stats().PublishFailed == 1 })
	require.Zero(t, n.cluster.Stats().Published)
}

func TestWhatIsQueuedAtTheStopIsSent(t *testing.T) {
	server := redistest.Start(t)
	n := startNode(t, server.Addr(), testConfig("a:1"))
	for i := range 2000 {
		_ = n.io.Emit("ev", i)
	}
	n.stop()
	entries, err := server.Client().XRange(context.Background(), logKey, "-", "+").Result()
	require.NoError(t, err)
	require.Len(t, entries, 2000)
	for i, e := range entries {
		require.Contains(t, e.Values["data"], fmt.Sprintf(`"data":["ev",%d]`, i))
	}
	_ = n.io.Emit("too late")
	require.Equal(t, uint64(1), n.cluster.Stats().PublishFailed)
}

func TestPublishersOfManyGoroutinesAreEachInOrder(t *testing.T) {
	server := redistest.Start(t)
	n := startNode(t, server.Addr(), testConfig("a:1"))
	c := n.connect("r")
	var group sync.WaitGroup
	const workers, each = 8, 100
	for w := range workers {
		group.Go(func() {
			for i := range each {
				_ = n.cluster.Publish(context.Background(), Broadcast{
					Event: fmt.Sprint("w", w), Rooms: []string{"r"}, Args: raw(strconv.Itoa(i)),
				})
			}
		})
	}
	group.Wait()
	eventually(t, "all", func() bool { return c.count() == workers*each })
	next := make(map[string]int)
	for _, text := range c.got() {
		name, rest, _ := strings.Cut(strings.Trim(text, `[]"`), `",`)
		require.Equal(t, strconv.Itoa(next[name]), rest)
		next[name]++
	}
}

func TestAppendingTrimsByTheLogsOwnAge(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	cfg := testConfig("a:1")
	cfg.PositionEvery, cfg.LogMaxAge = time.Second, 2*time.Second
	n := startNode(t, server.Addr(), cfg)
	c := n.connect("r")
	pipe := server.Client().Pipeline()
	for i := range 500 {
		pipe.XAdd(ctx, &redis.XAddArgs{Stream: logKey, ID: fmt.Sprint("1000-", i+1), Values: []string{"a", "b"}})
	}
	pipe.XAdd(ctx, &redis.XAddArgs{Stream: logKey, ID: "2000-0", Values: []string{"a", "b"}})
	_, err := pipe.Exec(ctx)
	require.NoError(t, err)
	n.publish("one", "r")
	c.expect(events("one")...)
	// The age is taken from what this node has read, which it notes a moment after its clients have it.
	eventually(t, "whole nodes of old entries go", func() bool {
		n.publish("more", "r")
		return server.Client().XLen(ctx, logKey).Val() < 110
	})
}

// After a long outage every reader's position is old, also of one that is a little later than the others.
func TestALongPauseOfTheLogIsNoGap(t *testing.T) {
	server := redistest.Start(t, "--stream-node-max-entries", "1") // so that trimming is exact
	p := startProxy(t, server.Addr())
	record := tape{t, server.Client()}
	a := openLobby(t, server.Addr(), testConfig("a:1"))
	b := openLobby(t, server.Addr(), testConfig("b:1"), p.through())
	v := newVisitor(t, "u", "r")
	v.mustVisit(b, false)
	record.add("100000-0", "1-1", "r", "before")
	v.expect("| before")
	p.setCut(true)
	eventually(t, "the reader is cut off", func() bool { return !b.cluster.Ready() })
	record.add("101000-0", "1-2", "r", "last")
	for range 3 {
		a.tell("r", "next")
		a.caughtUp(server.Client())
		_, err := a.cluster.appendPosition(context.Background())
		require.NoError(t, err)
	}
	p.setCut(false)
	v.expect("| before last next next next")
	require.Zero(t, a.cluster.Stats().Gaps+b.cluster.Stats().Gaps)
}
