package streams

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"time"
	"unicode/utf8"

	"github.com/teloo/realtime-gateway/streams/jsonscan"
)

// Reasons of dead letters that this package gives. A HandleFunc adds its own by RejectError.
const (
	ReasonMalformed       = "malformed"         // neither form, both forms, or a field that is no string
	ReasonBadPayload      = "bad_payload"       // payload is not a JSON object, or a key has the wrong type
	ReasonPayloadTooLarge = "payload_too_large" // payload over 128 KiB
	ReasonUnknownEvent    = "unknown_event"     // the name is not one of the contract's
	ReasonBadData         = "bad_data"          // data is absent, not a JSON object, or not UTF-8
	ReasonDataTooLarge    = "data_too_large"    // data over 64 KiB
	ReasonBadRooms        = "bad_rooms"         // rooms is not a JSON array of valid room names
	ReasonTooManyRooms    = "too_many_rooms"    // more than MaxRooms
	ReasonNoRoute         = "no_route"          // rooms is an empty array
	ReasonBadEventID      = "bad_event_id"      // empty, over 128 bytes, or with control characters
	ReasonUnroutable      = "unroutable"        // the handler failed without a reason of its own
	ReasonPanic           = "panic"             // the handler panicked
	ReasonPoison          = "poison"            // its solitary handling failed or killed its handler
)

// Reasons lists those.
func Reasons() []string {
	return []string{
		ReasonMalformed, ReasonBadPayload, ReasonPayloadTooLarge, ReasonUnknownEvent, ReasonBadData, ReasonDataTooLarge, ReasonBadRooms,
		ReasonTooManyRooms, ReasonNoRoute, ReasonBadEventID, ReasonUnroutable, ReasonPanic, ReasonPoison,
	}
}

// Event is one domain event as the Core API wrote it. It is immutable.
type Event struct {
	// ID is the stream entry's id; empty on an event to publish.
	ID string
	// Name is the Socket.IO event name.
	Name string
	// Data is a JSON object of at most MaxDataBytes, byte for byte as it was written.
	Data json.RawMessage
	// Rooms replaces the routing table; nil means: route by table.
	Rooms []string
	// EventID is the publisher's idempotency key; empty: none.
	EventID string
	// OccurredAt is zero when absent or not RFC 3339.
	OccurredAt time.Time
	// TraceParent is empty when absent or not W3C trace context.
	TraceParent string
	// ReplayedFrom is the id of the dead letter that the event was; empty: it was none.
	ReplayedFrom string
}

// RejectError says why an event becomes a dead letter. Reason is a short, stable word: it labels a metric.
type RejectError struct {
	Reason string
	Err    error // what exactly was wrong; may be nil
}

// Error returns the reason and, where known, the detail.
func (e *RejectError) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return e.Reason + ": " + e.Err.Error()
}

// Unwrap returns the detail.
func (e *RejectError) Unwrap() error { return e.Err }

func reject(reason, format string, args ...any) *RejectError {
	return &RejectError{Reason: reason, Err: fmt.Errorf(format, args...)}
}

// ParseEntry decodes a stream entry of either form: flat fields, or one field "payload" that is a JSON object of the
// same keys. Every error is a *RejectError. Fields that only observe (occurred_at, traceparent) never cost an event:
// an invalid one is left empty. Fields that are not in the contract are ignored.
func ParseEntry(id string, values map[string]any) (Event, error) {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names)
	pairs := make([]string, 0, 2*len(names))
	for _, name := range names {
		s, ok := values[name].(string)
		if !ok {
			return Event{}, reject(ReasonMalformed, "field %.64q is not a string", name)
		}
		pairs = append(pairs, name, s)
	}
	ev, _, err := parsePairs(id, pairs)
	if err != nil {
		return Event{}, err
	}
	return ev, nil
}

// form is an entry's known fields; nil pointers are absent ones.
type form struct {
	event, eventID, occurredAt, traceParent, payload *string
	replayedFrom                                     string
	data, rooms                                      json.RawMessage
	hasData                                          bool
}

// parsePairs decodes the flat field/value pairs of an entry. ignored counts invalid observing fields.
func parsePairs(id string, pairs []string) (ev Event, ignored uint64, rejected *RejectError) {
	var f form
	if rejected = f.fill(pairs); rejected != nil {
		return Event{}, 0, rejected
	}
	if f.payload != nil {
		if f.event != nil || f.hasData {
			return Event{}, 0, reject(ReasonMalformed, "both payload and event or data")
		}
		f = form{payload: f.payload, replayedFrom: f.replayedFrom}
		if rejected = f.unpack(*f.payload); rejected != nil {
			return Event{}, 0, rejected
		}
	} else if f.event == nil {
		return Event{}, 0, reject(ReasonMalformed, "neither event nor payload")
	}
	return f.check(id)
}

