package node

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/streams"
)

func TestRoute(t *testing.T) {
	grant := func(users ...string) []streams.Grant {
		var grants []streams.Grant
		for _, u := range users {
			grants = append(grants, streams.Grant{Solicitud: "7", User: u})
		}
		return grants
	}
	for _, tc := range []struct {
		name, event, data string
		explicit          []string
		rooms             []string
		grants            []streams.Grant
	}{
		{
			name: "a new solicitud is for advisors too", event: "solicitud_created", data: `{"solicitud_id":7,"client_id":"c"}`,
			rooms: []string{"solicitud_7", "user_c", "admin", "advisor"}, grants: grant("c"),
		},
		{
			name: "another solicitud event is not", event: "solicitud_closed", data: `{"solicitud_id":"7"}`,
			rooms: []string{"solicitud_7", "admin"},
		},
		{
			name: "a solicitud event is not sent to the advisor it names, but grants", event: "solicitud_assigned",
			data: `{"solicitud_id":"7","client_id":"c","advisor_id":"a"}`, rooms: []string{"solicitud_7", "user_c", "admin"}, grants: grant("c", "a"),
		},
		{
			name: "an oferta", event: "oferta_submitted", data: `{"solicitud_id":"7","client_id":"c","advisor_id":"a"}`,
			rooms: []string{"solicitud_7", "user_a", "user_c", "admin"}, grants: grant("c", "a"),
		},
		{
			name: "one user in both parts is named once", event: "oferta_submitted", data: `{"solicitud_id":"7","client_id":"x","advisor_id":"x"}`,
			rooms: []string{"solicitud_7", "user_x", "admin"}, grants: grant("x"),
		},
		{
			name: "an evaluacion grants nothing", event: "evaluacion_created", data: `{"solicitud_id":"7","client_id":"c","advisor_id":null}`,
			rooms: []string{"solicitud_7", "user_c", "admin"},
		},
		{name: "to a user", event: "notificacion_x", data: `{"user_id":123456789012345678901}`, rooms: []string{"user_123456789012345678901"}},
		{name: "to a role", event: "notificacion_x", data: `{"role":"Support"}`, rooms: []string{"admin"}},
		{name: "to several users", event: "notificacion_x", data: `{"user_ids":["a",2,"a"]}`, rooms: []string{"user_a", "user_2"}},
		{name: "the narrowest receiver wins", event: "notificacion_x", data: `{"user_id":"u","role":"admin","user_ids":["b"]}`, rooms: []string{"user_u"}},
		{
			name: "explicit rooms replace the table", event: "solicitud_created", data: `{"solicitud_id":"7","client_id":"c"}`,
			explicit: []string{"vip", "vip", "user_z"}, rooms: []string{"vip", "user_z"}, grants: grant("c"),
		},
		{name: "explicit rooms need no ids", event: "oferta_x", data: `{}`, explicit: []string{"vip"}, rooms: []string{"vip"}},
		{name: "names are matched exactly", event: "solicitud_x", data: `{"solicitud_id":"7","CLIENT_ID":"c"}`, rooms: []string{"solicitud_7", "admin"}},
		{
			name: "the longest id makes a room", event: "solicitud_x", data: `{"solicitud_id":"` + strings.Repeat("i", 128) + `"}`,
			explicit: []string{"solicitud_" + strings.Repeat("i", 128)}, rooms: []string{"solicitud_" + strings.Repeat("i", 128)},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rooms, grants, err := Route(streams.Event{Name: tc.event, Data: json.RawMessage(tc.data), Rooms: tc.explicit})
			require.NoError(t, err)
			require.Equal(t, tc.rooms, rooms)
			require.Equal(t, tc.grants, grants)
		})
	}
}

