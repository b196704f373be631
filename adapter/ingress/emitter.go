package ingress

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/teloo/realtime-gateway/adapter"
)

// Types of the requests between servers with the classic Redis adapter, as far as its emitter sends them.
const (
	requestJoin       = 2
	requestLeave      = 3
	requestDisconnect = 4
)

// emitted makes a log entry of what @socket.io/redis-emitter or socket.io-emitter published. The channel's own room only
// spares those servers work that have nobody in it: the message names it, too.
func (c encoder) emitted(payload string) ([]string, error) {
	e, err := adapter.DecodeEmission([]byte(payload))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInvalid, err)
	}
	return c.emission(e)
}

// request is what the emitter publishes on its other channel.
type request struct {
	Type  *int      `json:"type"`
	Opts  *selected `json:"opts"`
	Rooms roomNames `json:"rooms"`
	Close bool      `json:"close"`
}

type selected struct {
	Rooms  roomNames `json:"rooms"`
	Except roomNames `json:"except"`
}

// roomNames are rooms', of which Node's may be numbers: those are known by their text, as they are in the log.
type roomNames []string

// UnmarshalJSON implements json.Unmarshaler.
func (n *roomNames) UnmarshalJSON(data []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil || list == nil {
		*n = nil
		return err
	}
	*n = make(roomNames, len(list))
	for i, item := range list {
		if strings.ContainsAny(string(item[:1]), `"[{`) {
			if err := json.Unmarshal(item, &(*n)[i]); err != nil {
				return err
			}
			continue
		}
		(*n)[i] = string(item)
	}
	return nil
}

// requested makes a log entry of a request: sockets join or leave rooms, or are disconnected.
func (c encoder) requested(channel, payload string) ([]string, error) {
	var r request
	if err := decode(payload, &r); err != nil {
		return nil, err
	}
	if r.Type == nil {
		return nil, fmt.Errorf("%w: no type", errInvalid)
	}
	kind, known := map[int]adapter.ChangeKind{
		requestJoin: adapter.Join, requestLeave: adapter.Leave, requestDisconnect: adapter.Disconnect,
	}[*r.Type]
	// Without opts it is of servers that ask each other for an answer.
	if !known || r.Opts == nil {
		return nil, errUnsupported
	}
	if r.Opts.Rooms == nil { // taken for an empty list it would be everybody
		return nil, fmt.Errorf("%w: opts without rooms", errInvalid)
	}
	return c.change(adapter.Change{
		Kind: kind, Nsp: namespaceOf(channel), Rooms: r.Opts.Rooms, Except: r.Opts.Except, Names: r.Rooms, Close: r.Close,
	})
}

// namespaceOf is what stands between the first and the last # of a channel.
func namespaceOf(channel string) string {
	_, rest, _ := strings.Cut(channel, "#")
	return strings.TrimSuffix(rest, "#")
}

// decode reads one JSON object.
func decode(payload string, into any) error {
	if !strings.HasPrefix(strings.TrimLeft(payload, " \t\r\n"), "{") {
		return fmt.Errorf("%w: not a JSON object", errInvalid)
	}
	if !utf8.ValidString(payload) { // the decoder would replace what is not
		return fmt.Errorf("%w: not UTF-8", errInvalid)
	}
	if err := json.Unmarshal([]byte(payload), into); err != nil {
		return fmt.Errorf("%w: %w", errInvalid, err)
	}
	return nil
}
