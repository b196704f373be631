package presence

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestConfigFaults(t *testing.T) {
	good := DefaultConfig()
	good.Node, good.Name = "a:1", "a"
	require.NoError(t, good.Validate())
	_, err := New(good, Deps{})
	require.ErrorIs(t, err, ErrNoRedis)
	bad := Config{Prefix: "x", Sharded: true, ReapBatch: maxBatch + 1, HeartbeatEvery: time.Second}
	_, err = New(bad, Deps{})
	for _, name := range []string{"Node", "Name", "LogKey", "FlushEvery", "HeartbeatDead", "Window", "ReapBatch", "Roles", "hash tag"} {
		require.ErrorContains(t, err, name)
	}
}

func TestFieldsKeepEveryName(t *testing.T) {
	for _, k := range []key{
		{"solicitud_1", "client", "u-1"},
		{"", "", ""},
		{"a|b", "c|", "|d%7C"},
		{"{teloo}", "ä/ö", "é\u2028 \x00\xff"},
	} {
		for _, rooms := range []bool{false, true} {
			got, ok := parseField(k.field(rooms), rooms)
			want := k
			if !rooms {
				want.room = ""
			}
			require.True(t, ok)
			require.Equal(t, want, got)
		}
	}
	require.Equal(t, "solicitud_1|client|u-1", key{"solicitud_1", "client", "u-1"}.field(true))
}

func FuzzParseField(f *testing.F) {
	f.Add("a|b", false)
	f.Add("r|a|b", true)
	f.Add("%zz|%41", false)
	f.Add("||", true)
	f.Fuzz(func(t *testing.T, s string, rooms bool) {
		if k, ok := parseField(s, rooms); ok && k.field(rooms) != s {
			t.Fatalf("%q became %q", s, k.field(rooms))
		}
	})
}

func FuzzParseNodes(f *testing.F) {
	f.Add("a:1", `{"name":"a","reg":1,"beat":1.7e12}`)
	f.Add("", "[]")
	f.Fuzz(func(t *testing.T, id, raw string) {
		for _, e := range parseNodes(map[string]string{id: raw}) {
			if e.Reg == 0 {
				t.Fatal("an entry without a registration")
			}
		}
	})
}

func TestRunID(t *testing.T) {
	require.Equal(t, "abc", runID("# Server\r\nredis_version:7\r\nrun_id:abc\r\nx:y\r\n"))
	require.Empty(t, runID("# Server\r\n"))
	require.Empty(t, runID(""))
}

func TestTableForgetsWhatIsGone(t *testing.T) {
	var under atomic.Uint64
	tb := newTable(time.Minute, &under)
	k := key{"r", "client", "u"}
	now := time.Now()

	tb.add(k, 1)
	tb.add(k, -1)
	require.Empty(t, tb.take(10, false), "came and went between two flushes")
	require.Empty(t, tb.records)

	tb.add(k, 1)
	c := tb.take(10, false)
	require.True(t, c[0].fresh)
	tb.add(k, -1)
	tb.settle(c, applied, now)
	c = tb.take(10, false)
	require.Len(t, c, 1)
	require.Zero(t, c[0].n)
	tb.settle(c, unknown, now)
	c = tb.take(10, false)
	require.Len(t, c, 1, "a failed call is repeated")
	tb.settle(c, refused, now)
	tb.settle(tb.take(10, false), applied, now)
	require.Len(t, tb.records, 1, "kept for the grace")
	tb.forget(now.Add(59 * time.Second))
	require.Len(t, tb.records, 1)
	tb.forget(now.Add(time.Minute))
	require.Empty(t, tb.records)
	require.Empty(t, tb.dirty)
	require.Empty(t, tb.leavers)

	tb.add(k, -1)
	require.EqualValues(t, 1, under.Load())
	require.Zero(t, tb.total())
}

func TestTableTakesARoomTogetherInOrder(t *testing.T) {
	var under atomic.Uint64
	tb := newTable(time.Minute, &under)
	for i := range 60 {
		tb.add(key{fmt.Sprint("r", i%3), "client", fmt.Sprint("u", i)}, 1)
	}
	for _, gone := range []int{0, 30, 57} { // the first, one in the middle and the last of r0
		tb.add(key{"r0", "client", fmt.Sprint("u", gone)}, -1)
	}
	require.Equal(t, 57, tb.waiting())
	var rooms []string
	last := map[string]int{}
	for {
		c := tb.take(10, false)
		if len(c) == 0 {
			break
		}
		for _, c := range c {
			room := c.rec.room
			if len(rooms) == 0 || rooms[len(rooms)-1] != room {
				rooms = append(rooms, room)
			}
			var u int
			_, err := fmt.Sscanf(c.rec.user, "u%d", &u)
			require.NoError(t, err)
			require.GreaterOrEqual(t, u, last[room])
			last[room] = u
		}
	}
	require.Zero(t, tb.waiting())
	require.Empty(t, tb.dirty)
	require.Equal(t, map[string]int{"r0": 54, "r1": 58, "r2": 59}, last)
	require.LessOrEqual(t, len(rooms), 8, "%v", rooms)
}

