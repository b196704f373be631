package streams

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// unitReject returns the reason for which an entry is refused.
func unitReject(t *testing.T, values map[string]any) string {
	t.Helper()
	ev, err := ParseEntry("1-1", values)
	var rejected *RejectError
	require.ErrorAs(t, err, &rejected)
	require.Zero(t, ev)
	return rejected.Reason
}

func TestDataIsKeptByteForByte(t *testing.T) {
	for name, data := range map[string]string{
		"empty":            `{}`,
		"of all sorts":     `{"z":12345678901234567890,"a":"ñ \u00e9 <&>","f":1.0}`,
		"big integers":     `{"n":12345678901234567890123,"m":-9007199254740993,"f":1.10,"e":1E+400,"z":-0}`,
		"key order":        `{"z":1,"a":{"y":2,"b":3},"m":4}`,
		"a key twice":      `{"a":1,"a":2}`,
		"Unicode":          `{"ñandú":"Ωμέγα 🚗 é"}`,
		"escapes":          `{"s":"\u00e9\/\ud83d\ude97\n<&>"}`,
		"line separators":  "{\"s\":\"\u2028\u2029\"}",
		"lone surrogate":   `{"s":"\ud800"}`,
		"escaped null":     `{"s":"\u0000"}`,
		"space within":     "{ \"a\" :\t[ 1 ,\r\n2 ] }",
		"null and nesting": `{"a":null,"b":[[[{}]]]}`,
		"largest":          `{"s":"` + strings.Repeat("x", MaxDataBytes-8) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			flat, err := ParseEntry("1-1", map[string]any{"event": "oferta_x", "data": data})
			require.NoError(t, err)
			require.Equal(t, data, string(flat.Data))
			packed, err := ParseEntry("1-1", map[string]any{"payload": `{"data":` + data + `,"event":"oferta_x"}`})
			require.NoError(t, err)
			require.Equal(t, data, string(packed.Data))
		})
	}
	around := "\n {\"a\":1}\t"
	flat, err := ParseEntry("1-1", map[string]any{"event": "oferta_x", "data": around})
	require.NoError(t, err)
	require.Equal(t, around, string(flat.Data), "space around is the publisher's, too")
}

func TestFlatFieldsAreKept(t *testing.T) {
	ev, err := ParseEntry("1-1", map[string]any{
		"event": "oferta_submitted", "data": `{"a":1}`, "rooms": `["vip","user_1"]`, "event_id": "e1",
		"occurred_at": "2026-11-24T10:00:00Z", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "other": "x",
	})
	require.NoError(t, err)
	require.True(t, ev.OccurredAt.Equal(time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)))
	ev.OccurredAt = time.Time{}
	require.Equal(t, Event{
		ID: "1-1", Name: "oferta_submitted", Data: json.RawMessage(`{"a":1}`), Rooms: []string{"vip", "user_1"}, EventID: "e1",
		TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}, ev)
}

func TestPayloadHasAllFields(t *testing.T) {
	ev, err := ParseEntry("7-1", map[string]any{"other": "x", "payload": ` {"event":"evaluacion_x","data":{},"rooms":["a","b"],` +
		`"event_id":"e\u00e9","occurred_at":"2026-11-24T10:00:00.25-05:00",` +
		`"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","extra":[1]}`})
	require.NoError(t, err)
	require.True(t, ev.OccurredAt.Equal(time.Date(2026, 11, 24, 15, 0, 0, 250_000_000, time.UTC)))
	ev.OccurredAt = time.Time{}
	require.Equal(t, Event{
		ID: "7-1", Name: "evaluacion_x", Data: json.RawMessage(`{}`), Rooms: []string{"a", "b"}, EventID: "eé",
		TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}, ev)

	ev, err = ParseEntry("7-1", map[string]any{
		"payload": `{"event":"oferta_x","data":{},"rooms":null,"event_id":null,"occurred_at":null,"traceparent":null}`,
	})
	require.NoError(t, err)
	require.Equal(t, Event{ID: "7-1", Name: "oferta_x", Data: json.RawMessage(`{}`)}, ev, "null is absent")

	ev, err = ParseEntry("7-1", map[string]any{"event_id": "outside", "rooms": `["outside"]`, "payload": `{"event":"oferta_x","data":{}}`})
	require.NoError(t, err)
	require.Empty(t, ev.EventID, "beside a payload only the payload counts")
	require.Nil(t, ev.Rooms)
}

