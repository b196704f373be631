package presence

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func TestFiguresFollowTheSockets(t *testing.T) {
	srv := redistest.Start(t)
	a, b := startNode(t, srv.Addr(), "a"), startNode(t, srv.Addr(), "b")
	ready(t, a, b)
	for i := range 300 {
		a.Connect(fmt.Sprint("u", i), "client")
		b.Connect(fmt.Sprint("u", i+150), "advisor")
	}
	a.Connect("u0", "client")
	for _, n := range []*node{a, b} {
		within(t, time.Second, "after connects", n.figures(450, 601, 2))
	}
	s, err := b.Stats(context.Background())
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"admin": 0, "client": 300, "advisor": 300}, s.ByRole)
	require.Equal(t, "a", s.Nodes[0].Name)
	require.Equal(t, "a:8003", s.Nodes[0].Addr)
	require.Equal(t, "1.2.3", s.Nodes[0].Version)
	require.EqualValues(t, 301, s.Nodes[0].Connections)
	require.WithinDuration(t, time.Now(), s.Nodes[0].LastHeartbeat, 10*time.Second)
	for i := range 300 {
		a.Disconnect(fmt.Sprint("u", i), "client")
	}
	for _, n := range []*node{a, b} {
		within(t, time.Second, "after disconnects", n.figures(301, 301, 2))
	}
	a.Disconnect("nobody", "client")
	require.EqualValues(t, 1, a.Counters().Underflows)
	require.True(t, a.Lead())
	require.False(t, b.Lead())
}

func TestAStormIsFewCalls(t *testing.T) {
	srv := redistest.Start(t)
	a := startNode(t, srv.Addr(), "a")
	ready(t, a)
	c := srv.Client()
	require.NoError(t, c.ConfigResetStat(context.Background()).Err())
	for i := range 5000 {
		a.enter(fmt.Sprint("u", i), "client", fmt.Sprint("r", i%50))
	}
	within(t, time.Second, "storm of 5,000", a.figures(5000, 5000, 1))
	eventually(t, "rooms", func() bool { return c.XLen(context.Background(), "{teloo}:log").Val() == 5000 })
	info := c.Info(context.Background(), "commandstats").Val()
	calls := 0
	for line := range strings.Lines(info) {
		for _, name := range []string{"eval", "evalsha"} {
			var n int
			if _, err := fmt.Sscanf(line, "cmdstat_"+name+":calls=%d,", &n); err == nil {
				calls += n
			}
		}
	}
	flushes := a.Counters().Flushes
	t.Logf("%d script calls, %d of them flushes, for 10,000 changes", calls, flushes)
	require.LessOrEqual(t, flushes, uint64(60))
	require.Positive(t, calls)
}

func TestKilledProcess(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	a, b := startNode(t, srv.Addr(), "b1"), startNode(t, srv.Addr(), "b2")
	victim := startChild(t, srv.Addr(), "a0") // the leading one
	ready(t, a, b)
	for i := range 1200 {
		victim.join(fmt.Sprint("u", i))
	}
	a.enter("u0", "client", "r1")
	eventually(t, "everyone is there", b.figures(1200, 1201, 3))
	eventually(t, "joins", func() bool { return len(announced(t, a.client)) == 1200 })
	ready(t, a, b)
	victim.kill()
	within(t, 2*time.Second, "after kill -9", b.figures(1, 1, 2))
	require.True(t, a.Lead())
	eventually(t, "both are told", func() bool { return len(a.told()) == 1 && len(b.told()) == 1 })
	dead := a.told()[0]
	require.True(t, strings.HasPrefix(dead, "a0:"))
	require.True(t, a.Gone(dead))
	require.True(t, b.Gone(dead))
	require.False(t, b.Gone(a.cfg.Node))
	begin := time.Now()
	eventually(t, "user_left", func() bool { return len(announced(t, a.client)) == 2399 })
	require.Greater(t, time.Since(begin), 2*time.Second)
	require.NotContains(t, announced(t, a.client), "user_left r1 u0 client")
}

func TestKilledAsSoonAsItIsThere(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	a, b := startNode(t, srv.Addr(), "a"), startNode(t, srv.Addr(), "b")
	ready(t, a, b)
	for i := range 5 {
		victim := startChild(t, srv.Addr(), "v u")
		victim.end()
		within(t, 2*time.Second, "after kill -9", b.figures(0, 0, 2))
		eventually(t, "told", func() bool { return len(a.told()) == i+1 && len(b.told()) == i+1 })
	}
}

