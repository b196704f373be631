package ingress

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/teloo/realtime-gateway/adapter"
)

// pythonMessage is what python-socketio's managers publish.
type pythonMessage struct {
	Method    string          `json:"method"`
	Event     *string         `json:"event"`
	Data      json.RawMessage `json:"data"`
	Binary    *bool           `json:"binary"` // from 5.14.2 on; data is a list of arguments then
	Namespace string          `json:"namespace"`
	Room      names           `json:"room"`
	SkipSid   names           `json:"skip_sid"`
	Sid       string          `json:"sid"`
}

// names is a string, a list of them, or null.
type names []string

var errNames = errors.New("neither a string nor a list of strings")

// UnmarshalJSON implements json.Unmarshaler.
func (n *names) UnmarshalJSON(raw []byte) error {
	var one *string
	if json.Unmarshal(raw, &one) == nil {
		if one != nil {
			*n = names{*one}
		}
		return nil
	}
	var some []*string // a null within would decode as an empty string
	if err := json.Unmarshal(raw, &some); err != nil {
		return errNames
	}
	*n = make(names, len(some))
	for i, s := range some {
		if s == nil {
			return errNames
		}
		(*n)[i] = *s
	}
	return nil
}

// python makes a log entry of what a python-socketio manager published: JSON, or before version 5.14 a pickle, of which
// data is read and nothing else.
func (c encoder) python(payload string) ([]string, error) {
	if isPickle(payload) {
		var err error
		if payload, err = unpickle(payload); err != nil {
			return nil, err
		}
	}
	var m pythonMessage
	if err := decode(payload, &m); err != nil {
		return nil, err
	}
	one := func(kind adapter.ChangeKind, names ...string) ([]string, error) {
		if m.Sid == "" { // no selection is everybody
			return nil, fmt.Errorf("%w: no sid", errInvalid)
		}
		return c.change(adapter.Change{Kind: kind, Nsp: m.Namespace, Rooms: []string{m.Sid}, Names: names})
	}
	switch m.Method {
	case "emit":
		return c.pythonEmit(m)
	case "disconnect":
		return one(adapter.Disconnect)
	case "enter_room":
		return one(adapter.Join, m.Room...)
	case "leave_room":
		return one(adapter.Leave, m.Room...)
	case "close_room":
		if len(m.Room) != 1 {
			return nil, fmt.Errorf("%w: not one room", errInvalid)
		}
		return c.change(adapter.Change{Kind: adapter.Leave, Nsp: m.Namespace, Rooms: m.Room, Names: m.Room})
	case "callback": // an answer to another server
		return nil, errIgnored
	case "":
		return nil, fmt.Errorf("%w: no method", errInvalid)
	}
	return nil, errUnsupported
}

// pythonEmit is the entry of an event. Who emitted it with a callback gets no call.
func (c encoder) pythonEmit(m pythonMessage) ([]string, error) {
	if m.Event == nil {
		return nil, fmt.Errorf("%w: no event", errInvalid)
	}
	if m.Room != nil && len(m.Room) == 0 { // an empty list is for nobody there, and would be for everybody here
		return nil, fmt.Errorf("%w: an empty list of rooms", errInvalid)
	}
	args, err := c.pythonArgs(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInvalid, err)
	}
	return c.emission(adapter.Emission{Nsp: m.Namespace, Rooms: m.Room, Except: m.SkipSid, Event: *m.Event, Args: args})
}

// pythonArgs are the event's arguments: data, or what it is a list of if the message says whether it has binary. With
// binary the first of data is that list, with placeholders, and the others are base64.
func (c encoder) pythonArgs(m pythonMessage) ([]any, error) {
	if m.Binary == nil {
		if len(m.Data) == 0 || string(m.Data) == "null" {
			return nil, nil
		}
		return []any{m.Data}, nil
	}
	if len(m.Data) == 0 || string(m.Data) == "null" {
		return nil, nil
	}
	if m.Data[0] != '[' {
		return []any{m.Data}, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(m.Data, &list); err != nil {
		return nil, err
	}
	if *m.Binary {
		return c.pythonBinary(list)
	}
	if len(list) == 1 && string(list[0]) == "null" { // as there: an event without data
		return nil, nil
	}
	args := make([]any, len(list))
	for i, arg := range list {
		args[i] = arg
	}
	return args, nil
}

func (c encoder) pythonBinary(list []json.RawMessage) ([]any, error) {
	if len(list) == 0 {
		return nil, errors.New("binary without data")
	}
	attachments := make([][]byte, 0, len(list)-1)
	for _, raw := range list[1:] {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return nil, err
		}
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, err
		}
		attachments = append(attachments, data)
	}
	array := list[0]
	if !strings.HasPrefix(string(array), "[") {
		array = json.RawMessage("[" + string(array) + "]")
	}
	return adapter.WithAttachments(array, attachments, c.most)
}

// isPickle tells a pickle from JSON: from protocol 2 on by its first byte, PROTO; and a dictionary of the older ones.
func isPickle(payload string) bool {
	return strings.HasPrefix(payload, "\x80") || strings.HasPrefix(payload, "(d") || strings.HasPrefix(payload, "}q")
}
