package adapter

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// fat appends n entries of a kilobyte each, from 1-1 on, and one more as the log's end.
func fat(t *testing.T, c *redis.Client, n int) {
	t.Helper()
	text, err := json.Marshal(strings.Repeat("x", 1000))
	require.NoError(t, err)
	fields, err := EncodeBroadcast("core:1", Broadcast{Event: "e", Rooms: []string{"r"}, Args: []json.RawMessage{text}})
	require.NoError(t, err)
	pipe := c.Pipeline()
	for i := range n {
		pipe.XAdd(context.Background(), &redis.XAddArgs{Stream: logKey, ID: fmt.Sprint("1-", i+1), Values: fields})
	}
	_, err = pipe.Exec(context.Background())
	require.NoError(t, err)
}

func TestTheRingIsFilledNoFurtherThanItsBytes(t *testing.T) {
	server := redistest.Start(t)
	fat(t, server.Client(), 2000)
	cfg := testConfig("a:1")
	cfg.ReadCount, cfg.RingMaxBytes = 50, 100_000
	l := openLobby(t, server.Addr(), cfg)
	require.Less(t, calls(t, server.Client(), "xrevrange"), 5, "100 kB are two pages")
	l.cluster.deliverMu.Lock()
	defer l.cluster.deliverMu.Unlock()
	require.Greater(t, l.cluster.ring.bytes, 90_000)
	require.LessOrEqual(t, l.cluster.ring.bytes, 100_000)
	require.Equal(t, streamID{ms: 1, seq: 2000}, l.cluster.ring.all.last().id)
}

func TestOlderEntriesAreReadNoFurtherThanTheRingsBytes(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	fat(t, server.Client(), 4*historyPage)
	cfg := testConfig("a:1")
	cfg.RingMaxBytes = 1 << 20
	l := prepareLobby(t, server.Addr(), cfg)
	defer l.http.Close()
	h := &l.cluster.history
	end := streamID{ms: 1, seq: 4 * historyPage}
	h.forget(end)
	before := calls(t, server.Client(), "xrevrange")
	_, err := h.backTo(ctx, streamID{ms: 1, seq: 1}, end)
	require.ErrorIs(t, err, errUncovered)
	require.Equal(t, before+1, calls(t, server.Client(), "xrevrange"), "the first page is too much already")
	q := question{nsp: "/", after: streamID{ms: 1, seq: 1}, limit: 10_000}
	_, err = h.missed(ctx, q, end)
	require.ErrorIs(t, err, errUncovered)
	require.Equal(t, before+1, calls(t, server.Client(), "xrevrange"), "and that is remembered")
	near := end
	near.seq -= 500
	q.after, q.rooms = near, map[string]streamID{"r": {}}
	found, err := h.missed(ctx, q, end)
	require.NoError(t, err)
	require.Len(t, found, 500)
}

func TestWhatWasPinnedAndWhatCameAfterwardsAreLimitedTogether(t *testing.T) {
	server := redistest.Start(t)
	cfg := testConfig("a:1")
	cfg.RecoveryMaxEvents = 3
	l := prepareLobby(t, server.Addr(), cfg)
	var armed atomic.Bool
	l.atMiddle = func(*Recovery) {
		if armed.CompareAndSwap(true, false) {
			l.tell("r", "e3", "e4")
			l.caughtUp(server.Client())
		}
	}
	l.run()
	eventually(t, "ready", l.cluster.Ready)
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	v.stored(server.Client(), isLive)
	v.cut()
	l.tell("r", "e1", "e2")
	l.caughtUp(server.Client())
	armed.Store(true)
	eventually(t, "a fresh start", func() bool { return v.visit(l) == nil && !v.isGone() })
	failures, _ := l.faults()
	require.Len(t, failures, 1)
	require.ErrorIs(t, failures[0], errTooMany)
	v.expect("| |")
}

func TestARingThatMovesOnWhileAClientIsAdmittedCostsNoSession(t *testing.T) {
	server := redistest.Start(t)
	cfg := testConfig("a:1")
	cfg.RingMaxEntries = 5
	l := prepareLobby(t, server.Addr(), cfg)
	names := []string{"e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8"}
	var armed atomic.Bool
	l.atMiddle = func(*Recovery) {
		if armed.CompareAndSwap(true, false) {
			l.tell("r", names...)
			l.caughtUp(server.Client())
		}
	}
	l.run()
	eventually(t, "ready", l.cluster.Ready)
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	v.stored(server.Client(), isLive)
	v.cut()
	armed.Store(true)
	eventually(t, "the log has it all", func() bool { return v.visit(l) == nil && !v.isGone() })
	v.expect(append([]string{"|"}, names...)...)
}

func TestADiscardedSessionHasEndedForAllNodes(t *testing.T) {
	server := redistest.Start(t)
	p := startProxy(t, server.Addr())
	a := openLobby(t, server.Addr(), testConfig("a:1"))
	cfg := testConfig("b:1")
	cfg.SessionTimeout = patience
	b := prepareLobby(t, server.Addr(), cfg, func(d *Deps) { d.Redis = redisClients(t, p.ln.Addr().String()).redis })
	b.atMiddle = func(*Recovery) { p.setCut(true) }
	b.run()
	eventually(t, "ready", b.cluster.Ready)
	v := newVisitor(t, "u", "r")
	v.mustVisit(a, false)
	v.stored(server.Client(), isLive)
	v.cut()
	other := newVisitor(t, "w", "r").at(v.lastOffset())
	other.pid = v.pid
	refused := make(chan error, 1)
	go func() { refused <- other.dial(b) }()
	eventually(t, "Redis is away when it is discarded", func() bool { return b.cluster.Stats().SessionErrors > 0 })
	select {
	case err := <-refused:
		t.Fatalf("refused before the session's end is written: %v", err)
	default:
	}
	p.setCut(false)
	require.ErrorIs(t, <-refused, errVisit)
	v.mustVisit(a, false)
}