func TestEveryReasonOfBothForms(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	for name, tc := range map[string]struct{ reason, field, value string }{
		"unknown kind":       {ReasonUnknownEvent, "event", `"pedido_x"`},
		"no suffix":          {ReasonUnknownEvent, "event", `"oferta_"`},
		"upper case":         {ReasonUnknownEvent, "event", `"oferta_X"`},
		"long name":          {ReasonUnknownEvent, "event", `"oferta_` + long(maxSuffix+1) + `"`},
		"other kind":         {ReasonUnknownEvent, "event", `"user_joined"`},
		"kind alone":         {ReasonUnknownEvent, "event", `"oferta"`},
		"hyphen":             {ReasonUnknownEvent, "event", `"oferta_a-b"`},
		"empty name":         {ReasonUnknownEvent, "event", `""`},
		"data an array":      {ReasonBadData, "data", `[]`},
		"data a number":      {ReasonBadData, "data", `1`},
		"data a string":      {ReasonBadData, "data", `"{}"`},
		"data too large":     {ReasonDataTooLarge, "data", `{"s":"` + long(MaxDataBytes-7) + `"}`},
		"data far too large": {ReasonDataTooLarge, "data", `{"a":"` + long(MaxDataBytes) + `"}`},
		"rooms an object":    {ReasonBadRooms, "rooms", `{}`},
		"empty room":         {ReasonBadRooms, "rooms", `["a",""]`},
		"control in room":    {ReasonBadRooms, "rooms", `["a\u0085"]`},
		"room a number":      {ReasonBadRooms, "rooms", `[1]`},
		"room null":          {ReasonBadRooms, "rooms", `[null]`},
		"nested rooms":       {ReasonBadRooms, "rooms", `[["a"]]`},
		"long room":          {ReasonBadRooms, "rooms", `["` + long(maxRoomBytes+1) + `"]`},
		"rooms empty":        {ReasonNoRoute, "rooms", `[]`},
		"no rooms":           {ReasonNoRoute, "rooms", ` [ ]`},
		"too many rooms":     {ReasonTooManyRooms, "rooms", `["a"` + strings.Repeat(`,"a"`, MaxRooms) + `]`},
		"empty event_id":     {ReasonBadEventID, "event_id", `""`},
		"long event_id":      {ReasonBadEventID, "event_id", `"` + long(maxIDBytes+1) + `"`},
		"line in event_id":   {ReasonBadEventID, "event_id", `"a\nb"`},
		"DEL in event_id":    {ReasonBadEventID, "event_id", `"a\u007f"`},
		"null byte in name":  {ReasonUnknownEvent, "event", `"oferta_a\u0000"`},
	} {
		t.Run(name, func(t *testing.T) {
			body := map[string]string{"event": `"oferta_x"`, "data": `{}`, tc.field: tc.value}
			flat, packed := map[string]any{}, []string{}
			for key, value := range body {
				packed = append(packed, `"`+key+`":`+value)
				var text string
				if key != "data" && json.Unmarshal([]byte(value), &text) == nil {
					flat[key] = text // rooms and data are JSON in the flat form also
				} else {
					flat[key] = value
				}
			}
			require.Equal(t, tc.reason, unitReject(t, flat))
			require.Equal(t, tc.reason, unitReject(t, map[string]any{"payload": "{" + strings.Join(packed, ",") + "}"}))
		})
	}
}

