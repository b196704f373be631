package main

import (
	"testing"

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