func TestStoppedProcessComesBack(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	a := startNode(t, srv.Addr(), "a")
	victim := startChild(t, srv.Addr(), "b")
	ready(t, a)
	victim.join("u1")
	victim.join("u2")
	a.enter("u2", "client", "r1")
	eventually(t, "everyone is there", a.figures(2, 3, 2))
	victim.signal(syscall.SIGSTOP)
	within(t, 10*time.Second, "after SIGSTOP", a.figures(1, 1, 1))
	eventually(t, "user_left", func() bool { return len(announced(t, a.client)) == 3 })
	victim.signal(syscall.SIGCONT)
	within(t, 3*time.Second, "after SIGCONT", a.figures(2, 3, 2))
	eventually(t, "user_joined again", func() bool { return len(announced(t, a.client)) == 4 })
	require.ElementsMatch(t, []string{
		"user_joined r1 u1 client", "user_joined r1 u2 client", "user_left r1 u1 client", "user_joined r1 u1 client",
	}, announced(t, a.client))
}

func TestFlushIsRepairedSilently(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	a, b := startNode(t, srv.Addr(), "a"), startNode(t, srv.Addr(), "b")
	ready(t, a, b)
	for i := range 700 {
		a.enter(fmt.Sprint("u", i), "client", "r1")
		b.enter(fmt.Sprint("u", i), "advisor", "r1")
	}
	b.enter("leaver", "client", "r1")
	eventually(t, "everyone is there", a.figures(701, 1401, 2))
	eventually(t, "joins", func() bool { return len(announced(t, a.client)) == 701 })
	b.exit("leaver")
	eventually(t, "gone", a.figures(700, 1400, 2))
	eventually(t, "due", func() bool { return a.client.ZCard(context.Background(), a.keys.leaving).Val() == 1 })
	require.NoError(t, a.client.FlushAll(context.Background()).Err())
	a.enter("u1", "client", "r1") // another tab
	b.enter("u-new", "client", "r1")
	within(t, 3*time.Second, "after FLUSHALL", b.figures(701, 1402, 2))
	require.False(t, a.Gone(b.cfg.Node))
	eventually(t, "new and left", func() bool { return len(announced(t, a.client)) == 2 })
	require.Equal(t, []string{"user_joined r1 u-new client", "user_left r1 leaver client"}, announced(t, a.client))
	require.Empty(t, a.told())
	require.Empty(t, b.told())
}

func TestRedisRestarts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args []string
	}{
		{"empty", nil},
		{"with its data", []string{"--appendonly", "yes", "--appendfsync", "always"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := redistest.Start(t, test.args...)
			a, b, c := startNode(t, srv.Addr(), "a"), startNode(t, srv.Addr(), "b"), startNode(t, srv.Addr(), "c")
			ready(t, a, b, c)
			for i := range 100 {
				a.enter(fmt.Sprint("u", i), "client", "r1")
				b.enter(fmt.Sprint("u", i+50), "client", "r1")
			}
			eventually(t, "everyone is there", c.figures(150, 200, 3))
			eventually(t, "joins", func() bool { return len(announced(t, srv.Client())) == 150 })
			srv.Kill()
			eventually(t, "an error with the last figures", func() bool {
				s, err := c.Stats(context.Background())
				return err != nil && s.ConnectedUsers == 150 && !s.AsOf.IsZero()
			})
			a.exit("u0")
			b.enter("u0", "client", "r1") // moved while Redis was down
			b.enter("late", "client", "r1")
			eventually(t, "leader unknown", func() bool { return !a.Lead() && !a.Ready() })
			pause(context.Background(), a.cfg.HeartbeatDead) // longer than what makes a node dead
			srv.Launch()
			within(t, 10*time.Second, "after the restart", c.figures(151, 201, 3))
			eventually(t, "announced", func() bool {
				return strings.Contains(strings.Join(announced(t, srv.Client()), "\n"), "user_joined r1 late client")
			})
			ready(t, a, b, c)
			for _, n := range []*node{a, b, c} {
				require.Empty(t, n.told())
				require.Zero(t, n.Counters().Reaped)
				require.Zero(t, n.Counters().Left)
			}
			require.NotContains(t, announced(t, srv.Client())[1:], announced(t, srv.Client())[0])
		})
	}
}

