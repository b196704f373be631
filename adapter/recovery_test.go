package adapter

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func TestAClientRecoversWhatItMissed(t *testing.T) {
	onEachRedis(t, recoverWhatWasMissed)
}

func recoverWhatWasMissed(t *testing.T, c *redis.Client) {
	l := openLobby(t, c.Options().Addr, testConfig("a:1"))
	v := newVisitor(t, "u", "r1", "r2", "r3")
	v.mustVisit(l, false)
	require.Regexp(t, `^\d+-\d+$`, v.lastOffset(), "a fresh client's `connected` has the position")
	v.stored(c, isLive)
	v.cut()
	v.mustVisit(l, true) // nothing missed, nothing ever received
	v.expect("|")
	l.tell("r1", "e1")
	v.expect("| e1")
	v.cut()
	l.tell("r2", "e2")
	l.tell("r1 r2 r3", "e3")
	l.tell("elsewhere", "not")
	l.tell("r3 r1", "e4")
	l.tell("r2", "e5")
	l.caughtUp(c)
	v.mustVisit(l, true)
	v.expect("| e1 e2 e3 e4 e5")
	l.tell("r1 r3", "e6")
	v.expect("| e1 e2 e3 e4 e5 e6")
	v.cut()
	v.mustVisit(l, true)
	v.cut()
	l.tell("r1", "e7")
	l.caughtUp(c)
	v.mustVisit(l, true)
	v.expect("| e1 e2 e3 e4 e5 e6 e7")
	stats := l.cluster.Stats()
	require.Equal(t, uint64(4), stats.Recovered)
	require.Equal(t, uint64(5), stats.Replayed)
	require.Zero(t, stats.NotRecovered+stats.RecoveryFailed)
}

func TestRoomsAreGrantedAfreshAndCountFromTheJoin(t *testing.T) {
	server := redistest.Start(t)
	l := openLobby(t, server.Addr(), testConfig("a:1"))
	l.ungranted = []string{"secret"}
	v := newVisitor(t, "u", "r", "secret")
	v.mustVisit(l, false)
	l.tell("late", "before the join")
	l.tell("r", "e1")
	v.expect("| e1")
	l.tell("late", "before")
	l.tell("secret", "s1")
	v.expect("| e1 s1")
	offset := v.lastOffset()
	l.tell("r", "e2")
	v.expect("| e1 s1 e2")
	l.tell("late", "before")
	l.caughtUp(server.Client())
	v.emit("join", "late")
	l.tell("late", "l1")
	v.expect("| e1 s1 e2 l1")
	v.emit("leave", "r")
	v.cut()
	l.tell("r", "not")
	l.tell("secret", "not")
	l.tell("late", "l2")
	v.at(offset).mustVisit(l, true) // as if what came after s1 had been lost on the way
	v.expect("| e1 s1 e2 l1 l1 l2")
	l.tell("r", "not")
	l.tell("secret", "not")
	l.tell("late", "l3")
	v.expect("| e1 s1 e2 l1 l1 l2 l3")
	rec := v.stored(server.Client(), func(r record) bool { return r.Gen == 2 && len(r.Rooms) == 1 })
	require.Contains(t, rec.Rooms, "late")
}

func TestANodeBehindTheOffsetNeverRepeats(t *testing.T) {
	server := redistest.Start(t)
	first := openLobby(t, server.Addr(), testConfig("a:1"))
	p := startProxy(t, server.Addr())
	behind := openLobby(t, server.Addr(), testConfig("b:1"), p.through())
	v := newVisitor(t, "u", "r")
	v.mustVisit(first, false)
	first.tell("r", "e1")
	v.expect("| e1")
	behind.caughtUp(server.Client())
	p.setCut(true)
	eventually(t, "the reader is cut off", func() bool { return !behind.cluster.Ready() })
	first.tell("r", "e2", "e3")
	v.expect("| e1 e2 e3")
	v.cut()
	first.tell("r", "e4")
	v.mustVisit(behind, true)
	first.tell("r", "e5")
	p.setCut(false)
	v.expect("| e1 e2 e3 e4 e5")
	first.tell("r", "e6")
	v.expect("| e1 e2 e3 e4 e5 e6")
}

