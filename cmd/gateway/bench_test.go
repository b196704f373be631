package main

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/bench/load"
	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// servingNode runs a node for the test and returns its address and environment.
func servingNode(t *testing.T) (addr string, environ []string) {
	t.Helper()
	server := redistest.Start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr = l.Addr().String()
	require.NoError(t, l.Close())
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	environ = good("REDIS_URL=redis://"+server.Addr(), "HOST=127.0.0.1", "PORT="+port, "LOG_LEVEL=error", "SHUTDOWN_TIMEOUT=10s", "DRAIN_WINDOW=1s")
	ctx, cancel := context.WithCancel(context.Background())
	var out, errs strings.Builder
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, environ: environ}
	ended := make(chan int, 1)
	go func() { ended <- a.run(ctx, []string{"--env-file", "", "serve"}) }()
	t.Cleanup(func() {
		cancel()
		require.Equal(t, exitOK, <-ended, errs.String())
		http.DefaultClient.CloseIdleConnections()
	})
	require.Eventually(t, func() bool {
		resp, err := http.Get("http://" + addr + "/health/ready")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, 30*time.Second, 20*time.Millisecond)
	return addr, environ
}

func TestBenchRoomsAndUsers(t *testing.T) {
	addr, environ := servingNode(t)
	for _, fanout := range []int{1, 4} {
		r := gateway(t, environ, "", "bench", "http://"+addr, "--clients", "10", "--fanout", strconv.Itoa(fanout), "--rate", "200", "--duration", "500ms")
		require.Equal(t, exitOK, r.code, r.stderr+r.stdout)
		require.Empty(t, r.stderr)
		require.Contains(t, r.stdout, "connected 10 clients in ")
		require.Regexp(t, `wrote 100 events in \S+ \(\d+/s\), each for `+strconv.Itoa(fanout)+` clients\n`, r.stdout)
		require.Regexp(t, `delivered `+strconv.Itoa(100*fanout)+` \(\d+/s\), lost 0, repeated 0, not arrived 10s later 0\n`, r.stdout)
		require.Regexp(t, `latency: p50 \S+, p90 \S+, p99 \S+, p99.9 \S+, max \S+\n`, r.stdout)
		require.Contains(t, r.stdout, "█")
	}
}

func TestBenchFaults(t *testing.T) {
	for want, args := range map[string][]string{
		"--clients: 0 is not":              {"ws://x", "--clients", "0"},
		"--fanout: 3 is not 1 to --client": {"ws://x", "--clients", "2", "--fanout", "3"},
		"--rate: 0 is not":                 {"ws://x", "--rate", "0"},
		"is not ws://host:port":            {"ftp://x", "--clients", "1", "--fanout", "1"},
		"--role: \"king\" is none of":      {"ws://x", "--role", "king"},
	} {
		r := gateway(t, good(), "", append([]string{"bench"}, args...)...)
		require.Equal(t, exitFailure, r.code, want)
		require.Contains(t, r.stderr, want)
	}
}

func TestHistogramText(t *testing.T) {
	var h load.Histogram
	for range 100 {
		h.Record(300 * time.Microsecond)
	}
	h.Record(3 * time.Millisecond)
	lines := strings.Split(strings.TrimSpace(histogramText(&h)), "\n")
	require.Len(t, lines, 4, "the empty steps between are shown")
	require.Regexp(t, `^≤ 512µs  █{50}  100$`, lines[0])
	require.Regexp(t, `≤ 4.1ms  █ +1$`, lines[3])
}