func TestReasonsOfOneFormOnly(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		pairs  []string
	}{
		"nothing":             {ReasonMalformed, nil},
		"both forms":          {ReasonMalformed, []string{"event", "oferta_x", "data", "{}", "payload", "{}"}},
		"event twice":         {ReasonMalformed, []string{"event", "oferta_x", "event", "oferta_x", "data", "{}"}},
		"data twice":          {ReasonMalformed, []string{"event", "oferta_x", "data", "{}", "data", ""}},
		"rooms twice":         {ReasonMalformed, []string{"event", "oferta_x", "data", "{}", "rooms", "", "rooms", `["a"]`}},
		"event_id twice":      {ReasonMalformed, []string{"event", "oferta_x", "data", "{}", "event_id", "", "event_id", "a"}},
		"occurred_at twice":   {ReasonMalformed, []string{"event", "oferta_x", "data", "{}", "occurred_at", "", "occurred_at", ""}},
		"traceparent twice":   {ReasonMalformed, []string{"event", "oferta_x", "data", "{}", "traceparent", "", "traceparent", ""}},
		"payload twice":       {ReasonMalformed, []string{"payload", "{}", "payload", "{}"}},
		"data beside payload": {ReasonMalformed, []string{"payload", `{"event":"oferta_x","data":{}}`, "data", ""}},
		"data alone":          {ReasonMalformed, []string{"data", "{}"}},
		"no data":             {ReasonBadData, []string{"event", "oferta_x"}},
		"empty data":          {ReasonBadData, []string{"event", "oferta_x", "data", ""}},
		"data cut short":      {ReasonBadData, []string{"event", "oferta_x", "data", `{"a":`}},
		"data not UTF-8":      {ReasonBadData, []string{"event", "oferta_x", "data", "{\"a\":\"\xff\"}"}},
		"two objects":         {ReasonBadData, []string{"event", "oferta_x", "data", "{}{}"}},
		"byte order mark":     {ReasonBadData, []string{"event", "oferta_x", "data", "\ufeff{}"}},
		"rooms text":          {ReasonBadRooms, []string{"event", "oferta_x", "data", "{}", "rooms", `"vip"`}},
		"payload rooms text":  {ReasonBadRooms, []string{"payload", `{"event":"oferta_x","data":{},"rooms":"vip"}`}},
		"empty rooms":         {ReasonBadRooms, []string{"event", "oferta_x", "data", "{}", "rooms", ""}},
		"null rooms":          {ReasonBadRooms, []string{"event", "oferta_x", "data", "{}", "rooms", "null"}},
		"rooms not UTF-8":     {ReasonBadRooms, []string{"event", "oferta_x", "data", "{}", "rooms", "[\"\xff\"]"}},
		"rooms huge":          {ReasonTooManyRooms, []string{"event", "oferta_x", "data", "{}", "rooms", "[" + strings.Repeat(" ", MaxPayloadBytes) + "]"}},
		"event_id not UTF-8":  {ReasonBadEventID, []string{"event", "oferta_x", "data", "{}", "event_id", "\xff"}},
		"payload array":       {ReasonBadPayload, []string{"payload", "[]"}},
		"payload cut short":   {ReasonBadPayload, []string{"payload", "{"}},
		"payload event type":  {ReasonBadPayload, []string{"payload", `{"event":1,"data":{}}`}},
		"payload too large":   {ReasonPayloadTooLarge, []string{"payload", `{"event":"oferta_x","data":{},"x":"` + strings.Repeat("x", MaxPayloadBytes) + `"}`}},
		"payload null":        {ReasonBadPayload, []string{"payload", "null"}},
		"payload empty":       {ReasonBadPayload, []string{"payload", ""}},
		"payload not UTF-8":   {ReasonBadPayload, []string{"payload", "{\"event\":\"oferta_\xff\",\"data\":{}}"}},
		"payload no event":    {ReasonBadPayload, []string{"payload", `{"data":{}}`}},
		"payload null event":  {ReasonBadPayload, []string{"payload", `{"event":null,"data":{}}`}},
		"payload event_id":    {ReasonBadPayload, []string{"payload", `{"event":"oferta_x","data":{},"event_id":5}`}},
		"payload occurred_at": {ReasonBadPayload, []string{"payload", `{"event":"oferta_x","data":{},"occurred_at":5}`}},
		"payload traceparent": {ReasonBadPayload, []string{"payload", `{"event":"oferta_x","data":{},"traceparent":{}}`}},
		"payload no data":     {ReasonBadData, []string{"payload", `{"event":"oferta_x","data":null}`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, rejected := parsePairs("1-1", tc.pairs)
			require.NotNil(t, rejected)
			require.Equal(t, tc.reason, rejected.Reason)
		})
	}
}

func TestParseEntryRejects(t *testing.T) {
	require.Equal(t, ReasonMalformed, unitReject(t, map[string]any{}))
	require.Equal(t, ReasonMalformed, unitReject(t, map[string]any{"event": 7}), "no text")
	_, err := ParseEntry("1-1", map[string]any{})
	require.ErrorContains(t, err, ReasonMalformed)
	cause := errors.New("cause")
	require.ErrorIs(t, &RejectError{Reason: "r", Err: cause}, cause)
	require.Equal(t, "r", (&RejectError{Reason: "r"}).Error())
}