func TestATakeoverClosesTheOldSocket(t *testing.T) {
	server := redistest.Start(t)
	a := openLobby(t, server.Addr(), testConfig("a:1"))
	b := openLobby(t, server.Addr(), testConfig("b:1"))
	for _, next := range []*lobby{a, b} {
		old := newVisitor(t, "u", "r")
		old.mustVisit(a, false)
		a.tell("r", "e1")
		old.expect("| e1")
		// The network hides the end of the old connection from its node: a second visitor comes with its session.
		fresh := newVisitor(t, "u", "r")
		fresh.pid = old.pid
		fresh.at(old.lastOffset())
		before := a.socketOf("u")
		a.tell("r", "e2")
		fresh.mustVisit(next, true)
		old.expectGone()
		eventually(t, "the old socket has ended", func() bool { return !before.Connected() })
		a.tell("r", "e3")
		fresh.expect("e2 e3")
		rec := fresh.stored(server.Client(), isLive)
		require.Equal(t, next.cluster.cfg.UID, rec.Owner)
		require.Equal(t, int64(2), rec.Gen)
		fresh.cut()
		a.tell("r", "e4")
		fresh.mustVisit(next, true)
		fresh.expect("e2 e3 e4")
		require.NotContains(t, old.got(), "e3")
		fresh.cut()
	}
	require.Equal(t, uint64(2), a.cluster.Stats().SessionsSuperseded)
}

func TestClientsOfAKilledNodeRecoverUnlessItEndedLongAgo(t *testing.T) {
	server := redistest.Start(t)
	var expired atomic.Bool
	a := openLobby(t, server.Addr(), testConfig("a:1"))
	b := openLobby(t, server.Addr(), testConfig("b:1"), func(d *Deps) {
		d.Expired = func(identity string) bool { return identity == "a:1" && expired.Load() }
	})
	v, late := newVisitor(t, "u", "r"), newVisitor(t, "w", "r")
	v.mustVisit(a, false)
	late.mustVisit(a, false)
	v.stored(server.Client(), isLive)
	late.stored(server.Client(), isLive)
	a.crash()
	v.expectGone()
	require.True(t, isLive(v.stored(server.Client(), isLive)), "a dead node writes nothing")
	b.tell("r", "e1")
	v.mustVisit(b, true)
	v.expect("| e1")
	expired.Store(true)
	late.mustVisit(b, false)
	late.expect("| |")
	// Once it is b's, what became of a does not matter.
	v.cut()
	v.stored(server.Client(), isClosed)
	b.tell("r", "e2")
	v.mustVisit(b, true)
	v.expect("| e1 e2")
}

func TestWhoLeftOrWasSentAwayDoesNotRecover(t *testing.T) {
	server := redistest.Start(t)
	redisClient := server.Client()
	l := openLobby(t, server.Addr(), testConfig("a:1"))
	leaver, kicked, away, closed := newVisitor(t, "l", "r"), newVisitor(t, "k", "r"), newVisitor(t, "a", "r"), newVisitor(t, "c", "r")
	for _, v := range []*visitor{leaver, kicked, away, closed} {
		v.mustVisit(l, false)
		v.stored(redisClient, isLive)
	}
	require.NoError(t, leaver.conn.WriteMessage(1, []byte("41")))
	leaver.stored(redisClient, isEnded)
	leaver.mustVisit(l, false)

	away.cut()
	away.stored(redisClient, isClosed)
	l.io.In(socket.Room("r")).DisconnectSockets(true)
	for _, v := range []*visitor{kicked, closed} {
		v.expectGone()
		v.stored(redisClient, func(r record) bool { return r.Ended || r.Closed })
	}
	l.caughtUp(redisClient)
	away.mustVisit(l, false)
	away.expect("| |") // a kick that was missed counts as well
	leaver.expect("| |")
}

