package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
	"github.com/teloo/realtime-gateway/node"
	"github.com/teloo/realtime-gateway/streams"
)

func TestFlowWritesEventsThatCanBeRouted(t *testing.T) {
	f := newFlow(nil, time.Second, nil)
	seen := map[string]int{}
	for range 500 {
		ev := f.step()
		seen[ev.Name]++
		rooms, _, err := node.Route(ev)
		require.NoError(t, err, ev.Name)
		require.NotEmpty(t, rooms)
		require.LessOrEqual(t, len(f.open), maxOpen)
	}
	for _, name := range []string{"solicitud_created", "oferta_submitted", "oferta_accepted", "evaluacion_created"} {
		require.NotZero(t, seen[name], name)
	}
}

func TestStickyProxyKeepsAClientWithItsNode(t *testing.T) {
	var addrs []string
	for _, name := range []string{"one", "two"} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, name+" "+r.Host)
		}))
		t.Cleanup(srv.Close)
		addrs = append(addrs, strings.TrimPrefix(srv.URL, "http://"))
	}
	proxy := newStickyProxy(addrs)
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	get := func(cookies ...*http.Cookie) (string, []*http.Cookie) {
		r := httptest.NewRequest(http.MethodGet, "http://front.example/", nil)
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		proxy.ServeHTTP(w, r)
		return w.Body.String(), w.Result().Cookies()
	}
	first, cookies := get()
	require.Contains(t, first, "front.example", "nodes compare Host with Origin")
	require.Len(t, cookies, 1)
	for range 3 {
		again, none := get(cookies...)
		require.Equal(t, first, again)
		require.Empty(t, none)
	}
	other, _ := get()
	require.NotEqual(t, first, other)
	_, replaced := get(&http.Cookie{Name: devCookie, Value: "99"})
	require.Len(t, replaced, 1)
}

// TestServe runs a node as serve does, on a real Redis, and ends it in order.
func TestServe(t *testing.T) {
	redis := redistest.Start(t)
	cfg := defaultConfig()
	cfg.Host, cfg.NodeName, cfg.JWTSecretKey = devHost, "n1", "a-secret-for-a-test"
	cfg.RedisURL = secret("redis://" + redis.Addr())
	cfg.DrainWindow = time.Second
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	listener, err := listen(ctx, devHost, 0)
	require.NoError(t, err)
	base := "http://" + listener.Addr().String()
	log := (&app{stderr: io.Discard}).logger(cfg)
	p, err := build(ctx, cfg, log)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- p.run(ctx, doors{clients: listener}, p.sources(), cfg.apiConfig()) }()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)

	status := func(path string) (int, string) {
		res, err := http.Get(base + path)
		if err != nil {
			return 0, err.Error()
		}
		defer func() { _ = res.Body.Close() }()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(body)
	}
	require.Eventually(t, func() bool { code, _ := status("/health/ready"); return code == http.StatusOK }, 20*time.Second, 20*time.Millisecond)
	_, health := status("/health")
	require.JSONEq(t, `{"status":"ok","redis":"ok","gossip":"off","consumer":"consuming","version":"`+buildVersion()+`"}`, health)
	_, stats := status("/stats")
	require.Contains(t, stats, `"name":"n1"`)

	require.Eventually(t, func() bool { return p.canary.Stats().Heard > 0 }, 20*time.Second, 20*time.Millisecond, "through the whole path")
	require.Contains(t, stats, `"connections":0`)

	client := redis.Client()
	_, err = streams.NewPublisher(client, cfg.RedisPrefix).Publish(ctx, streams.Event{
		Name: "notificacion_x", Data: json.RawMessage(`{"user_id":"u"}`),
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		entries, err := client.XRange(ctx, "{teloo}:log", "-", "+").Result()
		if err != nil {
			return false
		}
		for _, e := range entries {
			if data, ok := e.Values["data"].(string); ok && strings.Contains(data, "notificacion_x") {
				return true
			}
		}
		return false
	}, 20*time.Second, 20*time.Millisecond)

	stop()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(20 * time.Second):
		t.Fatal("the node does not end")
	}
	members, err := client.HLen(context.Background(), "{teloo}:presence:nodes").Result()
	require.NoError(t, err)
	require.LessOrEqual(t, members, int64(1), "left: at most its end time stays")
}

func TestActorThatEndsEarlyFailsTheRest(t *testing.T) {
	ctx, failed := context.WithCancelCause(t.Context())
	a := start("part", func(context.Context) error { return io.ErrUnexpectedEOF }, failed)
	<-ctx.Done()
	require.ErrorIs(t, context.Cause(ctx), io.ErrUnexpectedEOF)
	require.ErrorIs(t, context.Cause(ctx), errEndedEarly)
	<-a.done
}

func TestDevRefusesProduction(t *testing.T) {
	a := &app{environ: []string{"ENVIRONMENT=production"}, stdout: io.Discard, stderr: io.Discard}
	err := (&devCmd{Nodes: 1}).check(a)
	require.Error(t, err)
	require.Contains(t, (&devCmd{Nodes: 12, Every: -1}).check(&app{stderr: io.Discard}).Error(), "--nodes")
}
