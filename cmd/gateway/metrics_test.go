package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/api/metrics"
	"github.com/teloo/realtime-gateway/deploy/redistest"
)

const (
	metricsBegin = "<!-- metrics:begin -->\n"
	metricsEnd   = "<!-- metrics:end -->"
)

// observedNode is a whole node, as serve runs it, with a port for operators.
type observedNode struct {
	*parts

	clients, operators string // URLs
	redis              *redistest.Server
}

func newObservedNode(t *testing.T, change func(*Config)) *observedNode {
	t.Helper()
	n := &observedNode{redis: redistest.Start(t)}
	cfg := defaultConfig()
	cfg.Host, cfg.NodeName, cfg.JWTSecretKey = devHost, "n1", goodSecret
	cfg.RedisURL = secret("redis://" + n.redis.Addr())
	cfg.DrainWindow, cfg.LogLevel = 100*time.Millisecond, slog.LevelError
	if change != nil {
		change(&cfg)
	}
	ctx, stop := context.WithCancel(context.Background())
	d := doors{}
	var err error
	d.clients, err = listen(ctx, devHost, 0)
	require.NoError(t, err)
	n.clients = "http://" + d.clients.Addr().String()
	if cfg.MetricsPort != 0 {
		d.operators, err = listen(ctx, devHost, 0)
		require.NoError(t, err)
		n.operators = "http://" + d.operators.Addr().String()
	}
	n.parts, err = build(ctx, cfg, (&app{stderr: io.Discard}).logger(cfg))
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- n.run(ctx, d, n.sources(), cfg.apiConfig()) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
		http.DefaultClient.CloseIdleConnections()
	})
	require.Eventually(t, func() bool { ready, _ := n.ready(); return ready }, 30*time.Second, 20*time.Millisecond)
	return n
}

// withoutCanary is for tests that count events.
func withoutCanary(cfg *Config) {
	withMetricsPort(cfg)
	cfg.CanaryInterval = 0
}

func withMetricsPort(cfg *Config) { cfg.MetricsPort = 1 }

// scrape asks for /metrics; key may be "".
func scrape(t *testing.T, base, key, accept string) (status int, header http.Header, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, base+"/metrics", nil)
	require.NoError(t, err)
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, response.Header, string(raw)
}

// families reads what a node with a port for operators shows.
func (n *observedNode) families(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	status, _, body := scrape(t, n.operators, "", "")
	require.Equal(t, http.StatusOK, status, body)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	found, err := parser.TextToMetricFamilies(strings.NewReader(body))
	require.NoError(t, err)
	return found
}

// value is the figure of one metric with these label values, name=value; false if there is none.
func value(families map[string]*dto.MetricFamily, name string, labels ...string) (float64, bool) {
	for _, m := range families[name].GetMetric() {
		var has []string
		for _, l := range m.GetLabel() {
			has = append(has, l.GetName()+"="+l.GetValue())
		}
		if slices.ContainsFunc(labels, func(l string) bool { return !slices.Contains(has, l) }) {
			continue
		}
		switch {
		case m.GetCounter() != nil:
			return m.GetCounter().GetValue(), true
		case m.GetGauge() != nil:
			return m.GetGauge().GetValue(), true
		default:
			return float64(m.GetHistogram().GetSampleCount()), true
		}
	}
	return 0, false
}

func metricsTable(all []metrics.Description) string {
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, d := range all {
		labels := "–"
		if len(d.Labels) > 0 {
			labels = "`" + strings.Join(d.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Name, d.Kind, labels, d.Help)
	}
	return b.String()
}

// TestReadmeMetrics holds the README's table against what a running node shows.
func TestReadmeMetrics(t *testing.T) {
	n := newObservedNode(t, func(cfg *Config) {
		withMetricsPort(cfg)
		cfg.LegacyChannels = list{"avisos"} // else those of the ingress are missing
	})
	var found map[string]*dto.MetricFamily
	described := n.observed.registry.Describe()
	for _, d := range described { // some are known only after a while
		require.Eventually(t, func() bool {
			if found[d.Name] == nil {
				found = n.families(t)
			}
			return found[d.Name] != nil
		}, 20*time.Second, 100*time.Millisecond, d.Name)
	}
	for _, d := range described {
		family := found[d.Name]
		require.Equal(t, strings.ToUpper(string(d.Kind)), family.GetType().String(), d.Name)
		require.Equal(t, d.Help, family.GetHelp())
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName())
			}
			want := slices.Sorted(slices.Values(d.Labels))
			require.Equal(t, want, labels, d.Name)
		}
		delete(found, d.Name)
	}
	for name := range found {
		require.False(t, strings.HasPrefix(name, metrics.Prefix), "%s is not described", name)
	}
	requireInSync(t, filepath.Join(repoRoot, "README.md"), func(readme string) string {
		before, rest, ok := strings.Cut(readme, metricsBegin)
		require.True(t, ok, "README.md has no table of metrics")
		_, after, ok := strings.Cut(rest, metricsEnd)
		require.True(t, ok, "README.md: %s is missing", metricsEnd)
		return before + metricsBegin + metricsTable(described) + metricsEnd + after
	})
}

// TestWhoMayReadMetrics: everybody at a port for operators; at the clients' who has the key.
func TestWhoMayReadMetrics(t *testing.T) {
	status := func(base, key string) int {
		s, _, _ := scrape(t, base, key, "")
		return s
	}
	t.Run("a port of its own", func(t *testing.T) {
		n := newObservedNode(t, func(cfg *Config) { cfg.MetricsPort, cfg.AdminAPIKey = 1, adminKey })
		require.Equal(t, http.StatusOK, status(n.operators, ""))
		require.Equal(t, http.StatusNotFound, status(n.clients, ""))
		require.Equal(t, http.StatusNotFound, status(n.clients, adminKey))
		_, header, _ := scrape(t, n.operators, "", "application/openmetrics-text;version=1.0.0")
		require.Contains(t, header.Get("Content-Type"), "application/openmetrics-text")
	})
	t.Run("the clients' port", func(t *testing.T) {
		n := newObservedNode(t, func(cfg *Config) { cfg.AdminAPIKey = adminKey })
		require.Equal(t, http.StatusUnauthorized, status(n.clients, ""))
		require.Equal(t, http.StatusUnauthorized, status(n.clients, strings.ToUpper(adminKey)))
		require.Equal(t, http.StatusOK, status(n.clients, adminKey))
	})
	t.Run("no key", func(t *testing.T) {
		n := newObservedNode(t, nil)
		require.Equal(t, http.StatusNotFound, status(n.clients, ""))
		require.Equal(t, http.StatusNotFound, status(n.clients, adminKey))
	})
	t.Run("switched off", func(t *testing.T) {
		n := newObservedNode(t, func(cfg *Config) { cfg.MetricsPort, cfg.Metrics = 1, false })
		require.Equal(t, http.StatusNotFound, status(n.operators, ""))
	})
}