func TestAnotherUserEndsTheSession(t *testing.T) {
	server := redistest.Start(t)
	a := openLobby(t, server.Addr(), testConfig("a:1"))
	b := openLobby(t, server.Addr(), testConfig("b:1"))
	for _, n := range []*lobby{a, b} {
		v := newVisitor(t, "u", "r")
		v.mustVisit(a, false)
		v.stored(server.Client(), isLive)
		thief := newVisitor(t, "thief", "x")
		thief.pid = v.pid
		thief.at(v.lastOffset())
		require.ErrorIs(t, thief.visit(n), errVisit)
		v.expectGone()
		v.stored(server.Client(), isEnded)
		require.Empty(t, thief.got())
		thief.mustVisit(n, false)
		v.mustVisit(n, false)
		thief.cut()
		v.cut()
	}
}

func TestRestoringWithoutRedisIsPutOff(t *testing.T) {
	server := redistest.Start(t)
	p := startProxy(t, server.Addr())
	cfg := testConfig("a:1")
	cfg.SessionTimeout = 300 * time.Millisecond
	l := openLobby(t, server.Addr(), cfg, func(d *Deps) { d.Redis = redisClients(t, p.ln.Addr().String()).redis })
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	v.stored(server.Client(), isLive)
	v.cut()
	v.stored(server.Client(), isClosed)
	p.setCut(true)
	err := v.visit(l)
	require.ErrorIs(t, err, errVisit)
	_, faults := l.faults()
	require.Len(t, faults, 1)
	require.ErrorIs(t, faults[0], ErrUnavailable)
	p.setCut(false)
	require.NoError(t, server.Client().Ping(context.Background()).Err())
	eventually(t, "recovered", func() bool {
		require.LessOrEqual(t, len(v.connected), 2)
		return v.visit(l) == nil
	})
	v.expect("|")
}

func TestOffsetsThatAreNoPositionOfTheLog(t *testing.T) {
	server := redistest.Start(t)
	l := openLobby(t, server.Addr(), testConfig("a:1"))
	l.tell("elsewhere", "x")
	l.caughtUp(server.Client())
	for _, change := range []func(string) string{
		func(string) string { return "garbage" },
		func(string) string { return "0" },
		func(string) string { return "1-1" },
		func(string) string { return "18446744073709551615-18446744073709551615" },
		func(string) string { return "18446744073709551616-0" },
		func(string) string { return "-1-0" },
		func(o string) string { return strings.Split(o, "-")[0] },
		func(o string) string { return "0" + o },
		func(o string) string { return "+" + o },
		func(o string) string { return o + " " },
		func(o string) string { return "9" + o },
		func(o string) string { return o + "9" },
	} {
		v := newVisitor(t, "u", "r")
		v.mustVisit(l, false)
		l.tell("r", "e")
		v.expect("| e")
		v.stored(server.Client(), isLive)
		v.cut()
		good := v.lastOffset()
		v.at(change(good)).mustVisit(l, false)
		v.cut()
	}
	require.Zero(t, l.cluster.Stats().Recovered+l.cluster.Stats().DeliveryPanics)
}

func TestHistoryIsReadOnceForManyClients(t *testing.T) {
	server := redistest.Start(t)
	redisClient := server.Client()
	cfg := testConfig("a:1")
	cfg.RingMaxEntries = 200
	cfg.Block = 2 * time.Second // the reader's own looks at the log are to be few
	l := openLobby(t, server.Addr(), cfg)
	var names []string
	visitors := make([]*visitor, 20)
	for i := range visitors {
		visitors[i] = newVisitor(t, fmt.Sprint("u", i), "r")
		visitors[i].mustVisit(l, false)
	}
	l.tell("r", "e0")
	for _, v := range visitors {
		v.expect("| e0")
		v.cut()
	}
	for i := range 300 {
		names = append(names, fmt.Sprint("e", i+1))
	}
	l.tell("r", names...)
	l.caughtUp(redisClient)
	before := logReads(t, redisClient)
	done := make(chan error, len(visitors))
	for _, v := range visitors {
		go func() { done <- v.visit(l) }()
	}
	for range visitors {
		require.NoError(t, <-done)
	}
	for _, v := range visitors {
		v.expect("| e0 " + strings.Join(names, " "))
	}
	reads := logReads(t, redisClient) - before
	t.Logf("%d reads of the log for %d clients", reads, len(visitors))
	require.LessOrEqual(t, reads, 4)
	require.Equal(t, uint64(20), l.cluster.Stats().Recovered)
	more := make([]string, 250)
	for i := range more {
		more[i] = fmt.Sprint("f", i)
	}
	visitors[0].cut()
	l.tell("r", more...)
	visitors[0].mustVisit(l, true)
	visitors[0].expect("| e0 " + strings.Join(names, " ") + " " + strings.Join(more, " "))
}