func TestRedisForgetsItsLastWrites(t *testing.T) {
	srv := redistest.Start(t)
	a, b := startNode(t, srv.Addr(), "a", fast), startNode(t, srv.Addr(), "b", fast)
	ready(t, a, b)
	a.enter("u1", "client", "r1")
	a.enter("u2", "client", "r1")
	eventually(t, "everyone is there", b.figures(2, 2, 2))
	eventually(t, "joins", func() bool { return len(announced(t, srv.Client())) == 2 })
	require.NoError(t, srv.Client().Save(context.Background()).Err())
	a.exit("u1")
	b.enter("u3", "client", "r1")
	eventually(t, "moved", func() bool { return len(announced(t, srv.Client())) == 4 })
	eventually(t, "u1 gone", b.figures(2, 2, 2))
	srv.Kill()
	srv.Launch()
	eventually(t, "told again what was forgotten", func() bool { return len(announcedOf(t, srv.Client(), "user_left")) == 1 })
	eventually(t, "figures", b.figures(2, 2, 2))
	require.Len(t, announcedOf(t, srv.Client(), "user_joined"), 3)
	require.Equal(t, map[string]string{"u2": "1", "u3": "1"}, srv.Client().HGetAll(context.Background(), a.keys.room("r1")).Val())
}

func TestRestartedAtOnce(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	a, b := startNode(t, srv.Addr(), "a"), startNode(t, srv.Addr(), "b")
	ready(t, a, b)
	a.Connect("u", "client")
	eventually(t, "connected", b.figures(1, 1, 2))
	eventually(t, "no newcomers", func() bool {
		v := b.view.Load()
		return v.now-v.nodes[b.cfg.Node].Since > b.cfg.HeartbeatDead.Milliseconds()
	})
	a.crash()
	again := startNode(t, srv.Addr(), "a")
	within(t, 2*time.Second, "the former self is reaped", func() bool {
		s, err := b.Stats(context.Background())
		return err == nil && s.ConnectedUsers == 0
	})
	eventually(t, "it is back", b.figures(0, 0, 2))
	eventually(t, "it leads in its time", again.Lead)
}

func TestPausedRedisKillsNobody(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	a, b := startNode(t, srv.Addr(), "a", fast), startNode(t, srv.Addr(), "b", fast)
	ready(t, a, b)
	a.Connect("u", "client")
	eventually(t, "written", b.figures(1, 1, 2))
	srv.Pause()
	pause(context.Background(), 2*a.cfg.HeartbeatDead)
	b.Connect("v", "admin")
	srv.Resume()
	eventually(t, "after the pause", a.figures(2, 2, 2))
	ready(t, a, b)
	require.Zero(t, a.Counters().Reaped)
	require.Zero(t, b.Counters().Reaped)
}

func TestCleanLeave(t *testing.T) {
	srv := redistest.Start(t)
	a, b := startNode(t, srv.Addr(), "a", fast), startNode(t, srv.Addr(), "b", fast, func(c *Config, _ *Deps, _ *hooks) {
		c.Window = 1500 * time.Millisecond
	})
	ready(t, a, b)
	for i := range 1100 {
		a.enter(fmt.Sprint("u", i), "client", "r1")
	}
	b.enter("u0", "client", "r1")
	eventually(t, "everyone is there", b.figures(1100, 1101, 2))
	eventually(t, "joins", func() bool { return len(announced(t, b.client)) == 1100 })
	a.stop()
	within(t, time.Second, "after a leave", b.figures(1, 1, 1))
	eventually(t, "told", func() bool { return len(b.told()) == 1 && b.Gone(a.cfg.Node) })
	eventually(t, "b leads", b.Lead)
	eventually(t, "left", func() bool { return len(announced(t, b.client)) == 2199 })
	eventually(t, "forgotten", func() bool { return b.client.HLen(context.Background(), b.keys.nodes).Val() == 1 })
	eventually(t, "not in an undisturbed list", func() bool { return b.Gone("x:1") })
	require.False(t, b.Gone(identity("x")), "too young")
	left, err := b.client.Exists(context.Background(), b.keys.nodeUsers(a.cfg.Node), b.keys.nodeRooms(a.cfg.Node)).Result()
	require.NoError(t, err)
	require.Zero(t, left)
}

func TestLeaveWithoutRedisIsBounded(t *testing.T) {
	srv := redistest.Start(t)
	a := startNode(t, srv.Addr(), "a", fast)
	ready(t, a)
	srv.Kill()
	within(t, 10*time.Second, "leave", func() bool { a.stop(); return true })
}

