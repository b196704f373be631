package adapter

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func TestAConnectionThatIsLostBeforeItResumesKeepsItsSession(t *testing.T) {
	server := redistest.Start(t)
	l := openLobby(t, server.Addr(), testConfig("a:1"))
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	v.cut()
	l.tell("r", "e1")
	l.caughtUp(server.Client())
	l.atConnect = func(s *socket.Socket) {
		if s.Recovered() {
			l.cluster.Lost(s) // the node begins to drain, or the network fails
		}
	}
	_ = v.visit(l)
	eventually(t, "resuming failed", func() bool { failures, _ := l.faults(); return len(failures) > 0 })
	failures, _ := l.faults()
	require.ErrorIs(t, failures[0], errNoSocket)
	v.cut()
	l.atConnect = nil
	v.mustVisit(l, true)
	v.expect("| e1")
}

func TestOlderEntriesAreReadOnForTheNextClientWhenOneGivesUp(t *testing.T) {
	server := redistest.Start(t)
	redisClient := server.Client()
	cfg := testConfig("a:1")
	cfg.RingMaxEntries, cfg.Block = 5, 2*time.Second
	l := openLobby(t, server.Addr(), cfg)
	l.tell("r", "e0")
	l.caughtUp(redisClient)
	from, err := parseStreamID(l.cluster.Stats().Position)
	require.NoError(t, err)
	l.tell("r", "e1", "e2", "e3", "e4", "e5", "e6")
	l.caughtUp(redisClient)
	q := question{nsp: "/", after: from, rooms: map[string]streamID{"r": {}}, limit: 100}
	l.cluster.deliverMu.Lock()
	to := l.cluster.ring.from
	l.cluster.deliverMu.Unlock()

	require.NoError(t, redisClient.ClientPause(context.Background(), 500*time.Millisecond).Err())
	before, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err = l.cluster.history.missed(before, q, to)
	require.ErrorIs(t, err, ErrUnavailable)
	eventually(t, "it is read all the same", func() bool { return len(l.cluster.history.turn) == 0 })
	reads := logReads(t, redisClient)
	found, err := l.cluster.history.missed(context.Background(), q, to)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, reads, logReads(t, redisClient), "nothing is read twice")
}

func TestAPanicWhileOlderEntriesAreReadCostsOneRecovery(t *testing.T) {
	server := redistest.Start(t)
	l := openLobby(t, server.Addr(), testConfig("a:1"))
	whole := l.cluster.ring
	l.cluster.ring = nil // so that answering panics
	_, err := l.cluster.history.missed(context.Background(), question{nsp: "/"}, streamID{ms: 1})
	l.cluster.ring = whole
	require.ErrorIs(t, err, ErrUnavailable)
	require.Equal(t, uint64(1), l.cluster.Stats().DeliveryPanics)
	eventually(t, "the next one has its turn", func() bool { return len(l.cluster.history.turn) == 0 })
}

func TestWhoHasGivenUpIsLeftOutOfTheBatch(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	begun, release := make(chan struct{}, 1), make(chan struct{})
	var batches [][]int
	b := newBatcher(func(_ context.Context, calls []*batched[int]) error {
		var values []int
		for _, call := range calls {
			values = append(values, call.value)
		}
		batches = append(batches, values)
		begun <- struct{}{}
		<-release
		return nil
	})
	ended := make(chan struct{})
	go func() { defer close(ended); b.run(ctx) }()
	done := make(chan error, 3)
	call := func(ctx context.Context, value int) {
		go func() { _, err := b.do(ctx, value); done <- err }()
	}
	call(ctx, 1)
	<-begun
	given, giveUp := context.WithCancel(ctx)
	call(given, 2)
	eventually(t, "2 waits", func() bool { return len(b.queue) == 1 })
	giveUp()
	require.ErrorIs(t, <-done, ErrUnavailable)
	call(ctx, 3)
	eventually(t, "3 waits", func() bool { return len(b.queue) == 2 })
	close(release)
	require.NoError(t, errors.Join(<-done, <-done))
	cancel()
	<-ended
	require.Equal(t, [][]int{{1}, {3}}, batches)
}

func TestSessionsAreWrittenAgainWhenRedisMayHaveLostThem(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	redisClient := server.Client()
	p := startProxy(t, server.Addr())
	l := openLobby(t, server.Addr(), testConfig("a:1"), p.through())
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	v.stored(redisClient, isLive)
	require.NoError(t, redisClient.Del(ctx, sessionKey(v)).Err()) // as a failover can
	p.setCut(true)
	eventually(t, "outage noticed", func() bool { return !l.cluster.Ready() })
	p.setCut(false)
	v.stored(redisClient, isLive)
}
