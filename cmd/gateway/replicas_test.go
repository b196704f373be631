package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// TestCommandsAreDoneOnceAReplicaHasThem: what was written and may be taken back by a failover is no success.
func TestCommandsAreDoneOnceAReplicaHasThem(t *testing.T) {
	server := redistest.Start(t, "--repl-diskless-sync-delay", "0")
	environ := []string{"REDIS_URL=redis://" + server.Addr(), "REDIS_WAIT_REPLICAS=1", "REDIS_WAIT_TIMEOUT=100ms"}
	commands := [][]string{
		{"publish", "--event", "notificacion_x", "--data", `{"user_id":"u"}`},
		{"revoke", "--user", "u"},
		{"grant", "--solicitud", "s", "--user", "u"},
		{"withdraw", "--solicitud", "s", "--user", "u"},
	}
	for _, args := range commands {
		r := gateway(t, environ, "", args...)
		require.Equal(t, exitFailure, r.code, args)
		require.Contains(t, r.stderr, "written, but not on enough replicas of Redis", args)
	}
	require.Len(t, entries(t, server.Client()), 1)

	redistest.StartReplica(t, server.Addr())
	environ[2] = "REDIS_WAIT_TIMEOUT=0s"
	for _, args := range commands {
		r := gateway(t, environ, "", args...)
		require.Equal(t, exitOK, r.code, r.stderr)
	}
}

// TestTheAdminAPISaysWhatIsWrittenAndMayBeTakenBack: an internal error would make its caller publish again.
func TestTheAdminAPISaysWhatIsWrittenAndMayBeTakenBack(t *testing.T) {
	n := newObservedNode(t, func(cfg *Config) {
		cfg.AdminAPIKey, cfg.RedisWaitReplicas, cfg.RedisWaitTimeout = adminKey, 1, 100*time.Millisecond
	})
	for path, body := range map[string]string{
		"/admin/events":      `{"event":"notificacion_x","data":{"user_id":"u"}}`,
		"/admin/revocations": `{"user":"u"}`,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.clients+path, strings.NewReader(body))
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer "+adminKey)
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		answer, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusServiceUnavailable, response.StatusCode, path)
		require.Contains(t, string(answer), "not_replicated", path)
	}
}