func TestReaperDiesMidway(t *testing.T) {
	srv := redistest.Start(t)
	stuck := make(chan struct{}, 100)
	die := func(_ *Config, _ *Deps, h *hooks) {
		h.afterReap = func(string) error {
			stuck <- struct{}{}
			return errors.New("crashed")
		}
	}
	small := func(c *Config, _ *Deps, _ *hooks) { c.ReapBatch = 100 }
	a, b := startNode(t, srv.Addr(), "a", fast, small, die), startNode(t, srv.Addr(), "b", fast, small)
	v := startNode(t, srv.Addr(), "v", fast, small)
	ready(t, a, b, v)
	for i := range 1000 {
		v.enter(fmt.Sprint("u", i), "client", fmt.Sprint("r", i%7))
	}
	b.enter("u1", "client", "r1")
	eventually(t, "everyone is there", b.figures(1000, 1001, 3))
	eventually(t, "joins", func() bool { return len(announced(t, b.client)) == 1000 })
	v.crash()
	<-stuck
	a.crash()
	eventually(t, "reaped by the next", b.figures(1, 1, 1))
	eventually(t, "left", func() bool { return len(announced(t, b.client)) == 1999 })
	eventually(t, "done", func() bool {
		return b.view.Load().nodes[v.cfg.Node].Done && b.view.Load().nodes[a.cfg.Node].Done
	})
	require.Equal(t, map[string]string{"u1": "1"}, b.client.HGetAll(context.Background(), b.keys.room("r1")).Val())
	require.Equal(t, map[string]string{"u1": "1"}, b.client.HGetAll(context.Background(), b.keys.users).Val())
}

func TestGossipHasToAgree(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	answers := make(chan bool, 1)
	answers <- true
	a := startNode(t, srv.Addr(), "a", fast, func(_ *Config, d *Deps, _ *hooks) {
		d.Answers = func(_ context.Context, _ string) (bool, bool) {
			is := <-answers
			answers <- is
			return is, true
		}
	})
	v := startNode(t, srv.Addr(), "v", fast)
	ready(t, a, v)
	v.Connect("u", "client")
	eventually(t, "connected", a.figures(1, 1, 2))
	v.crash()
	pause(context.Background(), 2*a.cfg.HeartbeatDead)
	require.True(t, a.figures(1, 1, 2)(), "a node that answers is not reaped")
	<-answers
	answers <- false
	eventually(t, "reaped", a.figures(0, 0, 1))
}

func TestRedisDownAtStart(t *testing.T) {
	srv := redistest.Start(t)
	srv.Kill()
	a := startNode(t, srv.Addr(), "a")
	a.enter("u", "client", "r1")
	s, err := a.Stats(context.Background())
	require.Error(t, err)
	require.True(t, s.AsOf.IsZero())
	require.False(t, a.Ready())
	require.False(t, a.Lead())
	require.False(t, a.Gone("x:1"))
	eventually(t, "failures", func() bool { return a.Counters().FlushErrors > 2 })
	srv.Launch()
	eventually(t, "written", a.figures(1, 1, 1))
	eventually(t, "announced", func() bool { return len(announced(t, a.client)) > 0 })
	require.Equal(t, []string{"user_joined r1 u client"}, announced(t, a.client))
}

func TestWhoCannotSubscribeIsKnownByItsHeartbeat(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	a := startNode(t, srv.Addr(), "a", fast)
	ready(t, a)
	require.NoError(t, srv.Client().Do(context.Background(), "ACL", "SETUSER", "default", "-subscribe").Err())
	v := startNode(t, srv.Addr(), "v", fast)
	v.Connect("u", "client")
	ready(t, a, v)
	eventually(t, "connected", a.figures(1, 1, 2))
	require.Empty(t, a.view.Load().nodes[v.cfg.Node].Run)
	pause(context.Background(), 2*a.cfg.HeartbeatDead)
	require.Empty(t, a.told())
	v.crash()
	eventually(t, "reaped", a.figures(0, 0, 1))
}

func TestRegistersOnceSubscribed(t *testing.T) {
	srv := redistest.Start(t)
	ctx, c := context.Background(), srv.Client()
	require.NoError(t, c.Do(ctx, "ACL", "SETUSER", "default", "-subscribe").Err())
	a := startNode(t, srv.Addr(), "a", func(c *Config, _ *Deps, _ *hooks) {
		c.HeartbeatEvery, c.HeartbeatDead = 30*time.Second, 90*time.Second // as long as it waits
	})
	stays(t, 500*time.Millisecond, "not yet registered", func() bool { return c.HLen(ctx, a.keys.nodes).Val() == 0 })
	require.NoError(t, c.Do(ctx, "ACL", "SETUSER", "default", "+subscribe").Err())
	eventually(t, "registered", func() bool { return c.HLen(ctx, a.keys.nodes).Val() == 1 })
	require.NotEmpty(t, parseNodes(c.HGetAll(ctx, a.keys.nodes).Val())[a.cfg.Node].Run)
}