func TestBoundsAreAccepted(t *testing.T) {
	rooms := `["` + strings.Repeat("r", maxRoomBytes) + `"` + strings.Repeat(`,"é"`, MaxRooms-1) + `]`
	ev, err := ParseEntry("1-1", map[string]any{
		"event": "notificacion_" + strings.Repeat("x", maxSuffix), "data": `{}`, "rooms": rooms, "event_id": strings.Repeat("e", maxIDBytes),
	})
	require.NoError(t, err)
	require.Len(t, ev.Rooms, MaxRooms)
	for _, name := range []string{"solicitud_0", "oferta__", "evaluacion_a_b"} {
		_, err := ParseEntry("1-1", map[string]any{"event": name, "data": `{}`})
		require.NoError(t, err, name)
	}
}

func TestObservingFieldsNeverCostAnEvent(t *testing.T) {
	const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for _, bad := range []string{
		"", "x", "00-" + trace + "-" + span, "ff-" + trace + "-" + span + "-01", "00-" + strings.ToUpper(trace) + "-" + span + "-01",
		"00-" + strings.Repeat("0", 32) + "-" + span + "-01", "00-" + trace + "-" + strings.Repeat("0", 16) + "-01",
		"00-" + trace + "-" + span + "-0g", "00_" + trace + "-" + span + "-01", "0x-" + trace + "-" + span + "-01",
	} {
		ev, ignored, rejected := parsePairs("1-1", []string{"event", "oferta_x", "data", "{}", "traceparent", bad, "occurred_at", "2026-13-01T00:00:00Z"})
		require.Nil(t, rejected, bad)
		require.Empty(t, ev.TraceParent, bad)
		require.Zero(t, ev.OccurredAt)
		require.Equal(t, uint64(2), ignored)
	}
	ev, err := ParseEntry("1-1", map[string]any{"event": "oferta_x", "data": `{}`, "occurred_at": "yesterday", "traceparent": "x"})
	require.NoError(t, err)
	require.Equal(t, Event{ID: "1-1", Name: "oferta_x", Data: json.RawMessage(`{}`)}, ev)
}

func FuzzParseEntry(f *testing.F) {
	f.Add("oferta_x", `{"a":1}`, `["vip"]`, `{"event":"oferta_x","data":{}}`)
	f.Fuzz(func(t *testing.T, event, data, rooms, payload string) {
		for _, entry := range []map[string]any{{"event": event, "data": data, "rooms": rooms}, {"payload": payload}} {
			ev, err := ParseEntry("1-1", entry)
			var rejected *RejectError
			if err != nil {
				if !errors.As(err, &rejected) || rejected.Reason == "" {
					t.Fatalf("error without a reason: %v", err)
				}
				continue
			}
			if !validName(ev.Name) || len(ev.Data) == 0 || len(ev.Data) > MaxDataBytes || ev.Data[0] != '{' {
				t.Fatalf("accepted %+v", ev)
			}
		}
	})
}

func FuzzParseEntryKeepsData(f *testing.F) {
	for _, data := range []string{`{"z":12345678901234567890,"a":1.0}`, `{"s":"\ud800\u00e9 ñ"}`, " {}\n", `{"a":1,"a":2}`, "{\"\xff\":1}"} {
		f.Add(data, "e")
	}
	f.Fuzz(func(t *testing.T, data, id string) {
		ev, err := ParseEntry("1-1", map[string]any{"event": "oferta_x", "data": data, "event_id": id})
		if err != nil {
			return
		}
		if string(ev.Data) != data || ev.EventID != id {
			t.Fatalf("%q became %q, %q became %q", data, ev.Data, id, ev.EventID)
		}
		pairs, err := encodeEvent(ev)
		if err != nil {
			t.Fatalf("accepted but not publishable: %v", err)
		}
		again, _, rejected := parsePairs("1-1", pairs)
		if rejected != nil || string(again.Data) != data || again.EventID != id {
			t.Fatalf("not the same again: %+v, %v", again, rejected)
		}
	})
}
