package presence

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// model is what the sockets of a node are: the truth that Redis has to agree with.
type model struct {
	*node
	rng *rand.Rand

	users map[key]int64
	rooms map[key]int64
}

func newModel(n *node, seed uint64) *model {
	return &model{node: n, rng: rand.New(rand.NewPCG(seed, 7)), users: map[key]int64{}, rooms: map[key]int64{}}
}

// churn does random things for a while, without ever leaving what was not joined.
func (m *model) churn(steps int) {
	roles := m.cfg.Roles
	for range steps {
		k := key{role: roles[m.rng.IntN(2)], user: fmt.Sprint("u|", m.rng.IntN(30))}
		switch m.rng.IntN(4) {
		case 0:
			m.Connect(k.user, k.role)
			m.users[k]++
		case 1:
			if m.users[k] > 0 {
				m.Disconnect(k.user, k.role)
				m.users[k]--
			}
		default:
			k.room = fmt.Sprint("r", m.rng.IntN(4))
			if m.rooms[k] > 0 && m.rng.IntN(3) > 0 {
				m.Leave(Member{k.room, k.user, k.role})
				m.rooms[k]--
			} else {
				m.Join(Member{k.room, k.user, k.role})
				m.rooms[k]++
			}
		}
		if m.rng.IntN(50) == 0 {
			pause(context.Background(), time.Duration(m.rng.IntN(5))*time.Millisecond)
		}
	}
}

// expected is every hash that Redis should hold for these nodes, but for the list of nodes.
func expected(models []*model) map[string]map[string]string {
	sums := map[string]map[string]int64{}
	put := func(hash, field string, n int64) {
		if n == 0 {
			return
		}
		if sums[hash] == nil {
			sums[hash] = map[string]int64{}
		}
		sums[hash][field] += n
	}
	for _, m := range models {
		for k, n := range m.users {
			user := strings.SplitN(k.field(false), separator, 2)[1]
			put(m.keys.nodeUsers(m.cfg.Node), k.field(false), n)
			put(m.keys.role(k.role), user, n)
			put(m.keys.users, user, n)
		}
		for k, n := range m.rooms {
			put(m.keys.nodeRooms(m.cfg.Node), k.field(true), n)
			put(m.keys.room(k.room), strings.SplitN(k.field(true), separator, 3)[2], n)
		}
	}
	out := map[string]map[string]string{}
	for hash, fields := range sums {
		out[hash] = map[string]string{}
		for f, n := range fields {
			out[hash][f] = strconv.FormatInt(n, 10)
		}
	}
	return out
}

func stored(t *testing.T, m *model) map[string]map[string]string {
	t.Helper()
	ctx := context.Background()
	out := map[string]map[string]string{}
	all := m.client.Keys(ctx, m.keys.prefix+"*").Val()
	for _, k := range all {
		if k == m.keys.nodes || k == m.keys.epoch || k == m.keys.leaving {
			continue
		}
		if h := m.client.HGetAll(ctx, k).Val(); len(h) > 0 {
			out[k] = h
		}
	}
	return out
}

func agree(t *testing.T, models []*model) {
	t.Helper()
	want := expected(models)
	deadline := time.Now().Add(patience)
	for {
		got := stored(t, models[0])
		if maps.EqualFunc(want, got, maps.Equal[map[string]string, map[string]string]) {
			return
		}
		if time.Now().After(deadline) {
			require.Equal(t, want, got)
		}
		pause(context.Background(), 10*time.Millisecond)
	}
}

func churnAll(models []*model, steps int, disturb func()) {
	var wg sync.WaitGroup
	for _, m := range models {
		wg.Go(func() { m.churn(steps) })
	}
	disturb()
	wg.Wait()
}

// TestRandomJoinsAgreeWithTheModel has three nodes churn, crash and be replaced, and checks that Redis holds exactly
// the sockets of those alive, and that announcements of a user in a room alternate and end with what is true.
func TestRandomJoinsAgreeWithTheModel(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	srv := redistest.Start(t)
	small := func(c *Config, _ *Deps, _ *hooks) { c.ReapBatch = 17 }
	var models []*model
	for i, name := range []string{"a", "b", "c"} {
		models = append(models, newModel(startNode(t, srv.Addr(), name, fast, small), seed+uint64(i)))
	}
	for round := range 5 {
		ready(t, models[0].node, models[1].node, models[2].node)
		churnAll(models, 3000, func() {})
		agree(t, models)
		at := round % 3
		models[at].crash()
		models[at] = newModel(startNode(t, srv.Addr(), fmt.Sprint("n", round), fast, small), seed+uint64(10+round))
		agree(t, models)
	}
	eventually(t, "nothing pends", func() bool {
		return models[0].client.ZCard(context.Background(), models[0].keys.leaving).Val() == 0
	})
	there := map[string]bool{}
	for _, entry := range announced(t, models[0].client) {
		f := strings.Fields(entry)
		who, joined := f[1]+" "+f[2], f[0] == "user_joined"
		require.NotEqual(t, there[who], joined, "announced twice: %s", entry)
		there[who] = joined
	}
	for who, is := range there {
		room, user, _ := strings.Cut(who, " ")
		want := false
		for _, m := range models {
			for k, n := range m.rooms {
				want = want || (n > 0 && k.room == room && k.user == user)
			}
		}
		require.Equal(t, want, is, who)
	}
}

// TestRandomJoinsSurviveRedis has nodes churn while Redis is emptied, restarted, paused and loses clients.
func TestRandomJoinsSurviveRedis(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	srv := redistest.Start(t)
	admin := srv.Client()
	ctx := context.Background()
	var models []*model
	for i, name := range []string{"a", "b", "c"} {
		models = append(models, newModel(startNode(t, srv.Addr(), name, fast), seed+uint64(i)))
	}
	for _, disturb := range []func(){
		func() { _ = admin.FlushAll(ctx).Err() },
		func() { srv.Kill(); srv.Launch() },
		func() { srv.Pause(); pause(ctx, time.Second); srv.Resume() },
		func() { _ = admin.Do(ctx, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err() },
		func() {
			_ = admin.ConfigSet(ctx, "maxmemory", "1").Err()
			pause(ctx, 3*time.Second)
			_ = admin.ConfigSet(ctx, "maxmemory", "0").Err()
		},
		func() { _ = admin.ScriptFlush(ctx).Err(); _ = admin.FlushAll(ctx).Err() },
	} {
		ready(t, models[0].node, models[1].node, models[2].node)
		churnAll(models, 3000, disturb)
		agree(t, models)
	}
	for _, m := range models {
		require.Zero(t, m.Counters().Reaped)
		require.Zero(t, m.Counters().Underflows)
	}
}
