package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/cmd/gateway/doctor"
	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// freeAddr is an address nobody listens at.
func freeAddr(t *testing.T) (addr, port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	_, port, err = net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return l.Addr().String(), port
}

// servingCluster runs nodes on one Redis and returns their addresses and the environment of the last.
func servingCluster(t *testing.T, nodes int, redis string) (addrs, environ []string) {
	t.Helper()
	for i := range nodes {
		addr, port := freeAddr(t)
		addrs = append(addrs, addr)
		environ = good("CANARY_INTERVAL=0",
			"REDIS_URL=redis://"+redis, "HOST=127.0.0.1", "PORT="+port, "LOG_LEVEL=error", "SHUTDOWN_TIMEOUT=10s", "DRAIN_WINDOW=1s",
			fmt.Sprintf("NODE_NAME=gw%d", i), "PING_INTERVAL=1s", "CORS_ORIGINS=https://app.example", "CLUSTER_SECRET="+strings.Repeat("s", 32),
		)
		ctx, cancel := context.WithCancel(context.Background())
		var errs strings.Builder
		a := &app{stdin: strings.NewReader(""), stdout: &strings.Builder{}, stderr: &errs, environ: environ}
		ended := make(chan int, 1)
		go func() { ended <- a.run(ctx, []string{"--env-file", "", "serve"}) }()
		t.Cleanup(func() {
			cancel()
			require.Equal(t, exitOK, <-ended, errs.String())
		})
	}
	for _, addr := range addrs {
		require.Eventually(t, func() bool { return answers(addr) }, 30*time.Second, 20*time.Millisecond)
	}
	return addrs, environ
}

// answers tells whether a gateway that is ready answers at addr.
func answers(addr string) bool {
	defer http.DefaultClient.CloseIdleConnections()
	resp, err := http.Get("http://" + addr + "/health/ready")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// proxy runs HAProxy in front of nodes and returns its address.
func proxy(t *testing.T, nodes []string, timeout string, backend ...string) string {
	t.Helper()
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Fatal("haproxy is not here; .ci/install installs it")
	}
	addr, _ := freeAddr(t)
	var b strings.Builder
	fmt.Fprintf(&b, "defaults\n  mode http\n  timeout connect 2s\n  timeout client 60s\n  timeout server %s\n  timeout tunnel %s\n", timeout, timeout)
	fmt.Fprintf(&b, "frontend f\n  bind %s\n  default_backend b\nbackend b\n  balance roundrobin\n", addr)
	for _, line := range backend {
		b.WriteString("  " + line + "\n")
	}
	for i, node := range nodes {
		fmt.Fprintf(&b, "  server gw%d %s cookie gw%d\n", i, node, i)
	}
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o600))
	process := exec.Command("haproxy", "-db", "-f", file)
	require.NoError(t, process.Start())
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	require.Eventually(t, func() bool { return answers(addr) }, 30*time.Second, 20*time.Millisecond)
	return addr
}

// diagnosed runs the doctor and returns its findings by name, and its exit code.
func diagnosed(t *testing.T, environ []string, args ...string) (map[string]doctor.Finding, int) {
	t.Helper()
	r := gateway(t, environ, "", append([]string{"doctor", "--json"}, args...)...)
	var all diagnosis
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &all), r.stderr)
	found := map[string]doctor.Finding{}
	failures := 0
	for _, f := range all.Checks {
		found[f.Name] = f
		if f.Status == doctor.Failure {
			failures++
		}
	}
	require.Equal(t, failures, all.Failures)
	require.Equal(t, failures > 0, r.code == exitFailure)
	return found, r.code
}

func requireFindings(t *testing.T, found map[string]doctor.Finding, want map[string]string) {
	t.Helper()
	for name, says := range want {
		status, text, _ := strings.Cut(says, ": ")
		require.Equal(t, status, string(found[name].Status), "%s: %s", name, found[name].Says)
		require.Contains(t, found[name].Says, text, name)
	}
}

