package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// neighbours are two nodes of one cluster.
func neighbours(t *testing.T) (first, second *observedNode) {
	t.Helper()
	redis := redistest.Start(t)
	gossip := make([]string, 2)
	for i := range gossip {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		gossip[i] = l.Addr().String()
		require.NoError(t, l.Close())
	}
	nodes := make([]*observedNode, 2)
	for i, name := range []string{"first", "second"} {
		cfg := defaultConfig()
		cfg.Host, cfg.NodeName, cfg.JWTSecretKey, cfg.CanaryInterval = devHost, name, goodSecret, 0
		cfg.RedisURL, cfg.ClusterSecret = secret("redis://"+redis.Addr()), goodSecret
		cfg.ClusterBind, cfg.ClusterSeeds = gossip[i], list(gossip)
		cfg.DrainWindow, cfg.LogLevel = 30*time.Second, slog.LevelError
		nodes[i] = runNode(t, cfg)
	}
	for _, n := range nodes {
		require.Eventually(t, func() bool { return n.gossip.Live() == 2 }, 30*time.Second, 10*time.Millisecond)
	}
	return nodes[0], nodes[1]
}

// runNode runs a node at a port of its own.
func runNode(t *testing.T, cfg Config) *observedNode {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	at, err := listen(ctx, devHost, 0)
	require.NoError(t, err)
	cfg.AdvertiseAddr = at.Addr().String()
	n := &observedNode{clients: "http://" + cfg.AdvertiseAddr}
	n.parts, err = build(ctx, cfg, (&app{stderr: io.Discard}).logger(cfg))
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- n.run(ctx, doors{clients: at}, n.sources(), cfg.apiConfig()) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
		http.DefaultClient.CloseIdleConnections()
	})
	require.Eventually(t, func() bool { ready, _ := n.ready(); return ready }, 30*time.Second, 20*time.Millisecond)
	return n
}

// ask is one request of Engine.IO's; the answer's status and body.
func (n *observedNode) ask(ctx context.Context, method, query, body string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, n.clients+"/socket.io/?EIO=4&transport=polling"+query, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

// asked is ask that has to be answered.
func (n *observedNode) asked(t *testing.T, method, query, body string) (int, string) {
	t.Helper()
	status, text, err := n.ask(t.Context(), method, query, body)
	require.NoError(t, err)
	return status, text
}

// session begins one, and returns its part of a query.
func (n *observedNode) session(t *testing.T) string {
	t.Helper()
	status, body := n.asked(t, http.MethodGet, "", "")
	require.Equal(t, http.StatusOK, status, body)
	_, rest, _ := strings.Cut(body, `"sid":"`)
	sid, _, _ := strings.Cut(rest, `"`)
	return "&sid=" + sid
}

// TestSessionsOfADrainingNodeAreServedThroughOthers until their turn comes, though it takes no new ones.
func TestSessionsOfADrainingNodeAreServedThroughOthers(t *testing.T) {
	first, second := neighbours(t)
	sid := second.session(t)
	second.turnAway()
	require.NoError(t, second.node.Drain(t.Context()))
	require.Eventually(t, func() bool {
		for _, m := range first.gossip.Members() {
			if m.Name == "second" {
				return m.Draining
			}
		}
		return false
	}, 30*time.Second, 10*time.Millisecond, "the other knows of it")
	status, _ := second.asked(t, http.MethodGet, "", "")
	require.Equal(t, http.StatusServiceUnavailable, status, "it takes no new ones")
	status, body := first.asked(t, http.MethodPost, sid, "40")
	require.Equal(t, http.StatusOK, status, body)
	status, body = first.asked(t, http.MethodGet, sid, "")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "token_missing")
	require.EqualValues(t, 2, first.forward.Stats().Forwarded["answered"])
	require.EqualValues(t, 2, second.forward.Stats().Received["accepted"])
}

// TestADrainingNodeLetsThoseThroughItGo: to the sessions' node, or another way to it.
func TestADrainingNodeLetsThoseThroughItGo(t *testing.T) {
	first, second := neighbours(t)
	sid := second.session(t)
	polled := make(chan string, 1)
	go func() {
		_, body, _ := first.ask(t.Context(), http.MethodGet, sid, "")
		polled <- body
	}()
	require.Eventually(t, func() bool { return first.forward.Stats().Polls == 1 }, 30*time.Second, time.Millisecond)
	began := time.Now()
	first.turnAway()
	first.sendAway(t.Context())
	require.Less(t, time.Since(began), 15*time.Second, "few do not take long")
	require.Equal(t, "6", <-polled)
	status, body := second.asked(t, http.MethodPost, sid, "40")
	require.Equal(t, http.StatusOK, status, body)
	status, body = first.asked(t, http.MethodGet, sid, "")
	require.Equal(t, http.StatusOK, status, "what the load balancer still sends is served")
	require.Contains(t, body, "token_missing")
}
