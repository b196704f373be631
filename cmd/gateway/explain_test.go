package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
	"github.com/teloo/realtime-gateway/presence"
)

func TestExplainTable(t *testing.T) {
	r := gateway(t, nil, "", "explain")
	require.Equal(t, exitOK, r.code, r.stderr)
	golden(t, "explain.txt", r.stdout)
}

func TestExplainEvents(t *testing.T) {
	var all strings.Builder
	for _, tc := range []struct {
		code int
		args []string
	}{
		{exitOK, []string{"solicitud_created", `{"solicitud_id":7,"client_id":"C-3"}`}},
		{exitOK, []string{"oferta_submitted", `{"solicitud_id":"S-1042","advisor_id":"A-9"}`}},
		{exitOK, []string{"notificacion_aviso", `{"user_ids":["a","b"]}`}},
		{exitOK, []string{"notificacion_aviso", "--rooms", "admin,advisor"}},
		{exitFailure, []string{"notificacion_aviso", `{}`}},
		{exitFailure, []string{"pago_hecho", `{}`}},
		{exitFailure, []string{"oferta_submitted", `[1]`}},
	} {
		r := gateway(t, nil, "", append([]string{"explain"}, tc.args...)...)
		require.Equal(t, tc.code, r.code, r.stdout+r.stderr)
		require.Empty(t, r.stderr)
		all.WriteString(r.stdout)
	}
	golden(t, "explain-events.txt", all.String())
}

func TestExplainJSON(t *testing.T) {
	r := gateway(t, nil, "", "explain", "--json", "oferta_submitted", `{"solicitud_id":"S","advisor_id":"A"}`)
	require.Equal(t, exitOK, r.code, r.stderr)
	var x explanation
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &x))
	require.Equal(t, explanation{
		Event: "oferta_submitted", Rooms: []string{"solicitud_S", "user_A", "admin"},
		Why: []chosen{
			{Room: "solicitud_S", Rule: "the solicitud in solicitud_id"},
			{Room: "user_A", Rule: "the user in advisor_id"},
			{Room: "admin", Rule: "admins get every solicitud_*, oferta_* and evaluacion_*"},
		},
		Grants:    []grant{{Solicitud: "S", User: "A"}},
		Violation: "the data lacks price",
	}, x)
}

func TestExplainTakesTheRolesOfTheConfiguration(t *testing.T) {
	data := `{"role":"taller"}`
	require.Equal(t, exitFailure, gateway(t, nil, "", "explain", "notificacion_x", data).code)
	r := gateway(t, []string{"JWT_ROLES=taller=advisor"}, "", "explain", "notificacion_x", data)
	require.Contains(t, r.stdout, "room   advisor")
}

func TestExplainAFile(t *testing.T) {
	event := `{"event":"oferta_submitted","data":{"solicitud_id":"S","advisor_id":"A"}}`
	file := filepath.Join(t.TempDir(), "event.json")
	require.NoError(t, os.WriteFile(file, []byte(event), 0o600))
	offline := gateway(t, nil, "", "explain", "--offline", file)
	require.Equal(t, exitOK, offline.code, offline.stderr)
	require.Empty(t, offline.stderr)
	require.Contains(t, offline.stdout, "room   user_A  (the user in advisor_id)\n")
	require.Equal(t, offline.stdout, gateway(t, nil, event, "explain", "--offline", "-").stdout)

	// Without Redis the rest is said all the same.
	away := gateway(t, []string{"REDIS_PORT=1", "REDIS_HOST=127.0.0.1"}, "", "explain", file)
	require.Equal(t, exitOK, away.code)
	require.Equal(t, offline.stdout, away.stdout)
	require.Contains(t, away.stderr, "who is connected now is left out")

	// With it, who is in the rooms.
	store := redistest.Start(t)
	p, _ := startParts(t, func(c *Config) { c.NodeName, c.RedisURL = "n1", secret("redis://"+store.Addr()) })
	for _, s := range [][2]string{{"A", "advisor"}, {"A", "advisor"}, {"B", "admin"}} {
		p.presence.Connect(s[0], s[1])
	}
	p.presence.Join(presence.Member{Room: "solicitud_S", User: "A", Role: "advisor"})
	environ := []string{"REDIS_URL=redis://" + store.Addr()}
	require.Eventually(t, func() bool {
		out := gateway(t, environ, "", "explain", file).stdout
		return strings.Contains(out, "room   solicitud_S  (the solicitud in solicitud_id): now 1 sockets of 1 users\n") &&
			strings.Contains(out, "room   user_A  (the user in advisor_id): now 2 sockets of 1 users\n") &&
			strings.Contains(out, "room   admin  (admins get every solicitud_*, oferta_* and evaluacion_*): now 1 sockets of 1 users\n")
	}, 20*time.Second, 20*time.Millisecond)

	// What would be a dead letter is a failure, as are arguments that the file has.
	require.Equal(t, exitFailure, gateway(t, nil, `{"event":"oferta_x","data":{}}`, "explain", "-").code)
	require.Equal(t, exitFailure, gateway(t, nil, `[]`, "explain", "-").code)
	require.Equal(t, exitFailure, gateway(t, nil, event, "explain", "-", `{"a":1}`).code)
	require.Equal(t, exitFailure, gateway(t, nil, "", "explain", filepath.Join(t.TempDir(), "none.json")).code)
}
