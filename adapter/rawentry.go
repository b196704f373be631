package adapter

import (
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// errReply is a reply of Redis that is not of the form that its command has.
var errReply = errors.New("unexpected reply from Redis")

// rawEntry is an entry of the log as Redis has it.
type rawEntry struct {
	id                         streamID
	uid, nsp, kind, data, from string
	trace                      string // W3C trace context
	sourced                    bool   // it has a field for the source, which is from
	fields                     int
}

func (e *rawEntry) set(field, value string) {
	e.fields++
	switch field {
	case fieldUID:
		e.uid = value
	case fieldNsp:
		e.nsp = value
	case fieldType:
		e.kind = value
	case fieldData:
		e.data = value
	case fieldSrc:
		e.from, e.sourced = value, true
	case fieldTrace:
		e.trace = value
	}
}

// rawEntryOf converts what the client has decoded.
func rawEntryOf(m redis.XMessage) (rawEntry, error) {
	id, err := parseStreamID(m.ID)
	if err != nil {
		return rawEntry{}, err
	}
	e := rawEntry{id: id}
	for field, value := range m.Values {
		text, _ := value.(string)
		e.set(field, text)
	}
	return e, nil
}

// entriesOf returns what an XREAD of one stream has brought, nothing if there was nothing in time. The reply is a list of
// pairs in RESP2, a map in RESP3.
func entriesOf(read *redis.Cmd) ([]rawEntry, error) {
	reply, err := read.Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list any
	switch streams := reply.(type) {
	case []any:
		if len(streams) == 1 {
			if pair, ok := streams[0].([]any); ok && len(pair) == 2 {
				list = pair[1]
			}
		}
	case map[any]any:
		for _, entries := range streams {
			list = entries
		}
	}
	items, ok := list.([]any)
	if !ok {
		return nil, fmt.Errorf("%w: XREAD: %.100v", errReply, reply)
	}
	entries := make([]rawEntry, len(items))
	for i, item := range items {
		if err := entries[i].fill(item); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// fill takes an entry of a reply: its id, and its fields, each followed by its value.
func (e *rawEntry) fill(item any) (err error) {
	parts, _ := item.([]any)
	if len(parts) != 2 {
		return fmt.Errorf("%w: entry: %.100v", errReply, item)
	}
	text, _ := parts[0].(string)
	flat, ok := parts[1].([]any)
	if e.id, err = parseStreamID(text); err != nil || !ok {
		return fmt.Errorf("%w: entry: %.100v", errReply, item)
	}
	for i := 0; i+1 < len(flat); i += 2 {
		field, _ := flat[i].(string)
		value, _ := flat[i+1].(string)
		e.set(field, value)
	}
	return nil
}