func TestWhatIsTooFarBackIsReadOnlyOnce(t *testing.T) {
	server := redistest.Start(t)
	redisClient := server.Client()
	cfg := testConfig("a:1")
	cfg.RingMaxEntries = 20
	l := openLobby(t, server.Addr(), cfg)
	l.tell("r", "first")
	l.caughtUp(redisClient)
	v, w := newVisitor(t, "u", "r"), newVisitor(t, "w", "r")
	for _, v := range []*visitor{v, w} {
		v.mustVisit(l, false)
		v.stored(redisClient, isLive)
		v.cut()
	}
	for range 60 {
		l.tell("r", "e")
	}
	l.caughtUp(redisClient)
	v.mustVisit(l, false)
	before := logReads(t, redisClient)
	w.mustVisit(l, false)
	require.Equal(t, before, logReads(t, redisClient))
}

// logReads counts the commands that read the log, without what the reader's look at a quiet log is made of.
func logReads(t *testing.T, c *redis.Client) int {
	return calls(t, c, "xrevrange") + calls(t, c, "xrange") - 3*calls(t, c, "xinfo|stream")
}

func TestMoreThanMayBeReplayedIsNotRecovered(t *testing.T) {
	server := redistest.Start(t)
	cfg := testConfig("a:1")
	cfg.RecoveryMaxEvents, cfg.RingMaxEntries = 10, 15
	l := openLobby(t, server.Addr(), cfg)
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	for _, n := range []int{10, 11, 20} {
		v.stored(server.Client(), isLive)
		v.cut()
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprint("n", n, "e", i)
		}
		was := v.got()
		l.tell("r", names...)
		l.caughtUp(server.Client())
		v.mustVisit(l, n <= 10)
		if n <= 10 {
			v.expect(append(was, names...)...)
		} else {
			v.expect(append(was, "|")...)
		}
	}
}

func TestATrimmedOffsetIsNotRecovered(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	redisClient := server.Client()
	cfg := testConfig("a:1")
	cfg.RingMaxEntries = 20
	l := openLobby(t, server.Addr(), cfg)
	v, w := newVisitor(t, "u", "r"), newVisitor(t, "w", "r")
	for _, v := range []*visitor{v, w} {
		v.mustVisit(l, false)
		v.stored(redisClient, isLive)
		v.cut()
	}
	names := make([]string, 30)
	for i := range names {
		names[i] = fmt.Sprint("e", i)
	}
	l.tell("r", names...)
	l.caughtUp(redisClient)
	v.mustVisit(l, true) // from the log, which is kept for the next client
	v.expect("| " + strings.Join(names, " "))
	l.tell("r", names...)
	l.caughtUp(redisClient)
	require.NoError(t, redisClient.XTrimMaxLen(ctx, logKey, 5).Err())
	w.mustVisit(l, false)
	w.expect("| |")
}

func TestAQuietLogsBeginningIsAnOffsetUnlessItWasTrimmed(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	redisClient := server.Client()
	cfg := testConfig("a:1")
	cfg.RingMaxEntries = 4
	l := openLobby(t, server.Addr(), cfg)
	v, w := newVisitor(t, "u", "r"), newVisitor(t, "w", "r")
	for _, v := range []*visitor{v, w} {
		v.mustVisit(l, false)
		require.Equal(t, "0-0", v.lastOffset())
		v.stored(redisClient, isLive)
		v.cut()
	}
	l.tell("r", "e1", "e2", "e3", "e4", "e5", "e6")
	l.caughtUp(redisClient)
	v.mustVisit(l, true)
	v.expect("| e1 e2 e3 e4 e5 e6")
	require.NoError(t, redisClient.XTrimMaxLen(ctx, logKey, 5).Err())
	other := openLobby(t, server.Addr(), cfg.as("b:1"))
	w.mustVisit(other, false)
}

