package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/teloo/realtime-gateway/node/auth"
	"github.com/teloo/realtime-gateway/streams"
	"github.com/teloo/realtime-gateway/streams/jsonscan"
)

// maxUserIDs bounds the receivers of one notificacion.
const maxUserIDs = 1000

// The gateway's roles; each is also the room of its sockets.
const (
	RoleAdmin   = "admin"
	RoleAdvisor = "advisor"
	RoleClient  = "client"
)

// Dead-letter reasons of routing.
const (
	reasonBadID   = "bad_id"
	reasonNoRoute = "no_route"
)

var (
	errNoRoom   = errors.New("the event names nobody who could receive it")
	errNoObject = errors.New("data is not a JSON object")
)

// Router maps events to rooms. It is immutable and safe for concurrent use.
type Router struct {
	roles map[string]string
}

// NewRouter returns a Router that knows roles, a table from a role's name in lower case to the gateway's role.
func NewRouter(roles map[string]string) *Router {
	known := maps.Clone(roles)
	for _, role := range roles {
		known[role] = role
	}
	return &Router{roles: known}
}

// Route maps ev with the default roles; see [Router.Route].
func Route(ev streams.Event) (rooms []string, grants []streams.Grant, err error) {
	return NewRouter(auth.DefaultConfig().Roles).Route(ev)
}

// The rules by which rooms are chosen, in words.
const (
	ruleSolicitud = "the solicitud in solicitud_id"
	ruleClient    = "the user in client_id"
	ruleAdvisor   = "the user in advisor_id"
	ruleAdmins    = "admins get every solicitud_*, oferta_* and evaluacion_*"
	ruleAdvisors  = "advisors get every solicitud_created"
	ruleUser      = "the user in user_id"
	ruleRole      = "the role in role"
	ruleUsers     = "a user in user_ids"
	ruleOwn       = "the event's own rooms"
)

// Choice is a room that an event goes to, and the rule that chose it.
type Choice struct{ Room, Rule string }

// Route says which rooms ev goes to, each once, and who is granted its solicitud's room by it. It depends on nothing
// but its argument. ev.Rooms, when not nil, replace the table. An error is a *streams.RejectError with reason bad_id or
// no_route.
func (r *Router) Route(ev streams.Event) (rooms []string, grants []streams.Grant, err error) {
	choices, grants, err := r.Explain(ev)
	if err != nil {
		return nil, nil, err
	}
	rooms = make([]string, len(choices))
	for i, c := range choices {
		rooms[i] = c.Room
	}
	return rooms, grants, nil
}

// Explain is Route that says why: of several rules that chose a room, the first.
func (r *Router) Explain(ev streams.Event) (choices []Choice, grants []streams.Grant, err error) {
	data, ok := membersOf(ev.Data)
	if !ok {
		return nil, nil, &streams.RejectError{Reason: streams.ReasonBadData, Err: errNoObject}
	}
	ids, err := readIDs(data)
	if err != nil {
		return nil, nil, &streams.RejectError{Reason: reasonBadID, Err: err}
	}
	table, grants, err := r.table(ev.Name, ids, data)
	if ev.Rooms != nil {
		table, err = explicit(ev.Rooms)
	}
	if err != nil {
		return nil, nil, err
	}
	return distinct(table), grants, nil
}

// Why says of rooms that an event went to which rule chose each, as far as its name and data tell: if they are not those
// of the table, they are the event's own.
func (r *Router) Why(name string, data json.RawMessage, rooms []string) []Choice {
	table, _, err := r.Explain(streams.Event{Name: name, Data: data})
	same := err == nil && len(table) == len(rooms)
	for i := 0; same && i < len(rooms); i++ {
		same = table[i].Room == rooms[i]
	}
	if same {
		return table
	}
	own, _ := explicit(rooms)
	return own
}

// members are the parts of an event's data that routing looks at, as they stand there; nil is an absent one.
type members struct {
	solicitud, client, advisor, user, role, users json.RawMessage
}

// membersOf finds them, of one that comes twice the last; false if data is no JSON object.
func membersOf(data json.RawMessage) (m members, ok bool) {
	ok = jsonscan.Members(data, func(name string, value []byte) {
		switch name {
		case "solicitud_id":
			m.solicitud = value
		case "client_id":
			m.client = value
		case "advisor_id":
			m.advisor = value
		case "user_id":
			m.user = value
		case "role":
			m.role = value
		case "user_ids":
			m.users = value
		}
	})
	return m, ok
}

// eventIDs are the ids that routing reads from an event's data; "" is an absent one.
type eventIDs struct {
	solicitud, client, advisor string
}

func readIDs(data members) (eventIDs, error) {
	var ids eventIDs
	var errs [3]error
	ids.solicitud, errs[0] = fieldID(data.solicitud, "solicitud_id")
	ids.client, errs[1] = fieldID(data.client, "client_id")
	ids.advisor, errs[2] = fieldID(data.advisor, "advisor_id")
	return ids, errors.Join(errs[:]...)
}

