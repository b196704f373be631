package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// TestQuantilesWithAndWithoutNativeHistograms: a Prometheus that takes native histograms drops the classic buckets, unless it
// is told to keep them; rules and panels have to find their figures in both.
func TestQuantilesWithAndWithoutNativeHistograms(t *testing.T) {
	exprs := quantileExprs(t)
	classic := regexp.MustCompile(`^teloo_\w+_bucket$`)
	for name, flags := range map[string][]string{"classic": nil, "native": {"--enable-feature=native-histograms"}} {
		t.Run(name, func(t *testing.T) {
			p := startPrometheus(t, startObserved(t), flags...)
			for _, expr := range exprs {
				require.Eventually(t, func() bool { return p.has(t, expr) }, 20*time.Second, 100*time.Millisecond, expr)
			}
			buckets := 0
			for _, metric := range p.names(t) {
				if classic.MatchString(metric) {
					buckets++
				}
			}
			require.Equal(t, name == "classic", buckets > 0, "what this test is about: %d metrics have classic buckets", buckets)
		})
	}
}

// quantileExprs are those of rules and panels; of a rule, what it compares.
func quantileExprs(t *testing.T) []string {
	t.Helper()
	var all []string
	add := func(expr string) {
		if strings.Contains(expr, "histogram_quantile") {
			all = append(all, strings.TrimSuffix(expr, " > 1"))
		}
	}
	for _, group := range readAlerts(t).Groups {
		for _, rule := range group.Rules {
			add(rule.Expr)
		}
	}
	for _, panel := range panelExprs(t) {
		for _, expr := range panel {
			add(expr)
		}
	}
	require.NotEmpty(t, all)
	return all
}

// startObserved serves a node's metrics, in each of whose histograms something is observed with each scrape.
func startObserved(t *testing.T) string {
	t.Helper()
	o := newInstruments(time.Now())
	client := redistest.Start(t).Client()
	o.redis.Watch(client, false)
	answer := o.registry.Handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, d := range []interface{ Observe(took time.Duration) }{o.latency.delay, o.latency.wait, o.latency.commit, o.latency.delivery, o.latency.write} {
			d.Observe(3 * time.Millisecond)
		}
		if err := client.Get(r.Context(), "x").Err(); err != nil && !errors.Is(err, redis.Nil) {
			t.Error(err)
		}
		answer.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// scraper is a real Prometheus.
type scraper struct{ url string }

func startPrometheus(t *testing.T, target string, flags ...string) scraper {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatal("prometheus is not here; .ci/install installs it")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	dir := t.TempDir()
	config := fmt.Sprintf("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs: [{job_name: gateway, static_configs: [{targets: [%q]}]}]\n", target)
	file := filepath.Join(dir, "prometheus.yml")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, append([]string{"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + address}, flags...)...)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cancel(); _ = cmd.Wait(); http.DefaultClient.CloseIdleConnections() })
	return scraper{"http://" + address}
}

// get reads an answer's data; false while there is none.
func (s scraper) get(t *testing.T, path string, data any) bool {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/api/v1/"+path, http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	answer := struct {
		Data any `json:"data"`
	}{data}
	return response.StatusCode == http.StatusOK && json.NewDecoder(response.Body).Decode(&answer) == nil
}

// has reports whether an expression gives a figure.
func (s scraper) has(t *testing.T, expr string) bool {
	t.Helper()
	var data struct {
		Result []struct {
			Value [2]any `json:"value"`
		} `json:"result"`
	}
	if !s.get(t, "query?query="+url.QueryEscape(expr), &data) {
		return false
	}
	for _, one := range data.Result {
		if figure := fmt.Sprint(one.Value[1]); figure != "NaN" && figure != "0" {
			return true
		}
	}
	return false
}

func (s scraper) names(t *testing.T) (all []string) {
	t.Helper()
	require.True(t, s.get(t, "label/__name__/values", &all))
	return all
}