func (c Config) as(uid string) Config {
	c.UID = uid
	return c
}

func TestQuietSocketsAreToldThePosition(t *testing.T) {
	server := redistest.Start(t)
	redisClient := server.Client()
	cfg := testConfig("a:1")
	// The position may be told at any of the entries that follow: the ring, whose size bounds the older log as well, has
	// lost its beginning by then, but is not so small that the first of them is out of reach.
	cfg.SyncAfter, cfg.RingMaxEntries = 50*time.Millisecond, 5
	l := openLobby(t, server.Addr(), cfg)
	v, busy := newVisitor(t, "u", "r"), newVisitor(t, "w", "b")
	v.mustVisit(l, false)
	busy.mustVisit(l, false)
	require.Equal(t, "0-0", v.lastOffset())
	l.tell("b", "e1", "e2", "e3", "e4", "e5", "e6")
	busy.expect("| e1 e2 e3 e4 e5 e6")
	v.stored(redisClient, isLive)
	eventually(t, "the position", func() bool { return v.lastOffset() != "0-0" })
	v.cut()
	l.tell("r", "e1")
	v.mustVisit(l, true)
	v.expect("| e1")
}

func TestAFlushEndsTheSessionsAndTellsTheApplication(t *testing.T) {
	ctx := context.Background()
	for _, fault := range []string{"flush", "trim"} {
		t.Run(fault, func(t *testing.T) {
			server := redistest.Start(t)
			redisClient := server.Client()
			p := startProxy(t, server.Addr())
			l := openLobby(t, server.Addr(), testConfig("a:1"), p.through())
			v, away := newVisitor(t, "u", "r"), newVisitor(t, "w", "r")
			v.mustVisit(l, false)
			away.mustVisit(l, false)
			l.tell("r", "e1")
			v.expect("| e1")
			away.expect("| e1")
			away.cut()
			away.stored(redisClient, isClosed)
			p.setCut(true)
			if fault == "flush" {
				require.NoError(t, redisClient.FlushAll(ctx).Err())
			} else {
				l.tell("r", "missed", "e2")
				require.NoError(t, redisClient.XTrimMaxLen(ctx, logKey, 1).Err())
			}
			p.setCut(false)
			eventually(t, "the application is told", func() bool { return l.gaps.Load() == 1 })
			v.stored(redisClient, isEnded)
			v.mustVisit(l, false)
			l.tell("r", "e3")
			eventually(t, "e3", func() bool { return v.got()[len(v.got())-1] == "e3" })
			away.mustVisit(l, false)
			l.tell("r", "e4")
			eventually(t, "e4", func() bool { return away.got()[len(away.got())-1] == "e4" })
			v.cut()
			l.tell("r", "e5")
			v.mustVisit(l, true)
			eventually(t, "e5", func() bool { return v.got()[len(v.got())-1] == "e5" })
		})
	}
}

func TestLiveSessionsAreRefreshed(t *testing.T) {
	server := redistest.Start(t)
	redisClient := server.Client()
	cfg := testConfig("a:1")
	cfg.RecoveryWindow, cfg.SessionTTL, cfg.CloseDelay = 500*time.Millisecond, 2*time.Second, 100*time.Millisecond
	l := openLobby(t, server.Addr(), cfg)
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	v.stored(redisClient, isLive)
	start := time.Now()
	eventually(t, "its TTL is over", func() bool {
		require.Equal(t, int64(1), redisClient.Exists(context.Background(), sessionKey(v)).Val())
		return time.Since(start) > 2*cfg.SessionTTL
	})
	v.cut()
	v.stored(redisClient, isClosed)
	eventually(t, "a closed one is not", func() bool {
		return redisClient.Exists(context.Background(), sessionKey(v)).Val() == 0
	})
	v.mustVisit(l, false)
}
