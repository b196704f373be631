package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/bench/load"
	"github.com/teloo/realtime-gateway/deploy/e2e/hostile/attack"
	"github.com/teloo/realtime-gateway/deploy/redistest"
)

var (
	attackFor     = flag.Duration("attack", 3*time.Second, "how long TestAttackLeavesNothing attacks")
	attackClients = flag.Int("attack-clients", 50, "how many good clients it has")
	attackSeed    = flag.Uint64("attack-seed", 1, "what its attacks follow from")
)

// footprint is what a leak would add to.
type footprint struct {
	goroutines int
	heap       uint64
}

func tread() footprint {
	runtime.GC()
	runtime.GC() // what finalizers and pools still held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return footprint{runtime.NumGoroutine(), m.HeapAlloc}
}

// within reports whether neither figure is more than 5 % above what it was.
func (f footprint) within(was footprint) bool {
	return f.goroutines <= was.goroutines+was.goroutines/20 && f.heap <= was.heap+was.heap/20
}

// attackedNode is a whole node, as serve runs it.
type attackedNode struct {
	*parts

	addr string
}

func newAttackedNode(t *testing.T) *attackedNode {
	t.Helper()
	cfg := defaultConfig()
	cfg.Host, cfg.NodeName, cfg.JWTSecretKey = devHost, "n1", goodSecret
	cfg.RedisURL = secret("redis://" + redistest.Start(t).Addr())
	cfg.DrainWindow, cfg.LogLevel = 100*time.Millisecond, slog.LevelError
	cfg.HandshakeRate = 0 // all come from few addresses
	// What is kept for clients to come back is no leak, but grows.
	cfg.RingMaxEntries, cfg.RecoveryWindow = 100, time.Second
	cfg.ConnectTimeout, cfg.PingInterval, cfg.PingTimeout = 2*time.Second, 2*time.Second, 2*time.Second
	ctx, stop := context.WithCancel(context.Background())
	listener, err := listen(ctx, devHost, 0)
	require.NoError(t, err)
	p, err := build(ctx, cfg, (&app{stderr: io.Discard}).logger(cfg))
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- p.run(ctx, doors{clients: listener}, p.sources(), cfg.apiConfig()) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
		http.DefaultClient.CloseIdleConnections()
	})
	require.Eventually(t, func() bool { ready, _ := p.ready(); return ready }, 30*time.Second, 20*time.Millisecond)
	return &attackedNode{parts: p, addr: listener.Addr().String()}
}

func userToken(t *testing.T, user string) string {
	t.Helper()
	r := gateway(t, good(), "", "token", "--user", user, "--role", "advisor")
	require.Equal(t, exitOK, r.code, r.stderr)
	return r.stdout[:len(r.stdout)-1]
}

// serveGoodClients connects clients that stay as long as the test.
func (n *attackedNode) serveGoodClients(t *testing.T, clients int) *load.Fleet {
	t.Helper()
	const perUser = 50
	var tokens []string
	for i := 0; i < clients; i += perUser {
		tokens = append(tokens, userToken(t, "good"+strconv.Itoa(i)))
	}
	fleet, err := load.New(load.Config{
		URL: "ws://" + n.addr, Clients: clients, Token: func(i int) string { return tokens[i/perUser] },
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- fleet.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	wait, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("too slow"))
	defer cancel()
	require.NoError(t, fleet.WaitReady(wait, clients))
	return fleet
}

// TestAttackLeavesNothing attacks a whole node in this process and expects goroutines and heap to be back where they
// were. The first attack fills pools and maps. Longer: go test ./cmd/gateway -run TestAttack -attack 10m -attack-clients 500.
func TestAttackLeavesNothing(t *testing.T) {
	n := newAttackedNode(t)
	fleet := n.serveGoodClients(t, *attackClients)
	const users = 5
	var tokens [users]string
	for i := range tokens {
		tokens[i] = userToken(t, "h"+strconv.Itoa(i))
	}
	cfg := attack.Config{
		Addr: n.addr, Seed: *attackSeed, Token: func(i int) string { return tokens[i] }, Users: users, Attackers: 32, Rate: 300, Hold: time.Second,
	}
	fight := func(d time.Duration) attack.Counts {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		counts, err := attack.Run(ctx, cfg)
		require.NoError(t, err)
		require.Eventually(t, func() bool { return n.alone(*attackClients) }, time.Minute, 50*time.Millisecond, "the attackers' sessions end")
		return counts
	}
	cfg.First = 1 << 20 // others than those that count
	fight(min(*attackFor, 10*time.Second))
	before := settled(t)
	cfg.First = 0
	counts := fight(*attackFor)
	var after footprint
	back := func() bool { after = tread(); return after.within(before) }
	returned := false
	for end := time.Now().Add(time.Minute); !returned && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		returned = back()
	}
	t.Logf("%d attacks of %d kinds; goroutines %d -> %d, heap %.2f -> %.2f MiB", counts.Total(), len(counts), before.goroutines, after.goroutines,
		float64(before.heap)/(1<<20), float64(after.heap)/(1<<20))
	require.True(t, returned, "goroutines and heap are not back within 5 percent")
	require.Zero(t, counts.Total(attack.Failed), "answers like 500: %v", counts)
	require.Zero(t, n.node.Stats().Panics)
	require.Zero(t, fleet.Stats().Closed, "no good client was disconnected")
}

// alone reports whether only the good clients are left.
func (n *attackedNode) alone(clients int) bool {
	sessions := n.node.EngineStats()
	return n.node.Stats().Connections == int64(clients) && sessions.Polling+sessions.WebSocket == clients
}

// settled returns the footprint once it no longer shrinks.
func settled(t *testing.T) footprint {
	t.Helper()
	last := tread()
	require.Eventually(t, func() bool {
		now := tread()
		shrinks := now.goroutines < last.goroutines || now.heap < last.heap-last.heap/200
		last = now
		return !shrinks
	}, time.Minute, 500*time.Millisecond)
	return last
}
