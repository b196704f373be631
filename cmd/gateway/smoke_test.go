package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSmokeConnectsPublishesAndReceives(t *testing.T) {
	addr, environ := servingNode(t)
	r := gateway(t, environ, "", "smoke", "http://"+addr)
	require.Equal(t, exitOK, r.code, r.stderr+r.stdout)
	require.Regexp(t, `^connected to http://\S+ in \S+\npublished an event and received it \S+ later\n$`, r.stdout)

	minted := gateway(t, environ, "", "token", "--user", "U-7", "--role", "client")
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(minted.stdout), 0o600))
	r = gateway(t, environ, "", "smoke", "ws://"+addr, "--token-file", file)
	require.Equal(t, exitOK, r.code, r.stderr+r.stdout)

	foreign := append(slices.Clone(environ), "JWT_SECRET_KEY=another-secret-of-at-least-32-bytes-xxxx")
	r = gateway(t, foreign, "", "smoke", "http://"+addr, "--timeout", "2s")
	require.Equal(t, exitFailure, r.code, r.stdout)
	require.Contains(t, r.stderr, "refused: ")
	require.Contains(t, r.stderr, "token_invalid")
}

func TestSmokeFaults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("a.b.c"), 0o600))
	for want, args := range map[string][]string{
		"--token-file: holds no token": {"ws://127.0.0.1:1", "--token-file", file},
		"is not ws://host:port":        {"ftp://x"},
		"not within 300ms":             {"ws://127.0.0.1:1", "--timeout", "300ms"},
	} {
		r := gateway(t, good(), "", append([]string{"smoke"}, args...)...)
		require.Equal(t, exitFailure, r.code, want)
		require.Contains(t, r.stderr, want)
	}
}

func TestHealthAsksTheNodeHere(t *testing.T) {
	addr, environ := servingNode(t)
	for _, args := range [][]string{{"health"}, {"health", "--ready"}} {
		r := gateway(t, append(environ, "HTTP_PROXY=http://127.0.0.1:1"), "", args...)
		require.Equal(t, exitOK, r.code, r.stderr)
		require.Equal(t, "ok\n", r.stdout)
	}
	require.NotEmpty(t, addr)
}

func TestHealthSaysWhatIsWrong(t *testing.T) {
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health/ready" {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"ready":false,"reasons":["draining","redis"]}`))
		}
	}))
	defer node.Close()
	_, port, err := net.SplitHostPort(node.Listener.Addr().String())
	require.NoError(t, err)
	environ := good("HOST=0.0.0.0", "PORT="+port)
	require.Equal(t, exitOK, gateway(t, environ, "", "health").code)
	r := gateway(t, environ, "", "health", "--ready")
	require.Equal(t, exitFailure, r.code)
	require.Equal(t, "gateway: HTTP 503: draining, redis\n", r.stderr)

	node.Close()
	r = gateway(t, environ, "", "health")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "no answer: ")
}

func TestSmokeTakesARoleThatThereIs(t *testing.T) {
	for want, roles := range map[string]string{
		"client": "admin:a,client:c", "advisor": "admin:a,advisor:d", "admin": "zeta:z,admin:a", "alpha": "zeta:z,alpha:a", "": "",
	} {
		c := Config{JWTRoles: map[string]string{}}
		for pair := range strings.SplitSeq(roles, ",") {
			if role, room, ok := strings.Cut(pair, ":"); ok {
				c.JWTRoles[role] = room
			}
		}
		require.Equal(t, want, defaultRole(c), roles)
	}
}
