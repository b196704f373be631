package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/teloo/realtime-gateway/node"
	"github.com/teloo/realtime-gateway/streams"
)

type explainCmd struct {
	Event   string   `arg:""                                                                           help:"Event name, a file with an event as JSON (FILE.json), or - for standard input; without it, the routing table is shown." optional:""`
	Data    string   `arg:""                                                                           default:"{}"                                                                                                                  help:"Event data, a JSON object." optional:""`
	Rooms   []string `help:"Rooms of the event's own, comma-separated."                                placeholder:"ROOM"`
	Schema  bool     `help:"Print the JSON Schema of the event's data: its own, else its kind's."`
	Offline bool     `help:"Do not ask Redis how many sockets are in the rooms of a file's event now."`
	JSON    bool     `help:"Print JSON."`
}

// explanation is what becomes of an event.
type explanation struct {
	Event string   `json:"event"`
	Rooms []string `json:"rooms"`
	// Why says the same as Rooms, and by which rule each was chosen.
	Why    []chosen `json:"why"`
	Grants []grant  `json:"grants"`
	Dead   string   `json:"dead_reason,omitempty"`
	Error  string   `json:"error,omitempty"`
	// Violation says how the data does not keep its schema, which matters with VALIDATE_EVENTS.
	Violation string `json:"schema_violation,omitempty"`
}

type grant struct {
	Solicitud string `json:"solicitud"`
	User      string `json:"user"`
}

// Run explains the event, or prints the routing table. An event that would be a dead letter is a failure.
func (e *explainCmd) Run(ctx context.Context, a *app) error {
	if e.Schema {
		return e.showSchema(a)
	}
	c, err := a.config("JWT_ROLES")
	if err != nil {
		return err
	}
	router := node.NewRouter(c.JWTRoles)
	if e.Event == "" {
		return writeTable(a.stdout, router)
	}
	fields := fieldsOf(e.Event, e.Data, e.Rooms)
	fromFile := e.Event == "-" || strings.HasSuffix(e.Event, ".json")
	if fromFile {
		if fields, err = e.read(a); err != nil {
			return err
		}
	}
	x := explain(router, fields)
	if fromFile && !e.Offline && x.Dead == "" {
		if err := x.count(ctx, a); err != nil {
			a.warn("who is connected now is left out: " + err.Error())
		}
	}
	if e.JSON {
		err = json.NewEncoder(a.stdout).Encode(x)
	} else {
		err = x.write(a.stdout)
	}
	if err == nil && x.Dead != "" {
		return errReported
	}
	return err
}

// fieldsOf are an event's fields in the stream.
func fieldsOf(event, data string, rooms []string) map[string]any {
	fields := map[string]any{"event": event, "data": data}
	if len(rooms) > 0 {
		fields["rooms"] = jsonOf(rooms)
	}
	return fields
}

func jsonOf(texts []string) string {
	encoded, err := json.Marshal(texts)
	if err != nil {
		panic(err) // strings always encode
	}
	return string(encoded)
}

func explain(router *node.Router, fields map[string]any) explanation {
	name, _ := fields["event"].(string)
	x := explanation{Event: name, Rooms: []string{}, Why: []chosen{}, Grants: []grant{}}
	event, err := streams.ParseEntry("0-1", fields)
	if err == nil {
		var choices []node.Choice
		var grants []streams.Grant
		x.Event = event.Name
		if choices, grants, err = router.Explain(event); err == nil {
			x.Violation, err = violationOf(event.Name, event.Data, event.Rooms != nil)
		}
		for _, c := range choices {
			x.Rooms = append(x.Rooms, c.Room)
			x.Why = append(x.Why, chosen{Room: c.Room, Rule: c.Rule})
		}
		for _, g := range grants {
			x.Grants = append(x.Grants, grant(g))
		}
	}
	if err != nil {
		x.Dead, x.Error = "unroutable", err.Error()
		if reject, ok := errors.AsType[*streams.RejectError](err); ok {
			x.Dead = reject.Reason
			if reject.Err != nil {
				x.Error = reject.Err.Error()
			}
		}
	}
	return x
}

func (x *explanation) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", cmp.Or(x.Event, "an event without a name"))
	if x.Dead != "" {
		fmt.Fprintf(&b, "  dead letter  %s: %s\n", x.Dead, x.Error)
	}
	if x.Violation != "" {
		fmt.Fprintf(&b, "  schema  %s\n", x.Violation)
	}
	for _, c := range x.Why {
		fmt.Fprintf(&b, "  room   %s  (%s)%s\n", c.Room, c.Rule, c.now())
	}
	for _, g := range x.Grants {
		fmt.Fprintf(&b, "  grant  user %s may enter solicitud_%s\n", g.User, g.Solicitud)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// samples are events with placeholders for ids: routing them shows the table, whatever it is.
var samples = []struct{ show, event, data string }{
	{"solicitud_created", "solicitud_created", `{"solicitud_id":"{solicitud_id}","client_id":"{client_id}"}`},
	{"solicitud_*", "solicitud_any", `{"solicitud_id":"{solicitud_id}","client_id":"{client_id}"}`},
	{"oferta_*", "oferta_any", `{"solicitud_id":"{solicitud_id}","advisor_id":"{advisor_id}","client_id":"{client_id}"}`},
	{"evaluacion_*", "evaluacion_any", `{"solicitud_id":"{solicitud_id}","advisor_id":"{advisor_id}","client_id":"{client_id}"}`},
	{"notificacion_*", "notificacion_any", `{"user_id":"{user_id}"}`},
	{"notificacion_*", "notificacion_any", `{"role":"advisor"}`},
	{"notificacion_*", "notificacion_any", `{"user_ids":["{a}","{b}"]}`},
}

func writeTable(w io.Writer, router *node.Router) error {
	var b strings.Builder
	b.WriteString("EVENT\tWITH\tROOMS\tMAY THEN SUBSCRIBE\n")
	for _, s := range samples {
		x := explain(router, fieldsOf(s.event, s.data, nil))
		if x.Dead != "" {
			return fmt.Errorf("routing %s: %s", s.show, x.Error)
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal([]byte(s.data), &fields); err != nil {
			return err
		}
		users := make([]string, len(x.Grants))
		for i, g := range x.Grants {
			users[i] = g.User
		}
		if len(users) == 0 {
			users = []string{"-"}
		}
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\n", s.show, strings.Join(sortedKeys(fields), " "), strings.Join(x.Rooms, " "), strings.Join(users, " "))
	}
	return align(w, b.String())
}