func TestTableWhoLeavesTwiceIsKeptOnce(t *testing.T) {
	var under atomic.Uint64
	tb := newTable(time.Minute, &under)
	k := key{"r", "client", "u"}
	now := time.Now()
	for i := range 2 {
		tb.add(k, 1)
		tb.settle(tb.take(10, false), applied, now)
		tb.add(k, -1)
		tb.settle(tb.take(10, false), applied, now.Add(time.Duration(i)*30*time.Second))
	}
	tb.forget(now.Add(61 * time.Second))
	require.Len(t, tb.records, 1)
	tb.forget(now.Add(90 * time.Second))
	require.Empty(t, tb.records)
}

func TestTableAfterAFlush(t *testing.T) {
	var under atomic.Uint64
	tb := newTable(time.Minute, &under)
	now := time.Now()
	there, gone, fresh := key{"r", "client", "there"}, key{"r", "client", "gone"}, key{"r", "client", "fresh"}
	tb.add(there, 1)
	tb.add(gone, 1)
	tb.settle(tb.take(10, false), applied, now)
	tb.add(gone, -1)
	tb.add(fresh, 1)
	tb.emptied(now)
	held := tb.take(10, true)
	require.Len(t, held, 2)
	for _, c := range held {
		require.True(t, c.known)
		require.False(t, c.fresh)
	}
	tb.settle(held, applied, now)
	require.Empty(t, tb.take(10, true))
	c := tb.take(10, false)
	require.Len(t, c, 1)
	require.Equal(t, fresh, c[0].rec.key)
	require.True(t, c[0].fresh)
	tb.settle(c, applied, now)
	tb.stranger(there, 5)
	tb.stranger(key{"r", "client", "ghost"}, 5)
	c = tb.take(10, false)
	require.Len(t, c, 1)
	require.Zero(t, c[0].n)
}

func TestNoAnnouncement(t *testing.T) {
	p := &Presence{log: slog.New(slog.DiscardHandler)}
	require.Empty(t, p.announcement(true, key{}))
	p.deps.Announce = func(bool, Member) []string { return []string{"odd"} }
	require.Empty(t, p.announcement(true, key{}))
}

func TestBackoffIsBounded(t *testing.T) {
	for n := range 100 {
		d := backoff(n, time.Second)
		require.Positive(t, d)
		require.LessOrEqual(t, d, time.Second)
	}
}

func TestIncarnation(t *testing.T) {
	require.EqualValues(t, 17, incarnation("a:b:17"))
	require.Zero(t, incarnation("a"))
	require.Zero(t, incarnation(""))
}

func TestPauseEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	pause(ctx, time.Hour)
}

func TestRefusalsAreTold(t *testing.T) {
	require.NoError(t, notMissing(redis.Nil))
	require.Error(t, notMissing(context.Canceled))
	require.Error(t, notRefused(context.Canceled))
}

func BenchmarkConnectDisconnect(b *testing.B) {
	var under atomic.Uint64
	tb := newTable(0, &under)
	k := key{role: "client", user: "u"}
	b.ReportAllocs()
	for b.Loop() {
		tb.add(k, 1)
		tb.add(k, -1)
	}
}

func TestTableHoldsBackWhoWent(t *testing.T) {
	var under atomic.Uint64
	tb := newTable(time.Minute, &under)
	tb.hold = 10 * time.Second
	k := key{"r", "client", "u"}
	write := func() []change {
		taken := tb.take(10, false)
		tb.settle(taken, applied, time.Now())
		return taken
	}
	tb.add(k, 1)
	require.Len(t, write(), 1, "coming is written at once")

	tb.add(k, -1)
	require.Empty(t, write())
	tb.add(k, 1)
	tb.ripen(time.Now().Add(time.Hour))
	require.Empty(t, write(), "back in time costs nothing")
	require.Empty(t, tb.held)

	tb.add(k, -1)
	tb.ripen(time.Now().Add(9 * time.Second))
	require.Empty(t, write())
	tb.ripen(time.Now().Add(11 * time.Second))
	gone := write()
	require.Len(t, gone, 1)
	require.Zero(t, gone[0].n)
	require.True(t, gone[0].ripe, "so its grace is the shorter one")
	require.Empty(t, tb.held)

	tb.add(k, 1)
	write()
	tb.add(k, -1)
	tb.emptied(time.Now())
	gone = write()
	require.Len(t, gone, 1, "what Redis may not know is not held back")
	require.False(t, gone[0].ripe)

	tb.add(k, 1)
	taken := tb.take(10, false)
	tb.add(k, -1)
	tb.settle(taken, unknown, time.Now())
	require.Len(t, write(), 1, "nor what it may have")
}
