package presence

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// stormy is a cluster whose writers a test steps by itself, so that what Redis is asked does not depend on the time.
type stormy struct {
	tb      testing.TB
	client  *redis.Client
	nodes   []*Presence
	writers []*writer
}

func newStormy(tb testing.TB, nodes int) *stormy {
	s := &stormy{tb: tb, client: redistest.Start(tb).Client()}
	for i := range nodes {
		cfg := DefaultConfig()
		cfg.Name = fmt.Sprint("n", i)
		cfg.Node = cfg.Name + ":1"
		cfg.HeartbeatEvery, cfg.HeartbeatDead = time.Hour, 3*time.Hour // commands are counted: none but those of the storm
		p, err := New(cfg, Deps{Redis: s.client, Announce: announce, Log: slog.New(slog.DiscardHandler)})
		require.NoError(tb, err)
		w := newWriter(p)
		w.patientUntil = time.Time{}
		s.nodes, s.writers = append(s.nodes, p), append(s.writers, w)
	}
	return s
}

// tick has FlushEvery pass on every node.
func (s *stormy) tick() {
	s.tb.Helper()
	for _, w := range s.writers {
		require.NoError(s.tb, w.step(context.Background()))
	}
}

// settle lasts until nothing is left to be written.
func (s *stormy) settle() {
	s.tb.Helper()
	for range 100 {
		s.tick()
		left := 0
		for _, p := range s.nodes {
			left += p.users.waiting() + p.rooms.waiting()
		}
		if left == 0 {
			return
		}
	}
	s.tb.Fatal("changes are left unwritten")
}

// client i has a user of its own, one of three roles and one of 200 rooms.
func stormClient(i int) Member {
	role := []string{"admin", "advisor", "client"}[i%3]
	return Member{Room: fmt.Sprint("solicitud_", i*7%200), User: fmt.Sprint("u", i), Role: role}
}

func (s *stormy) enter(i, node int) {
	m, p := stormClient(i), s.nodes[node%len(s.nodes)]
	p.Connect(m.User, m.Role)
	p.Join(m)
}

func (s *stormy) exit(i, node int) {
	m, p := stormClient(i), s.nodes[node%len(s.nodes)]
	p.Leave(m)
	p.Disconnect(m.User, m.Role)
}

// commands is how many Redis has run since its figures were reset, by name; those of scripts included.
func (s *stormy) commands() (sum int, each map[string]int) {
	s.tb.Helper()
	info, err := s.client.Info(context.Background(), "commandstats").Result()
	require.NoError(s.tb, err)
	each = map[string]int{}
	for line := range strings.Lines(info) {
		name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		var n int
		if _, err := fmt.Sscanf(rest, "%d,", &n); !ok || err != nil {
			continue
		}
		each[name] = n
		sum += n
	}
	return sum, each
}

// TestAStormIsFewCommands drops 5,000 clients at once and has them back on other nodes, a few with each flush.
func TestAStormIsFewCommands(t *testing.T) {
	const clients, nodes = 5000, 3
	for _, test := range []struct {
		name  string
		ticks int // that the clients take to be back
		bound float64
	}{
		{"back at once", 1, 0.6},
		{"back within 4 s", 40, 1.3},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStormy(t, nodes)
			for i := range clients {
				s.enter(i, i)
			}
			s.settle()
			ctx := context.Background()
			require.NoError(t, s.client.ConfigResetStat(ctx).Err())
			for i := range clients {
				s.exit(i, i)
			}
			s.tick()
			order := rand.New(rand.NewPCG(1, 2)).Perm(clients) // so that those who come together are of any rooms
			for tick := range test.ticks {
				for at := tick; at < clients; at += test.ticks {
					s.enter(order[at], order[at]+1+at%2)
				}
				s.tick()
			}
			s.settle()
			sum, each := s.commands()
			t.Logf("%.2f commands per client: %v", float64(sum)/clients, each)
			require.LessOrEqual(t, float64(sum)/clients, test.bound)
			require.EqualValues(t, clients, s.client.XLen(ctx, "{teloo}:log").Val(), "who is back is not announced")
			stats, err := s.nodes[0].Stats(ctx)
			require.NoError(t, err)
			require.EqualValues(t, clients, stats.ConnectedUsers)
			require.EqualValues(t, clients, stats.Connections)
			for room := range 200 {
				require.EqualValues(t, clients/200, s.client.HLen(ctx, s.nodes[0].keys.room(fmt.Sprint("solicitud_", room))).Val())
			}
		})
	}
}

// BenchmarkStorm writes users and their room through one node: each comes and goes.
func BenchmarkStorm(b *testing.B) {
	const clients = 5000
	s := newStormy(b, 1)
	s.tick()
	n := 0
	for b.Loop() {
		for i := range clients {
			s.enter(i, 0)
		}
		s.settle()
		for i := range clients {
			s.exit(i, 0)
		}
		s.settle()
		n += 2 * clients
		b.StopTimer()
		require.NoError(b, s.client.Del(context.Background(), "{teloo}:log", "{teloo}:presence:leaving").Err())
		b.StartTimer()
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "users/s")
}
