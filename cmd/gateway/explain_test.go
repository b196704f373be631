package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
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
		Event: "oferta_submitted", Rooms: []string{"solicitud_S", "user_A", "admin"}, Grants: []grant{{Solicitud: "S", User: "A"}},
	}, x)
}

func TestExplainTakesTheRolesOfTheConfiguration(t *testing.T) {
	data := `{"role":"taller"}`
	require.Equal(t, exitFailure, gateway(t, nil, "", "explain", "notificacion_x", data).code)
	r := gateway(t, []string{"JWT_ROLES=taller=advisor"}, "", "explain", "notificacion_x", data)
	require.Contains(t, r.stdout, "room   advisor")
}
