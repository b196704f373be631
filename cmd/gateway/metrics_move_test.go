package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/bench/load"
	"github.com/teloo/realtime-gateway/streams"
)

// connect has advisors connect, who stay until leave is called.
func (n *observedNode) connect(t *testing.T, clients int) (leave func()) {
	t.Helper()
	token := userToken(t, "u1")
	fleet, err := load.New(load.Config{
		URL: "ws" + strings.TrimPrefix(n.clients, "http"), Clients: clients, Token: func(int) string { return token },
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- fleet.Run(ctx) }()
	done := false
	leave = func() {
		if !done {
			done = true
			stop()
			require.NoError(t, <-ended)
		}
	}
	t.Cleanup(leave)
	wait, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("too slow"))
	defer cancel()
	require.NoError(t, fleet.WaitReady(wait, clients))
	return leave
}

// until waits until a metric has a value.
func (n *observedNode) until(t *testing.T, want float64, name string, labels ...string) {
	t.Helper()
	var got float64
	require.Eventually(t, func() bool {
		var known bool
		got, known = value(n.families(t), name, labels...)
		return known && got == want
	}, 30*time.Second, 50*time.Millisecond, "%s %v is %v", name, labels, &got)
}

// TestMetricsMove: what happens is seen in the metrics, from the connect to the last byte.
func TestMetricsMove(t *testing.T) {
	n := newObservedNode(t, func(cfg *Config) { cfg.MetricsPort, cfg.CanaryInterval = 1, 0 }) // its events would count
	leave := n.connect(t, 3)
	n.until(t, 3, "teloo_connections", "role=advisor", "transport=websocket")
	n.until(t, 0, "teloo_connections", "role=admin", "transport=websocket")
	n.until(t, 3, "teloo_connects_total", "role=advisor")
	n.until(t, 3, "teloo_sessions", "transport=websocket")
	n.until(t, 1, "teloo_cluster_nodes")
	n.until(t, 3, "teloo_cluster_connections")
	n.until(t, 1, "teloo_gossip_members")
	n.until(t, 1, "teloo_consuming")

	before := n.observed.latency.write.Snapshot()
	publisher := streams.NewPublisher(n.redis.Client(), n.cfg.RedisPrefix)
	_, err := publisher.Publish(t.Context(),
		streams.Event{Name: "solicitud_created", Data: []byte(`{"solicitud_id":"S-1"}`), OccurredAt: time.Now().Add(-time.Second)},
		streams.Event{Name: "oferta_created", Data: []byte(`{"solicitud_id":"S-1","advisor_id":"u1"}`)},
		streams.Event{Name: "notificacion_x", Data: []byte(`{}`)}, // for nobody
	)
	require.NoError(t, err)
	n.until(t, 1, "teloo_events_committed_total", "kind=solicitud")
	n.until(t, 1, "teloo_events_committed_total", "kind=oferta")
	n.until(t, 1, "teloo_events_dead_total", "reason=no_route")
	n.until(t, 3, "teloo_events_read_total")
	n.until(t, 2, "teloo_event_commit_latency_seconds")
	n.until(t, 2, "teloo_commit_wait_seconds")
	n.until(t, 1, "teloo_event_publish_delay_seconds")
	n.until(t, 2, "teloo_event_delivery_latency_seconds")
	n.until(t, 2, "teloo_event_write_latency_seconds")
	n.until(t, 0, "teloo_group_pending_events")
	n.until(t, 1, "teloo_dead_letters")
	n.until(t, 0, "teloo_log_lag_seconds")
	since := n.observed.latency.write.Snapshot().Since(before)
	require.EqualValues(t, 2, since.Count)
	require.Positive(t, since.Quantile(0.99))
	require.Less(t, since.Quantile(0.99), 30*time.Second)

	for name, least := range map[string]float64{
		"teloo_deliveries_total": 6, "teloo_sent_frames_total": 6, "teloo_sent_bytes_total": 1, "teloo_log_delivered_total": 2,
		"teloo_redis_command_duration_seconds": 1, "teloo_ring_entries": 2,
	} {
		families := n.families(t)
		total := 0.0
		for _, m := range families[name].GetMetric() {
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
		require.GreaterOrEqual(t, total, least, name)
	}
	leave()
	n.until(t, 0, "teloo_connections", "role=advisor", "transport=websocket")
	require.Eventually(t, func() bool {
		gone := 0.0
		for _, m := range n.families(t)["teloo_disconnects_total"].GetMetric() {
			gone += m.GetCounter().GetValue()
		}
		return gone == 3
	}, 20*time.Second, 50*time.Millisecond)
	_, _, body := scrape(t, n.operators, "", "application/openmetrics-text;version=1.0.0")
	require.Contains(t, body, `# {event="`, "an exemplar")
}

// TestMetricsOfAnOutage: without Redis there are metrics, which say so.
func TestMetricsOfAnOutage(t *testing.T) {
	n := newObservedNode(t, withoutCanary)
	n.until(t, 1, "teloo_redis_up")
	n.redis.Kill()
	n.until(t, 0, "teloo_redis_up")
	n.until(t, 0, "teloo_ready")
	n.until(t, 0, "teloo_consuming")
	require.Eventually(t, func() bool {
		failed := 0.0
		for _, m := range n.families(t)["teloo_redis_command_errors_total"].GetMetric() {
			failed += m.GetCounter().GetValue()
		}
		_, known := value(n.families(t), "teloo_group_lag_seconds")
		return failed > 0 && !known
	}, 60*time.Second, 100*time.Millisecond, "what is not known is not shown")
	status, _, _ := scrape(t, n.operators, "", "")
	require.Equal(t, http.StatusOK, status)
}
