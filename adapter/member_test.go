package adapter

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func TestABlockedSocketDelaysNobodyElseAndIsClosedInTheEnd(t *testing.T) {
	needsLibraryConnections(t)
	server := redistest.Start(t)
	n := startNode(t, server.Addr(), testConfig("a:1"))
	good, stuck := n.connect("r"), n.connect("r")
	entered, release := make(chan struct{}), make(chan struct{})
	n.socket(stuck.sid).OnAnyOutgoing(func(args ...any) {
		if args[0] == "block" {
			close(entered)
			<-release
		}
	})
	n.publish("block", "r")
	<-entered
	want := events("block")
	for i := range 50 {
		n.publish(fmt.Sprint("e", i), "r")
		want = append(want, fmt.Sprintf(`["e%d"]`, i))
	}
	good.expect(want...)
	require.Empty(t, stuck.got())
	require.Zero(t, n.cluster.Stats().SlowSockets)
	m := n.cluster.adapterOf("/").table.list("r")
	for _, m := range m {
		box := m.out.Load()
		box.mu.Lock()
		box.progress = box.progress.Add(-2 * stuckAfter)
		box.mu.Unlock()
	}
	n.publish("last", "r")
	good.expect(append(want, events("last")...)...)
	require.Equal(t, uint64(1), n.cluster.Stats().SlowSockets)
	eventually(t, "stuck connection closed", stuck.isClosed)
	n.publish("after", "r")
	close(release)
}

func TestASocketThatWasHeldUpGetsEverythingInOrder(t *testing.T) {
	needsLibraryConnections(t)
	server := redistest.Start(t)
	n := startNode(t, server.Addr(), testConfig("a:1"))
	c := n.connect("r")
	release := make(chan struct{})
	n.socket(c.sid).OnAnyOutgoing(func(args ...any) {
		if args[0] == "block" {
			<-release
		}
	})
	n.publish("block", "r")
	want := events("block")
	for i := range 300 {
		n.publish(fmt.Sprint("e", i), "r")
		want = append(want, fmt.Sprintf(`["e%d"]`, i))
	}
	close(release)
	c.expect(want...)
}

func TestOutboxIsBounded(t *testing.T) {
	var o outbox
	require.Equal(t, putOpening, o.put(job{}))
	for range maxWaiting - 1 {
		require.Equal(t, putQueued, o.put(job{}))
	}
	require.Equal(t, putSlow, o.put(job{}))
	require.Equal(t, putDead, o.put(job{}))

	o = outbox{}
	require.Equal(t, putOpening, o.put(job{}))
	batch := o.take(nil)
	require.Len(t, batch, 1)
	require.Equal(t, putQueued, o.put(job{}))
	batch = o.take(batch)
	require.Len(t, batch, 1)
	require.Nil(t, o.take(batch))
	require.Equal(t, putDrain, o.put(job{}))
	o.noteProgress()
	require.WithinDuration(t, time.Now(), o.progress, time.Minute)
}

func TestPacketsFollowWhatTheConnectionHandlerSends(t *testing.T) {
	server := redistest.Start(t)
	n := startNode(t, server.Addr(), testConfig("a:1"))
	done := make(chan struct{})
	_ = n.io.On("connection", func(args ...any) {
		// Broadcasts that arrive while the handler runs.
		for i := range 3 {
			n.publish(fmt.Sprint("e", i))
		}
		eventually(t, "delivered", func() bool { return n.cluster.Stats().Delivered == 3 })
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, s := range n.sockets {
			_ = s.Emit("connected")
		}
		close(done)
	})
	c := n.connect()
	<-done
	c.expect(events("connected", "e0", "e1", "e2")...)
}

func TestPacing(t *testing.T) {
	var b backoff
	for range 10 {
		b.next = min(max(b.next*2, backoffMin), backoffMax)
	}
	require.Equal(t, backoffMax, b.next)
	b.reset()
	require.Zero(t, b.next)
	var th throttle
	_, ok := th.allow("a")
	require.True(t, ok)
	_, ok = th.allow("a")
	require.False(t, ok)
	_, ok = th.allow("b")
	require.True(t, ok)
	th.kinds["a"].last = time.Time{}
	skipped, ok := th.allow("a")
	require.True(t, ok)
	require.Equal(t, 1, skipped)
	var ts tasks
	release := make(chan struct{})
	ts.spawn(func() { <-release })
	require.Equal(t, int64(1), ts.wait(time.Millisecond))
	close(release)
	require.Zero(t, ts.wait(patience))
}
