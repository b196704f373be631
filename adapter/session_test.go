package adapter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func TestASessionThatIsBeingWrittenCountsAsUnsaved(t *testing.T) {
	r := newRegistry()
	s := &session{pid: "p", sid: "s", gen: 1, state: sessionLive, rooms: map[string]string{"r": "1-1"}}
	require.Nil(t, r.add(s))
	r.touch("s")
	batch := r.take("a:1", 10)
	require.Len(t, batch, 1)
	_, unsaved, ok := r.local("p")
	require.True(t, ok)
	require.True(t, unsaved)
	r.settle(batch[0], true)
	_, unsaved, _ = r.local("p")
	require.False(t, unsaved)
	r.touch("s")
	r.giveBack(r.take("a:1", 10))
	_, unsaved, _ = r.local("p")
	require.True(t, unsaved)
	batch = r.take("a:1", 10)
	r.touch("s")
	r.settle(batch[0], true)
	_, unsaved, _ = r.local("p")
	require.True(t, unsaved, "it has changed while it was written")
}

// tarpit accepts connections and never answers.
func tarpit(t *testing.T) (addr string, drain func()) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var group sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	group.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
		}
	})
	return ln.Addr().String(), func() {
		_ = ln.Close()
		group.Wait()
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
}

func TestSavedAnswersInTimeWhateverRedisDoes(t *testing.T) {
	server := redistest.Start(t)
	redisClient := server.Client()
	pit, drain := tarpit(t)
	// Only the commands hang, and for longer than the test would.
	hanging := redis.NewClient(&redis.Options{Addr: pit, MaxRetries: -1, ReadTimeout: time.Hour, Protocol: 2, DisableIdentity: true})
	cfg := testConfig("a:1")
	cfg.SessionTimeout = 200 * time.Millisecond
	l := prepareLobby(t, server.Addr(), cfg, func(d *Deps) { d.Redis = hanging })
	l.run()
	t.Cleanup(func() { drain(); _ = hanging.Close() }) // before the node is stopped
	eventually(t, "the log is read", func() bool { return l.cluster.reading.Load() })
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	var calls atomic.Int64
	results := make(chan error, 10)
	for range 3 {
		l.cluster.Saved(l.socketOf("u"), func(err error) { calls.Add(1); results <- err })
	}
	for range 3 {
		select {
		case err := <-results:
			require.ErrorIs(t, err, ErrUnavailable)
		case <-time.After(patience):
			t.Fatal("never called")
		}
	}
	require.Zero(t, calls.Load()-3)
	require.Zero(t, redisClient.Exists(context.Background(), sessionKey(v)).Val())
}

func TestSavedIsCalledOnceInEveryCase(t *testing.T) {
	server := redistest.Start(t)
	p := startProxy(t, server.Addr())
	cfg := testConfig("a:1")
	cfg.SessionTimeout = 300 * time.Millisecond
	l := openLobby(t, server.Addr(), cfg, func(d *Deps) { d.Redis = redisClients(t, p.ln.Addr().String()).redis })
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	s := l.socketOf("u")
	ask := func() chan error {
		got := make(chan error, 8)
		l.cluster.Saved(s, func(err error) { got <- err })
		return got
	}
	answer := func(got chan error) error {
		select {
		case err := <-got:
			return err
		case <-time.After(patience):
			return errors.New("never called")
		}
	}
	all := []chan error{ask()}
	require.NoError(t, answer(all[0]))
	p.setCut(true)
	all = append(all, ask())
	require.ErrorIs(t, answer(all[1]), ErrUnavailable)
	p.setCut(false)
	eventually(t, "written again", func() bool { all = append(all, ask()); return answer(all[len(all)-1]) == nil })
	// Lost to a newer connection, elsewhere.
	require.NoError(t, server.Client().Set(context.Background(), sessionKey(v), `{"owner":"b:1","gen":7}`, time.Minute).Err())
	all = append(all, ask())
	require.ErrorIs(t, answer(all[len(all)-1]), ErrSessionLost)
	v.expectGone()
	all = append(all, ask())
	require.ErrorIs(t, answer(all[len(all)-1]), ErrSessionLost)
	w := newVisitor(t, "w", "r")
	w.mustVisit(l, false)
	s = l.socketOf("w")
	p.setCut(true)
	all = append(all, ask())
	l.stop()
	require.Error(t, answer(all[len(all)-1]))
	for _, got := range all {
		require.Empty(t, got, "called more than once")
	}
}