func TestRouteRejects(t *testing.T) {
	many := `["u"` + strings.Repeat(`,"u"`, maxUserIDs) + `]`
	for _, tc := range []struct {
		name, event, data, reason string
		explicit                  []string
	}{
		{name: "no solicitud", event: "solicitud_created", data: `{"client_id":"c"}`, reason: "no_route"},
		{name: "empty id", event: "solicitud_created", data: `{"solicitud_id":""}`, reason: "bad_id"},
		{name: "fraction", event: "oferta_x", data: `{"solicitud_id":1.5}`, reason: "bad_id"},
		{name: "object", event: "oferta_x", data: `{"solicitud_id":{}}`, reason: "bad_id"},
		{name: "too long", event: "oferta_x", data: `{"solicitud_id":"` + strings.Repeat("x", 129) + `"}`, reason: "bad_id"},
		{name: "too long a number", event: "oferta_x", data: `{"solicitud_id":` + strings.Repeat("1", 129) + `}`, reason: "bad_id"},
		{name: "control character", event: "oferta_x", data: `{"solicitud_id":"a\nb"}`, reason: "bad_id"},
		{name: "bad advisor", event: "oferta_x", data: `{"solicitud_id":"1","advisor_id":true}`, reason: "bad_id"},
		{name: "nobody", event: "notificacion_x", data: `{}`, reason: "no_route"},
		{name: "empty list", event: "notificacion_x", data: `{"user_ids":[]}`, reason: "no_route"},
		{name: "list of what", event: "notificacion_x", data: `{"user_ids":[null]}`, reason: "bad_id"},
		{name: "no list", event: "notificacion_x", data: `{"user_ids":"a"}`, reason: "bad_id"},
		{name: "too many", event: "notificacion_x", data: `{"user_ids":` + many + `}`, reason: "bad_id"},
		{name: "bad user", event: "notificacion_x", data: `{"user_id":[]}`, reason: "bad_id"},
		{name: "bad role", event: "notificacion_x", data: `{"role":7.5}`, reason: "bad_id"},
		{name: "unknown role", event: "notificacion_x", data: `{"role":"king"}`, reason: "no_route"},
		{name: "no rooms", event: "oferta_x", data: `{}`, explicit: []string{}, reason: "no_route"},
		{name: "bad room", event: "oferta_x", data: `{}`, explicit: []string{"a\x00"}, reason: "bad_id"},
		{name: "unknown kind", event: "pedido_x", data: `{}`, reason: "no_route"},
		{name: "no object", event: "oferta_x", data: `[]`, reason: "bad_data"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rooms, grants, err := Route(streams.Event{Name: tc.event, Data: json.RawMessage(tc.data), Rooms: tc.explicit})
			var rejected *streams.RejectError
			require.ErrorAs(t, err, &rejected)
			require.Equal(t, tc.reason, rejected.Reason)
			require.Empty(t, rooms)
			require.Empty(t, grants)
		})
	}
}

func TestRouterKnowsConfiguredRoles(t *testing.T) {
	r := NewRouter(map[string]string{"gestor": RoleAdvisor})
	for _, role := range []string{"gestor", "Advisor"} {
		rooms, _, err := r.Route(streams.Event{Name: "notificacion_x", Data: json.RawMessage(`{"role":"` + role + `"}`)})
		require.NoError(t, err)
		require.Equal(t, []string{"advisor"}, rooms)
	}
}

func FuzzRoute(f *testing.F) {
	f.Add("solicitud_created", `{"solicitud_id":"1","client_id":2}`)
	f.Add("notificacion_x", `{"user_ids":[1,"a"],"role":"admin"}`)
	f.Fuzz(func(t *testing.T, event, data string) {
		rooms, grants, err := Route(streams.Event{Name: event, Data: json.RawMessage(data)})
		var rejected *streams.RejectError
		if err != nil && !errors.As(err, &rejected) {
			t.Fatalf("error without a reason: %v", err)
		}
		if (err == nil) != (len(rooms) > 0) {
			t.Fatalf("rooms %q with error %v", rooms, err)
		}
		seen := map[string]bool{}
		for _, room := range rooms {
			if seen[room] || !validRoom(room) {
				t.Fatalf("room %q repeated or invalid in %q", room, rooms)
			}
			seen[room] = true
		}
		for _, g := range grants {
			if !validRoom(SolicitudRoom(g.Solicitud)) || g.User == "" {
				t.Fatalf("grant %+v", g)
			}
		}
	})
}