// fill takes the flat fields. A contract field that comes twice is ambiguous, so the entry is malformed.
func (f *form) fill(pairs []string) *RejectError {
	for i := 0; i+1 < len(pairs); i += 2 {
		value := &pairs[i+1]
		twice := false
		switch pairs[i] {
		case "event":
			twice, f.event = f.event != nil, value
		case "data":
			twice, f.data, f.hasData = f.hasData, json.RawMessage(*value), true
		case "rooms":
			twice, f.rooms = f.rooms != nil, append(json.RawMessage{}, *value...)
		case "event_id":
			twice, f.eventID = f.eventID != nil, value
		case "occurred_at":
			twice, f.occurredAt = f.occurredAt != nil, value
		case "traceparent":
			twice, f.traceParent = f.traceParent != nil, value
		case "replayed_from": // none of the contract's
			if _, ok := parseStreamID(*value); ok {
				f.replayedFrom = *value
			}
		case "payload":
			twice, f.payload = f.payload != nil, value
		}
		if twice {
			return reject(ReasonMalformed, "field %s is there twice", pairs[i])
		}
	}
	return nil
}

// unpack takes the keys of a payload. JSON null means absent.
func (f *form) unpack(payload string) *RejectError {
	if len(payload) > MaxPayloadBytes {
		return reject(ReasonPayloadTooLarge, "payload has %d bytes, limit %d", len(payload), MaxPayloadBytes)
	}
	raw := []byte(payload)
	if !jsonscan.Object(raw) {
		return reject(ReasonBadPayload, "payload is not a JSON object in UTF-8")
	}
	var body map[string]json.RawMessage
	if err := json.Unmarshal(raw, &body); err != nil {
		return reject(ReasonBadPayload, "payload: %w", err)
	}
	for key, dst := range map[string]**string{
		"event": &f.event, "event_id": &f.eventID, "occurred_at": &f.occurredAt, "traceparent": &f.traceParent,
	} {
		value, found := body[key]
		if !found || string(value) == "null" {
			continue
		}
		var s string
		if err := json.Unmarshal(value, &s); err != nil {
			return reject(ReasonBadPayload, "payload key %s is not a string", key)
		}
		*dst = &s
	}
	if f.event == nil {
		return reject(ReasonBadPayload, "payload without event")
	}
	if data, found := body["data"]; found && string(data) != "null" {
		f.data, f.hasData = data, true
	}
	if rooms, found := body["rooms"]; found && string(rooms) != "null" {
		f.rooms = rooms
	}
	return nil
}

func (f *form) check(id string) (ev Event, ignored uint64, rejected *RejectError) {
	ev = Event{ID: id, Name: *f.event, Data: f.data, ReplayedFrom: f.replayedFrom}
	switch {
	case !validName(ev.Name):
		return Event{}, 0, reject(ReasonUnknownEvent, "event name %.100q", ev.Name)
	case !f.hasData:
		return Event{}, 0, reject(ReasonBadData, "no data")
	case len(f.data) > MaxDataBytes:
		return Event{}, 0, reject(ReasonDataTooLarge, "data has %d bytes, limit %d", len(f.data), MaxDataBytes)
	case !jsonscan.Object(f.data): // a frame with anything else would end connections
		return Event{}, 0, reject(ReasonBadData, "data is not a JSON object in UTF-8")
	}
	if f.rooms != nil {
		if ev.Rooms, rejected = parseRooms(f.rooms); rejected != nil {
			return Event{}, 0, rejected
		}
	}
	if f.eventID != nil {
		if ev.EventID = *f.eventID; !validID(ev.EventID) {
			return Event{}, 0, reject(ReasonBadEventID, "event_id %.140q", ev.EventID)
		}
	}
	if f.occurredAt != nil {
		at, err := time.Parse(time.RFC3339Nano, *f.occurredAt)
		if err != nil {
			ignored++
		} else {
			ev.OccurredAt = at
		}
	}
	if f.traceParent != nil {
		if validTraceParent(*f.traceParent) {
			ev.TraceParent = *f.traceParent
		} else {
			ignored++
		}
	}
	return ev, ignored, nil
}

func parseRooms(raw json.RawMessage) ([]string, *RejectError) {
	if len(raw) > MaxPayloadBytes {
		return nil, reject(ReasonTooManyRooms, "rooms has %d bytes, limit %d", len(raw), MaxPayloadBytes)
	}
	// The decoder would replace invalid UTF-8 silently, and take null for an empty array.
	if !utf8.Valid(raw) || !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("[")) {
		return nil, reject(ReasonBadRooms, "rooms is not a JSON array in UTF-8")
	}
	var names []*string // a pointer, since null would decode as an empty string
	if err := json.Unmarshal(raw, &names); err != nil {
		return nil, reject(ReasonBadRooms, "rooms: %w", err)
	}
	if len(names) == 0 {
		return nil, reject(ReasonNoRoute, "rooms is empty")
	}
	if len(names) > MaxRooms {
		return nil, reject(ReasonTooManyRooms, "%d rooms, limit %d", len(names), MaxRooms)
	}
	rooms := make([]string, len(names))
	for i, name := range names {
		if name == nil || !validRoom(*name) {
			return nil, reject(ReasonBadRooms, "room %d is not 1 to %d bytes of text", i, maxRoomBytes)
		}
		rooms[i] = *name
	}
	return rooms, nil
}