// While Redis is away clients may come and go for hours.
func TestWhatWaitsToBeWrittenIsBounded(t *testing.T) {
	r := newRegistry()
	r.limit = 10
	var dropped, answered int
	come := func(i int) *session {
		s := &session{pid: fmt.Sprint("p", i), sid: fmt.Sprint("s", i), gen: 1, state: sessionLive}
		r.add(s)
		r.touch(socket.SocketId(s.sid))
		return s
	}
	stay := []*session{come(-1), come(-2), come(-3)}
	for i := range 1000 {
		s := come(i)
		r.wait(socket.SocketId(s.sid), waiter{done: func(error) { answered++ }, deadline: time.Now().Add(time.Hour)})
		if r.finish(socket.SocketId(s.sid), sessionClosed) {
			dropped++
		}
	}
	require.Equal(t, 1000-10+len(stay), dropped)
	require.LessOrEqual(t, len(r.unsaved), 3*r.limit)
	require.LessOrEqual(t, len(r.byPid), r.limit)
	_, orphans := r.overdue(time.Now())
	for _, w := range orphans {
		w.done(nil)
	}
	require.Equal(t, dropped, answered)
	written := make(map[*session]bool)
	for batch := r.take("a:1", 7); len(batch) > 0; batch = r.take("a:1", 7) {
		for _, w := range batch {
			require.False(t, written[w.s])
			written[w.s] = true
			r.settle(w, true)
		}
	}
	require.Len(t, written, 10)
	for _, s := range stay {
		require.True(t, written[s], "a live one is kept")
	}
	require.Empty(t, r.unsaved)
}

func TestTheApplicationMayTellHowASocketEnded(t *testing.T) {
	server := redistest.Start(t)
	l := openLobby(t, server.Addr(), testConfig("a:1"))
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	l.cluster.Lost(l.socketOf("u"))
	v.stored(server.Client(), isClosed)
	v.mustVisit(l, true)
	l.cluster.End(l.socketOf("u"))
	v.stored(server.Client(), isEnded)
	l.cluster.Lost(l.socketOf("u")) // too late
	v.mustVisit(l, false)
}

func TestAJoinAfterTheLossIsNotSaved(t *testing.T) {
	server := redistest.Start(t)
	l := openLobby(t, server.Addr(), testConfig("a:1"))
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	s := l.io.Sockets().Sockets().Values()[0]
	l.cluster.Lost(s)
	s.Join("late")
	saved := make(chan error, 1)
	l.cluster.Saved(s, func(err error) { saved <- err })
	require.ErrorIs(t, <-saved, ErrSessionLost, "the session has the rooms that it had at the loss")
}

func TestAClientThatIsBackAtOnceCostsOneWrite(t *testing.T) {
	server := redistest.Start(t)
	l := openLobby(t, server.Addr(), testConfig("a:1"))
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	v.stored(server.Client(), isLive)
	before := calls(t, server.Client(), "set")
	for range 5 {
		v.cut()
		v.mustVisit(l, true)
	}
	require.Equal(t, before+5, calls(t, server.Client(), "set"))
}

func TestALossIsWrittenLateButCountsFromItself(t *testing.T) {
	server := redistest.Start(t)
	cfg := testConfig("a:1")
	cfg.RecoveryWindow, cfg.CloseDelay = time.Minute, 300*time.Millisecond
	l := openLobby(t, server.Addr(), cfg)
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	v.cut()
	v.stored(server.Client(), func(rec record) bool { return rec.Closed })
	left := server.Client().PTTL(context.Background(), sessionKey(v)).Val()
	require.LessOrEqual(t, left, cfg.RecoveryWindow-cfg.CloseDelay)
	require.Greater(t, left, cfg.RecoveryWindow/2)
}