func TestWhoCannotWriteItsCountsStillReaps(t *testing.T) {
	srv := redistest.Start(t)
	a, v := startNode(t, srv.Addr(), "a", fast), startNode(t, srv.Addr(), "v", fast)
	ready(t, a, v)
	v.Connect("u", "client")
	eventually(t, "connected", a.figures(1, 1, 2))
	require.NoError(t, srv.Client().Set(context.Background(), a.keys.nodeUsers(a.cfg.Node), "not a hash", 0).Err())
	a.Connect("w", "client")
	eventually(t, "failures", func() bool { return a.Counters().FlushErrors > 2 })
	v.crash()
	eventually(t, "reaped", func() bool {
		s, err := a.Stats(context.Background())
		return err == nil && s.ConnectedUsers == 0 && len(s.Nodes) == 1
	})
}

func TestLostSubscriptionIsNotDeath(t *testing.T) {
	srv := redistest.Start(t)
	a, b := startNode(t, srv.Addr(), "a", fast), startNode(t, srv.Addr(), "b", fast)
	ready(t, a, b)
	for range 5 {
		require.NoError(t, srv.Client().Do(context.Background(), "CLIENT", "KILL", "TYPE", "pubsub").Err())
		pause(context.Background(), a.cfg.AbsentFor)
	}
	ready(t, a, b)
	require.Zero(t, a.Counters().Reaped)
	eventually(t, "subscribed again", func() bool {
		return srv.Client().PubSubNumSub(context.Background(), a.keys.aliveAt(b.cfg.Node)).Val()[a.keys.aliveAt(b.cfg.Node)] == 1
	})
}

func TestEmbeddedRedis(t *testing.T) {
	srv := miniredis.RunT(t)
	a, b := startNode(t, srv.Addr(), "a", fast), startNode(t, srv.Addr(), "b", fast)
	ready(t, a, b)
	for i := range 120 {
		a.enter(fmt.Sprint("u", i), "client", "r1")
		b.enter(fmt.Sprint("u", i+60), "advisor", "r1")
	}
	eventually(t, "everyone is there", a.figures(180, 240, 2))
	eventually(t, "joins", func() bool { return len(announced(t, a.client)) == 180 })
	a.exit("u0")
	eventually(t, "left", func() bool { return len(announced(t, a.client)) == 181 })
	srv.FlushAll()
	eventually(t, "after a flush", a.figures(179, 239, 2))
	ready(t, a, b)
	b.crash()
	eventually(t, "reaped", a.figures(119, 119, 1))
	require.Empty(t, announcedOf(t, a.client, "user_joined"))
}

func TestSharded(t *testing.T) {
	srv := redistest.Start(t, "--cluster-enabled", "yes")
	ctx := context.Background()
	require.NoError(t, srv.Client().ClusterAddSlotsRange(ctx, 0, 16383).Err())
	sharded := func(c *Config, d *Deps, _ *hooks) {
		c.Sharded = true
		client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{srv.Addr()}, MaxRetries: -1})
		t.Cleanup(func() { _ = client.Close() })
		d.Redis = client
	}
	eventually(t, "cluster", func() bool {
		return strings.Contains(srv.Client().ClusterInfo(ctx).Val(), "cluster_state:ok")
	})
	a, b := startNode(t, srv.Addr(), "a", fast, sharded), startNode(t, srv.Addr(), "b", fast, sharded)
	ready(t, a, b)
	b.enter("u", "client", "r1")
	eventually(t, "connected", a.figures(1, 1, 2))
	require.Equal(t, map[string]bool{b.cfg.Node: true}, map[string]bool{b.cfg.Node: a.view.Load().nodes[b.cfg.Node].Ended == 0})
	b.crash()
	_ = b.deps.Redis.Close()
	within(t, 2*time.Second, "reaped by its closed connection", a.figures(0, 0, 1))
}

func announcedOf(t *testing.T, c redis.UniversalClient, event string) []string {
	t.Helper()
	var out []string
	for _, s := range announced(t, c) {
		if strings.HasPrefix(s, event) {
			out = append(out, s)
		}
	}
	return out
}