func TestDoctorOfAHealthyClusterAndItsProxies(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	nodes, environ := servingCluster(t, 2, server.Addr())
	const cookie = "cookie gateway_node insert indirect nocache"

	good := proxy(t, nodes, "60s", cookie)
	found, code := diagnosed(t, environ, "--url", "http://"+good, "--idle", "2500ms")
	require.Equal(t, exitOK, code, found)
	requireFindings(t, found, map[string]string{
		"configuration": "ok: valid", "keys": "ok: loaded", "redis": "ok: answers", "redis persistence": "ok: ", "redis fsync": "ok: always",
		"event stream": "ok: 0 entries", "node gw0": "ok: " + nodes[0] + " is ready", "node gw1": "ok: ready", "nodes": "ok: 2 live",
		"gossip": "warning: there is none", "certificate": "warning: not encrypted", "sticky sessions": "ok: kept by the cookie gateway_node; 6 sessions on 2 nodes",
		"websocket": "ok: passes", "origins": "ok: 1 of CORS_ORIGINS may connect, a foreign one may not",
		"client addresses": "warning: it sets the cookie gateway_node",
		"idle websocket":   "ok: lives after 2.5s", "idle polling": "ok: a long poll waits for the ping",
	})

	scattered := proxy(t, nodes, "60s")
	found, code = diagnosed(t, environ, "--url", "http://"+scattered, "--idle", "1500ms")
	require.Equal(t, exitFailure, code)
	requireFindings(t, found, map[string]string{
		"sticky sessions": "FAIL: reached another node than their session's", "websocket": "ok: passes",
		"client addresses": "warning: several nodes answer", "idle websocket": "ok: lives",
	})

	byAddress := proxy(t, nodes, "60s", "balance source")
	found, _ = diagnosed(t, environ, "--url", "http://"+byAddress, "--quick")
	requireFindings(t, found, map[string]string{"sticky sessions": "ok: by the client's address", "idle websocket": "ok: skipped"})

	hasty := proxy(t, nodes, "500ms", cookie)
	found, code = diagnosed(t, environ, "--url", "http://"+hasty, "--idle", "3s")
	require.Equal(t, exitFailure, code)
	requireFindings(t, found, map[string]string{
		"sticky sessions": "ok: kept", "idle websocket": "FAIL: cut after", "idle polling": "FAIL: answered 504",
	})

	noUpgrade := proxy(t, nodes, "60s", cookie, "http-request del-header Upgrade", "http-request del-header Origin")
	found, code = diagnosed(t, environ, "--url", "http://"+noUpgrade, "--quick")
	require.Equal(t, exitFailure, code)
	requireFindings(t, found, map[string]string{"websocket": "FAIL: the upgrade is answered", "origins": "FAIL: "})
}

func TestDoctorWithOtherKeysIsToldSo(t *testing.T) {
	nodes, environ := servingCluster(t, 1, redistest.Start(t).Addr())
	found, _ := diagnosed(t, append(environ, "JWT_SECRET_KEY="+strings.Repeat("x", 40)), "--url", "http://"+nodes[0])
	requireFindings(t, found, map[string]string{
		"idle websocket": "warning: the token is refused", "idle polling": "warning: the token is refused", "redis persistence": "FAIL: there is no AOF",
		"sticky sessions": "ok: there is one", "client addresses": "ok: right if no proxy", "gossip": "ok: not in use",
	})
}

func TestDoctorWithoutAnything(t *testing.T) {
	found, code := diagnosed(t, []string{"REDIS_PORT=1"})
	require.Equal(t, exitFailure, code)
	requireFindings(t, found, map[string]string{"configuration": "FAIL: JWT_SECRET_KEY: is not set", "redis": "FAIL: does not answer"})
	require.Len(t, found, 2)

	found, _ = diagnosed(t, []string{"REDIS_PORT=many", "JWT_SECRET_KEY=short-but-long-enough"})
	requireFindings(t, found, map[string]string{"configuration": "warning: fewer than 32 bytes", "keys": "ok: "})
	require.NotContains(t, found, "redis", "a wrong address is none")

	silent := httptest.NewServer(http.NotFoundHandler())
	defer silent.Close()
	found, _ = diagnosed(t, []string{"REDIS_PORT=1", "JWT_ALGORITHM=RS256", "JWT_JWKS_URL=" + silent.URL})
	requireFindings(t, found, map[string]string{"keys": "FAIL: gives no key set"})
	found, _ = diagnosed(t, []string{"REDIS_PORT=1", "JWT_ALGORITHM=RS256", "JWT_PUBLIC_KEY_PATH=/none.pem"})
	requireFindings(t, found, map[string]string{"configuration": "FAIL: JWT_PUBLIC_KEY_PATH"})

	r := gateway(t, []string{"REDIS_PORT=1"}, "", "doctor")
	require.Equal(t, exitFailure, r.code)
	require.Regexp(t, `(?m)^FAIL     redis               does not answer: .*; check REDIS_URL or REDIS_HOST`, r.stdout)
	require.Contains(t, r.stdout, "\n0 ok, 0 warnings, 2 failures\n")
	for want, args := range map[string][]string{
		"--url: is not like": {"--url", "realtime.example.com"}, "--url: has more than": {"--url", "https://u:p@x"}, "--idle: 1h0m0s": {"--idle", "1h"},
	} {
		r := gateway(t, nil, "", append([]string{"doctor"}, args...)...)
		require.Equal(t, exitFailure, r.code)
		require.Contains(t, r.stderr, want)
		require.NotContains(t, r.stderr+r.stdout, "u:p")
	}
}
