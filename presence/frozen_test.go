package presence

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// stays fails if condition does not hold all the while.
func stays(t *testing.T, while time.Duration, what string, condition func() bool) {
	t.Helper()
	require.Never(t, func() bool { return !condition() }, while, 20*time.Millisecond, what)
}

// live returns the identity of the live node of that name.
func (n *node) live(t *testing.T, name string) string {
	t.Helper()
	var id string
	eventually(t, name+" seen", func() bool {
		s, err := n.Stats(context.Background())
		require.NoError(t, err)
		for _, i := range s.Nodes {
			if i.Name == name {
				id = i.Identity
			}
		}
		return id != ""
	})
	return id
}

// requireAlternating checks that each user of a room was announced as joined and left by turns, and joined last.
func requireAlternating(t *testing.T, announcements []string) {
	t.Helper()
	there := map[string]bool{}
	for _, a := range announcements {
		event, who, _ := strings.Cut(a, " ")
		require.NotEqual(t, there[who], event == "user_joined", "announced twice: %s", a)
		there[who] = event == "user_joined"
	}
	for who, is := range there {
		require.True(t, is, "%s is there, but was announced as gone", who)
	}
}

// TestFrozenLeaderComesBack freezes the leading node amid its writing, for longer than it takes to be reaped.
func TestFrozenLeaderComesBack(t *testing.T) {
	t.Parallel()
	const before, amid, frozen = 1200, 600, 15 * time.Second
	srv := redistest.Start(t)
	a, b := startNode(t, srv.Addr(), "a"), startNode(t, srv.Addr(), "b")
	victim := startChild(t, srv.Addr(), "0")
	ready(t, a, b)
	for i := range before {
		victim.join(fmt.Sprint("u", i))
	}
	eventually(t, "everyone is there", a.figures(before, before, 3))
	id := a.live(t, "0")
	require.False(t, a.Lead())
	ready(t, a, b)

	for i := range amid {
		victim.join(fmt.Sprint("u", before+i))
	}
	victim.signal(syscall.SIGSTOP)
	begin := time.Now()
	within(t, 10*time.Second, "after SIGSTOP", a.figures(0, 0, 2))
	require.Equal(t, []string{id}, a.told())
	eventually(t, "the next leads", a.Lead)
	a.enter("u0", "client", "r1") // its client gave the frozen node up
	eventually(t, "moved", b.figures(1, 1, 2))
	pause(context.Background(), frozen-time.Since(begin))
	require.Empty(t, a.client.HGetAll(context.Background(), a.keys.nodeUsers(id)).Val())

	victim.signal(syscall.SIGCONT)
	all := b.figures(before+amid, before+amid+1, 3)
	within(t, 3*time.Second, "after SIGCONT", all)
	eventually(t, "alive to a", func() bool { return !a.Gone(id) })
	stays(t, 4*time.Second, "the figures after SIGCONT", all)
	require.False(t, a.Gone(id))
	require.Zero(t, b.Counters().Reaped)
	require.EqualValues(t, 1, a.Counters().Reaped)

	once := map[string]string{}
	for i := range before + amid {
		once[fmt.Sprint("u", i)] = "1"
	}
	held := map[string]string{}
	for u := range once {
		held["client|"+u] = "1"
	}
	ctx := context.Background()
	require.Equal(t, held, a.client.HGetAll(ctx, a.keys.nodeUsers(id)).Val())
	once["u0"] = "2"
	for _, total := range []string{a.keys.users, a.keys.role("client"), a.keys.room("r1")} {
		require.Equal(t, once, a.client.HGetAll(ctx, total).Val(), total)
	}
	eventually(t, "nothing pends", func() bool { return a.client.ZCard(ctx, a.keys.leaving).Val() == 0 })
	requireAlternating(t, announced(t, a.client))
}

// TestFrozenForAMomentIsNotDead freezes the leading node for less than what makes it dead.
func TestFrozenForAMomentIsNotDead(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	a := startNode(t, srv.Addr(), "a")
	victim := startChild(t, srv.Addr(), "0")
	ready(t, a)
	victim.join("u")
	eventually(t, "connected", a.figures(1, 1, 2))
	victim.signal(syscall.SIGSTOP)
	stays(t, a.cfg.HeartbeatDead/2, "while frozen", a.figures(1, 1, 2))
	victim.signal(syscall.SIGCONT)
	stays(t, a.cfg.HeartbeatDead/2, "and after", a.figures(1, 1, 2))
	require.Empty(t, a.told())
}

// TestSilentGossipKillsNobody has gossip fail between nodes that all reach Redis, even while they lose subscriptions.
func TestSilentGossipKillsNobody(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	var asked atomic.Int64
	silent := func(_ *Config, d *Deps, _ *hooks) {
		d.Answers = func(ctx context.Context, _ string) (bool, bool) {
			asked.Add(1)
			<-ctx.Done()
			return false, true
		}
	}
	a, b := startNode(t, srv.Addr(), "a", silent), startNode(t, srv.Addr(), "b", silent)
	ready(t, a, b)
	a.enter("u", "client", "r1")
	b.enter("v", "client", "r1")
	eventually(t, "connected", a.figures(2, 2, 2))
	ctx := context.Background()
	lost := func() bool {
		return srv.Client().Do(ctx, "CLIENT", "KILL", "TYPE", "pubsub").Err() == nil && a.figures(2, 2, 2)() && b.figures(2, 2, 2)()
	}
	stays(t, 2*a.cfg.HeartbeatDead, "all the while", lost)
	require.Positive(t, asked.Load())
	a.enter("w", "client", "r1")
	within(t, time.Second, "a connect", b.figures(3, 3, 2))
	require.Empty(t, a.told())
	require.Empty(t, b.told())
}
