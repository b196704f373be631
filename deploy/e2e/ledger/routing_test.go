package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRoomsOfFollowsTheContract(t *testing.T) {
	tests := map[string]struct {
		name  string
		data  map[string]any
		rooms []string
		want  []string
	}{
		"solicitud":            {"solicitud_updated", fields("solicitud_id", "s1", "client_id", "c1"), nil, []string{"solicitud_s1", "user_c1", "admin"}},
		"solicitud, no client": {"solicitud_closed", fields("solicitud_id", "s1"), nil, []string{"solicitud_s1", "admin"}},
		"a new solicitud":      {"solicitud_created", fields("solicitud_id", "s1"), nil, []string{"solicitud_s1", "admin", "advisor"}},
		"no advisor's":         {"solicitud_updated", fields("solicitud_id", "s1", "advisor_id", "a1"), nil, []string{"solicitud_s1", "admin"}},
		"oferta":               {"oferta_created", fields("solicitud_id", "s1", "advisor_id", "a1", "client_id", "c1"), nil, []string{"solicitud_s1", "user_a1", "user_c1", "admin"}},
		"evaluacion":           {"evaluacion_started", fields("solicitud_id", "s1", "advisor_id", "a1"), nil, []string{"solicitud_s1", "user_a1", "admin"}},
		"for a user":           {"notificacion_read", fields("user_id", "u1"), nil, []string{"user_u1"}},
		"for a role":           {"notificacion_read", fields("role", "Support"), nil, []string{"admin"}},
		"user before role":     {"notificacion_read", fields("role", "client", "user_id", "u1"), nil, []string{"user_u1"}},
		"for users":            {"notificacion_read", fields("user_ids", []any{"u1", json.Number("7")}), nil, []string{"user_u1", "user_7"}},
		"a number":             {"solicitud_updated", fields("solicitud_id", json.Number("12")), nil, []string{"solicitud_12", "admin"}},
		"explicit rooms":       {"solicitud_created", fields("solicitud_id", "s1"), []string{"user_x"}, []string{"user_x"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, test.want, roomsOf(event{name: test.name, data: test.data, rooms: test.rooms}))
		})
	}
}

func fields(pairs ...any) map[string]any {
	data := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		data[pairs[i].(string)] = pairs[i+1]
	}
	return data
}

func TestExpectedHasEachEventOnce(t *testing.T) {
	events := []event{
		{name: "solicitud_created", data: fields("solicitud_id", "s1", "client_id", "u1")}, // two of its rooms
		{name: "solicitud_created", data: fields("solicitud_id", "s2")},
		{name: "notificacion_read", data: fields("user_id", "u1")},
		{name: "notificacion_read", data: fields("user_id", "u2")},
		{name: "notificacion_read", data: fields("role", "client")},
	}
	p := person{user: "u1", role: "client", solicitudes: []string{"s1"}}
	require.Equal(t, []int{0, 2, 4}, expected(events, p.rooms()))
	p = person{user: "u3", role: "support"}
	require.Equal(t, []int{0, 1}, expected(events, p.rooms()))
}

func TestTheFlowReachesEveryoneAndNotEverybody(t *testing.T) {
	w := newWorld(300)
	flow := newWriter(nil, w, 1)
	var events []event
	for range 2000 {
		events = append(events, flow.next())
	}
	rooms := map[string]bool{}
	for n, e := range events {
		require.NotEmpty(t, roomsOf(e), "event %d, %s %v", n, e.name, e.data)
		for _, room := range roomsOf(e) {
			require.NotEqual(t, "user_", room)
			rooms[room] = true
		}
	}
	require.Greater(t, len(rooms), 300)
	polling := map[string]int{}
	for _, p := range w.people {
		mine := expected(events, p.rooms())
		require.NotEmpty(t, mine, "%+v", p)
		require.Less(t, len(mine), len(events))
		if p.polling {
			polling[p.role]++
		}
	}
	require.Len(t, polling, 5, "each role polls too")
}
