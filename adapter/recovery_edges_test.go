package adapter

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// tape writes log entries with ids and sources of the test's choice.
type tape struct {
	t testing.TB
	c *redis.Client
}

func (p tape) add(id, src, room, event string) {
	p.t.Helper()
	require.NoError(p.t, p.put(p.c, id, src, room, event))
}

func (p tape) put(to redis.Cmdable, id, src, room, event string) error {
	fields, err := EncodeBroadcast("core:1", Broadcast{Event: event, Rooms: []string{room}})
	if err != nil {
		return err
	}
	return to.XAdd(context.Background(), &redis.XAddArgs{Stream: logKey, ID: id, Values: append(fields, "src", src)}).Err()
}

func (p tape) dump() string {
	p.t.Helper()
	dump, err := p.c.Dump(context.Background(), logKey).Result()
	require.NoError(p.t, err)
	return dump
}

// goBack makes the log what it was, with other entries behind that: id, source, room, event of each.
func (p tape) goBack(dump string, entries ...[4]string) {
	p.t.Helper()
	_, err := p.c.TxPipelined(context.Background(), func(pipe redis.Pipeliner) error {
		pipe.RestoreReplace(context.Background(), logKey, 0, dump)
		for _, e := range entries {
			if err := p.put(pipe, e[0], e[1], e[2], e[3]); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(p.t, err)
}

func (l *lobby) wentBack(times uint64) {
	l.t.Helper()
	eventually(l.t, "the log is found to have gone back", func() bool { return l.cluster.Stats().WentBack == times })
}

func TestOffsetsFromALostTailDoNotRecoverAndOthersDo(t *testing.T) {
	server := redistest.Start(t)
	p := tape{t, server.Client()}
	l := openLobby(t, server.Addr(), testConfig("a:1"))
	in, out, stays := newVisitor(t, "in", "r"), newVisitor(t, "out", "r"), newVisitor(t, "stays", "r")
	for _, v := range []*visitor{in, out, stays} {
		v.mustVisit(l, false)
	}
	p.add("100-1", "1-1", "r", "a")
	p.add("100-2", "1-2", "r", "b")
	for _, v := range []*visitor{in, out, stays} {
		v.expect("| a b")
		v.stored(p.c, isLive)
	}
	out.cut()
	dump := p.dump()
	p.add("200-0", "1-3", "r", "c")
	in.expect("| a b c")
	stays.expect("| a b c")
	in.cut()
	p.goBack(dump, [4]string{"150-0", "1-3", "r", "c"}, [4]string{"150-1", "1-4", "r", "d"})
	l.wentBack(1)
	stays.expect("| a b c d")
	in.mustVisit(l, false)
	in.expect("| a b c |")
	out.mustVisit(l, true)
	out.expect("| a b c d")
	p.add("150-2", "1-5", "r", "e")
	stays.cut()
	stays.mustVisit(l, true)
	for v, had := range map[*visitor]string{in: "| a b c |", out: "| a b c d", stays: "| a b c d"} {
		v.expect(had + " e")
	}
}

// The position that a room was joined at can be in the lost tail too: of a socket that stays, and of one that is away.
func TestRoomsJoinedInALostTailLoseNothing(t *testing.T) {
	server := redistest.Start(t)
	p := tape{t, server.Client()}
	l := openLobby(t, server.Addr(), testConfig("a:1"))
	stays, away, early := newVisitor(t, "stays", "r"), newVisitor(t, "away", "r"), newVisitor(t, "early", "r")
	all := []*visitor{stays, away, early}
	for _, v := range all {
		v.mustVisit(l, false)
	}
	p.add("100-1", "1-1", "r", "a")
	for _, v := range all {
		v.expect("| a")
	}
	dump := p.dump()
	p.add("200-0", "1-2", "elsewhere", "x")
	l.caughtUp(p.c)
	for _, v := range all {
		v.emit("join", "late")
	}
	away.cut()
	early.cut()
	away.stored(p.c, isClosed)
	early.stored(p.c, isClosed)
	p.goBack(dump, [4]string{"150-0", "1-3", "r", "b"})
	l.wentBack(1)
	stays.expect("| a b")
	// Its node does not know yet whether the tail is lost or only ahead of it.
	early.mustVisit(l, false)
	stays.stored(p.c, func(r record) bool { return isLive(r) && r.Rooms["late"] == "100-1" })
	stays.cut()
	p.add("150-1", "1-4", "late", "c")
	l.caughtUp(p.c)
	stays.mustVisit(l, true)
	stays.expect("| a b c")
	p.add("300-0", "1-5", "late", "d")
	l.caughtUp(p.c)
	away.mustVisit(l, false)
}

// oneBehind opens two nodes; the second one's reader has read "first" and is cut off from Redis until p lets it go on.
func oneBehind(t *testing.T) (server *redistest.Server, a, b *lobby, p *proxy) {
	t.Helper()
	server = redistest.Start(t)
	p = startProxy(t, server.Addr())
	a = openLobby(t, server.Addr(), testConfig("a:1"))
	a.tell("r", "first")
	b = openLobby(t, server.Addr(), testConfig("b:1"), p.through())
	b.caughtUp(server.Client())
	p.setCut(true)
	eventually(t, "the reader is cut off", func() bool { return !b.cluster.Ready() })
	return server, a, b, p
}

// A room may well have been joined ahead of a node that is behind.
func TestRoomsJoinedAheadOfANodeAreKept(t *testing.T) {
	server, a, b, p := oneBehind(t)
	v := newVisitor(t, "u", "r")
	v.mustVisit(a, false)
	a.tell("elsewhere", "x")
	a.caughtUp(server.Client())
	v.emit("join", "late")
	v.cut()
	a.tell("late", "e1")
	v.mustVisit(b, true)
	p.setCut(false)
	v.expect("| e1")
}

func TestALogThatGoesBackWhileAClientIsAdmitted(t *testing.T) {
	server := redistest.Start(t)
	p := tape{t, server.Client()}
	var dump string
	var armed atomic.Bool
	l := prepareLobby(t, server.Addr(), testConfig("a:1"))
	l.atMiddle = func(*Recovery) {
		if armed.CompareAndSwap(true, false) {
			p.goBack(dump, [4]string{"150-0", "1-3", "r", "c"}, [4]string{"150-1", "1-4", "r", "d"})
			l.wentBack(1)
			l.caughtUp(p.c)
		}
	}
	l.run()
	eventually(t, "ready", l.cluster.Ready)
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	p.add("100-1", "1-1", "r", "a")
	v.expect("| a")
	v.stored(p.c, isLive)
	v.cut()
	dump = p.dump()
	p.add("200-0", "1-2", "r", "b")
	l.caughtUp(p.c)
	armed.Store(true)
	// What it was to be told is not the log's any more: the connection is closed, be it before or after the reply to its
	// CONNECT has arrived, and the next one is fresh.
	eventually(t, "a fresh start", func() bool { return v.visit(l) == nil && !v.isGone() })
	failures, _ := l.faults()
	require.Len(t, failures, 1)
	require.ErrorIs(t, failures[0], errUncovered)
	v.expect("| a |")
	p.add("151-0", "1-5", "r", "e")
	v.expect("| a | e")
}

func TestThePositionGoesBackWithTheLog(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	p := tape{t, server.Client()}
	l := prepareLobby(t, server.Addr(), testConfig("a:1"))
	defer l.http.Close()
	r := newReader(l.cluster)
	p.add("100-1", "1-1", "r", "a")
	require.NoError(t, r.start(ctx))
	r.setPosition(r.pos)
	r.handle(&rawEntry{id: streamID{ms: 200}})
	require.NoError(t, r.verify(ctx))
	// Before the reader goes on: who connects at this moment is opened at a position of the log.
	l.cluster.deliverMu.Lock()
	require.Equal(t, streamID{ms: 100, seq: 1}, l.cluster.position)
	l.cluster.deliverMu.Unlock()
	require.NoError(t, p.c.FlushAll(ctx).Err())
	require.NoError(t, r.verify(ctx))
	require.Equal(t, "0-0", l.cluster.Stats().Position)
}

func TestWhatIsForEveryoneComesOnceAndInOrder(t *testing.T) {
	server := redistest.Start(t)
	var armed atomic.Bool
	l := prepareLobby(t, server.Addr(), testConfig("a:1"))
	l.atConnect = func(*socket.Socket) {
		if armed.Load() {
			l.tell("", "all")
			l.caughtUp(server.Client())
		}
	}
	l.run()
	eventually(t, "ready", l.cluster.Ready)
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	v.stored(server.Client(), isLive)
	v.cut()
	l.tell("r", "e1")
	armed.Store(true)
	v.mustVisit(l, true)
	l.tell("r", "e2")
	v.expect("| e1 all e2")
	fresh := newVisitor(t, "f", "r")
	require.NoError(t, fresh.visit(l))
	l.tell("", "last")
	eventually(t, "last", func() bool { got := fresh.got(); return got[len(got)-1] == "last" })
	fresh.cut()
	l.tell("r", "e3")
	armed.Store(false)
	fresh.mustVisit(l, true)
	eventually(t, "e3", func() bool { got := fresh.got(); return got[len(got)-1] == "e3" })
}

func TestAKickBelowTheFloorIsOver(t *testing.T) {
	server, a, b, p := oneBehind(t)
	v := newVisitor(t, "u", "r")
	v.mustVisit(a, false)
	a.io.In(socket.Room("r")).DisconnectSockets(true)
	v.expectGone()
	v.mustVisit(a, false) // logged in again
	a.tell("r", "e1")
	v.expect("| | e1")
	v.stored(server.Client(), isLive)
	v.mustVisit(b, true)
	p.setCut(false)
	b.caughtUp(server.Client())
	a.tell("r", "e2")
	v.expect("| | e1 e2")
	a.io.In(socket.Room("r")).DisconnectSockets(true)
	v.expectGone()
}

func TestASocketThatWentWhileItWasOpenedLeavesNoSession(t *testing.T) {
	server := redistest.Start(t)
	l := openLobby(t, server.Addr(), testConfig("a:1"))
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	v.stored(server.Client(), isLive)
	s := l.socketOf("u")
	a := l.cluster.adapterOf("/")
	m := a.table.member(s.Id())
	l.cluster.sessions.finish(s.Id(), sessionClosed)
	v.stored(server.Client(), isClosed)
	a.table.removeAll(s.Id())
	l.cluster.sessions.open(s, m, "u")
	eventually(t, "nothing is left of it", func() bool {
		r := l.cluster.sessions.local
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.bySid)+len(r.byPid) == 0
	})
	// The other way round: the session is there when the member goes.
	w := newVisitor(t, "w", "r")
	w.mustVisit(l, false)
	w.stored(server.Client(), isLive)
	a.DelAll(l.socketOf("w").Id())
	w.stored(server.Client(), isEnded)
}

func TestTheApplicationsCallbacksMayUseTheCluster(t *testing.T) {
	server := redistest.Start(t)
	l := prepareLobby(t, server.Addr(), testConfig("a:1"))
	var hellos atomic.Int64
	l.inHello = func() {
		hellos.Add(1)
		_ = l.cluster.Stats()
	}
	_ = l.cluster.adapterOf("/").On("join-room", func(args ...any) {
		if args[0] == socket.Room("r") {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := l.cluster.Publish(ctx, Broadcast{Event: "joined", Rooms: []string{"other"}}); err != nil {
				t.Errorf("publishing from a listener: %v", err)
			}
		}
	})
	l.run()
	eventually(t, "ready", l.cluster.Ready)
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	v.stored(server.Client(), isLive)
	v.cut()
	v.mustVisit(l, true)
	require.Equal(t, int64(2), hellos.Load())
}

func TestASocketIsNotServedBeforeThereIsAPosition(t *testing.T) {
	server := redistest.Start(t)
	p := startProxy(t, server.Addr())
	p.setCut(true)
	n := prepareNode(t, server.Addr(), testConfig("a:1"), p.through())
	n.run()
	c := n.connect()
	hello := func() (string, any) { return "connected", map[string]any{} }
	require.ErrorIs(t, n.cluster.Open(n.socket(c.sid), "u", []string{"r"}, hello), ErrUnavailable)
	p.setCut(false)
	eventually(t, "ready", n.cluster.Ready)
	require.NoError(t, n.cluster.Open(n.socket(c.sid), "u", []string{"r"}, hello))
}
