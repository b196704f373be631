package main

import (
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// spanSink is an OpenTelemetry collector that keeps what it is sent.
type spanSink struct {
	*httptest.Server

	mu    sync.Mutex
	spans []*tracepb.Span // mu
	raw   strings.Builder // mu: everything as it came
}

func newSpanSink(t *testing.T) *spanSink {
	t.Helper()
	s := &spanSink{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var batch collector.ExportTraceServiceRequest
		if r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &batch) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.raw.Write(body)
		for _, resource := range batch.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				s.spans = append(s.spans, scope.GetSpans()...)
			}
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func spanAttributes(s *tracepb.Span) map[string]any {
	out := map[string]any{}
	for _, a := range s.GetAttributes() {
		if text := a.GetValue().GetStringValue(); text != "" {
			out[a.GetKey()] = text
		} else {
			out[a.GetKey()] = a.GetValue().GetIntValue()
		}
	}
	return out
}

// startParts runs a node until stop, or the test's end.
func startParts(t *testing.T, change func(*Config)) (p *parts, stop func()) {
	t.Helper()
	cfg := defaultConfig()
	cfg.Host, cfg.JWTSecretKey, cfg.LogLevel = devHost, goodSecret, slog.LevelError
	cfg.DrainWindow, cfg.CanaryInterval = 100*time.Millisecond, 0
	change(&cfg)
	ctx, cancel := context.WithCancel(context.Background())
	listener, err := listen(ctx, devHost, 0)
	require.NoError(t, err)
	p, err = build(ctx, cfg, (&app{stderr: io.Discard}).logger(cfg))
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- p.run(ctx, doors{clients: listener}, p.sources(), cfg.apiConfig()) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	t.Cleanup(stop)
	require.Eventually(t, func() bool { ready, _ := p.ready(); return ready }, 30*time.Second, 20*time.Millisecond)
	return p, stop
}

// One trace from the publisher's span over the node that relays to each node that delivers, and the sender's decision not
// to sample holds.
func TestTraceGoesOnToEveryNode(t *testing.T) {
	sink := newSpanSink(t)
	store := redistest.Start(t)
	traced := func(name string) func(*Config) {
		return func(c *Config) {
			c.NodeName, c.OTLPEndpoint, c.OTLPRatio = name, sink.URL, 0
			c.RedisURL = secret("redis://" + store.Addr())
		}
	}
	one, stopOne := startParts(t, traced("n1"))
	_, stopTwo := startParts(t, traced("n2"))
	client := store.Client()
	add := func(fields ...any) string {
		id, err := client.XAdd(t.Context(), &redis.XAddArgs{Stream: "{teloo}:events", Values: fields}).Result()
		require.NoError(t, err)
		return id
	}
	const trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	add("event", "notificacion_x", "data", `{"user_id":"user-unsampled"}`, "traceparent", "00-"+strings.Repeat("a", 32)+"-"+parent+"-00")
	add("event", "notificacion_x", "data", `{"user_id":"user-without"}`)
	bad := add("event", "solicitud_x", "data", `{}`, "traceparent", "00-"+strings.Repeat("b", 32)+"-"+parent+"-01")
	source := add("event", "notificacion_x", "data", `{"user_id":"user-secret"}`, "event_id", "e1", "traceparent", "00-"+trace+"-"+parent+"-01")
	require.Eventually(t, func() bool { return one.cluster.Stats().Delivered == 3 }, 20*time.Second, 10*time.Millisecond)
	stopOne()
	stopTwo()

	sink.mu.Lock()
	defer sink.mu.Unlock()
	byName := map[string][]*tracepb.Span{}
	var dead []*tracepb.Span
	for _, s := range sink.spans {
		if hex.EncodeToString(s.GetTraceId()) == strings.Repeat("b", 32) {
			dead = append(dead, s)
			continue
		}
		require.Equal(t, trace, hex.EncodeToString(s.GetTraceId()), s.GetName())
		byName[s.GetName()] = append(byName[s.GetName()], s)
		if id, ok := spanAttributes(s)["messaging.message.id"]; ok {
			require.Equal(t, source, id, s.GetName())
		}
		require.LessOrEqual(t, s.GetStartTimeUnixNano(), s.GetEndTimeUnixNano())
	}
	require.Len(t, byName["consume"], 1)
	require.Len(t, byName["route"], 1)
	require.Len(t, byName["commit"], 1)
	require.Len(t, byName["deliver"], 2)
	consume, commit := byName["consume"][0], byName["commit"][0]
	require.Equal(t, parent, hex.EncodeToString(consume.GetParentSpanId()))
	require.Equal(t, consume.GetSpanId(), byName["route"][0].GetParentSpanId())
	require.Equal(t, consume.GetSpanId(), commit.GetParentSpanId())
	require.Equal(t, "relayed", spanAttributes(commit)["teloo.outcome"])
	require.Equal(t, "e1", spanAttributes(consume)["teloo.event_id"])
	require.EqualValues(t, 1, spanAttributes(byName["route"][0])["teloo.rooms"])
	nodes := map[any]bool{}
	for _, d := range byName["deliver"] {
		require.Equal(t, commit.GetSpanId(), d.GetParentSpanId())
		require.EqualValues(t, 0, spanAttributes(d)["teloo.sockets"])
		require.Equal(t, "notificacion_x", spanAttributes(d)["teloo.event"])
		nodes[spanAttributes(d)["teloo.node"]] = true
	}
	require.Equal(t, map[any]bool{"n1": true, "n2": true}, nodes)

	require.Len(t, dead, 2, "consume and route of the dead letter %s", bad)
	for _, s := range dead {
		require.Equal(t, tracepb.Status_STATUS_CODE_ERROR, s.GetStatus().GetCode())
		require.Equal(t, "no_route", s.GetStatus().GetMessage())
	}
	require.NotContains(t, sink.raw.String(), "user-", "no user gets into a span")
}

func TestOTLPHeaders(t *testing.T) {
	for text, want := range map[string]map[string]string{
		"": {}, "api-key=k": {"api-key": "k"}, "a = 1 , b=x%2Cy=z,": {"a": "1", "b": "x,y=z"},
	} {
		got, err := otlpHeaders(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"key", "=v", "a b=v", "k=%zz", "k=a%0Ab"} {
		_, err := otlpHeaders(text)
		require.ErrorIs(t, err, errBadHeaders, text)
	}
}