func (r *Router) table(name string, ids eventIDs, data members) ([]Choice, []streams.Grant, error) {
	kind, _, _ := strings.Cut(name, "_")
	switch kind {
	case "solicitud":
		rooms, err := solicitudRooms(ids, "", ids.client)
		if name == "solicitud_created" {
			rooms = append(rooms, Choice{RoleAdvisor, ruleAdvisors})
		}
		return rooms, grantsOf(ids), err
	case "oferta":
		rooms, err := solicitudRooms(ids, ids.advisor, ids.client)
		return rooms, grantsOf(ids), err
	case "evaluacion":
		rooms, err := solicitudRooms(ids, ids.advisor, ids.client)
		return rooms, nil, err
	case "notificacion":
		rooms, err := r.notificacionRooms(data)
		return rooms, nil, err
	default:
		return nil, nil, noRoute("%q is of no known kind", kind)
	}
}

// solicitudRooms takes the users that the event goes to, "" for none.
func solicitudRooms(ids eventIDs, advisor, client string) ([]Choice, error) {
	if ids.solicitud == "" {
		return nil, noRoute("solicitud_id is missing")
	}
	rooms := append(make([]Choice, 0, 4), Choice{SolicitudRoom(ids.solicitud), ruleSolicitud})
	if advisor != "" {
		rooms = append(rooms, Choice{UserRoom(advisor), ruleAdvisor})
	}
	if client != "" {
		rooms = append(rooms, Choice{UserRoom(client), ruleClient})
	}
	return append(rooms, Choice{RoleAdmin, ruleAdmins}), nil
}

// notificacionRooms takes the first of user_id, role and user_ids that is given: a message for one person must not
// reach a whole role because both are named.
func (r *Router) notificacionRooms(data members) ([]Choice, error) {
	user, err := fieldID(data.user, "user_id")
	if err != nil {
		return nil, &streams.RejectError{Reason: reasonBadID, Err: err}
	}
	if user != "" {
		return []Choice{{UserRoom(user), ruleUser}}, nil
	}
	name, err := fieldID(data.role, "role")
	if err != nil {
		return nil, &streams.RejectError{Reason: reasonBadID, Err: err}
	}
	if name != "" {
		role, ok := r.roles[strings.ToLower(name)]
		if !ok {
			return nil, noRoute("role %q is unknown", name)
		}
		return []Choice{{role, ruleRole}}, nil
	}
	return userRooms(data.users)
}

func userRooms(raw json.RawMessage) ([]Choice, error) {
	var users []json.RawMessage
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &users); err != nil {
			return nil, &streams.RejectError{Reason: reasonBadID, Err: fmt.Errorf("user_ids: %w", ErrBadID)}
		}
	}
	if len(users) > maxUserIDs {
		return nil, &streams.RejectError{Reason: reasonBadID, Err: fmt.Errorf("user_ids has %d, at most %d", len(users), maxUserIDs)}
	}
	rooms := make([]Choice, 0, len(users))
	for _, raw := range users {
		user, err := parseID(raw)
		if err != nil || user == "" {
			return nil, &streams.RejectError{Reason: reasonBadID, Err: fmt.Errorf("user_ids: %w", ErrBadID)}
		}
		rooms = append(rooms, Choice{UserRoom(user), ruleUsers})
	}
	if len(rooms) == 0 {
		return nil, noRoute("none of user_id, role and user_ids is given")
	}
	return rooms, nil
}

func explicit(rooms []string) ([]Choice, error) {
	own := make([]Choice, len(rooms))
	for i, room := range rooms {
		own[i] = Choice{room, ruleOwn}
		if !validRoom(room) {
			return nil, &streams.RejectError{Reason: reasonBadID, Err: fmt.Errorf("rooms: %w", ErrBadID)}
		}
	}
	if len(rooms) == 0 {
		return nil, noRoute("rooms is empty")
	}
	return own, nil
}

func grantsOf(ids eventIDs) []streams.Grant {
	if ids.solicitud == "" {
		return nil
	}
	var grants []streams.Grant
	if ids.client != "" {
		grants = append(grants, streams.Grant{Solicitud: ids.solicitud, User: ids.client})
	}
	if ids.advisor != "" && ids.advisor != ids.client {
		grants = append(grants, streams.Grant{Solicitud: ids.solicitud, User: ids.advisor})
	}
	return grants
}

// fewRooms are compared with each other rather than remembered.
const fewRooms = 8

// distinct drops repetitions of a room and keeps the order. It changes choices.
func distinct(choices []Choice) []Choice {
	kept := choices[:0]
	if len(choices) <= fewRooms {
		for _, c := range choices {
			if !slices.ContainsFunc(kept, func(k Choice) bool { return k.Room == c.Room }) {
				kept = append(kept, c)
			}
		}
		return kept
	}
	seen := make(map[string]struct{}, len(choices))
	for _, c := range choices {
		if _, ok := seen[c.Room]; !ok {
			seen[c.Room] = struct{}{}
			kept = append(kept, c)
		}
	}
	return kept
}

func noRoute(format string, args ...any) error {
	return &streams.RejectError{Reason: reasonNoRoute, Err: fmt.Errorf("%w: %s", errNoRoom, fmt.Sprintf(format, args...))}
}
