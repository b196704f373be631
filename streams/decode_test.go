package streams

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func TestParseEntryKeepsWhatWasWritten(t *testing.T) {
	data := `{"z":12345678901234567890,"a":"ñ \u00e9 <&>","f":1.0}`
	flat, err := ParseEntry("1-1", map[string]any{
		"event": "oferta_submitted", "data": data, "rooms": `["vip","user_1"]`, "event_id": "e1",
		"occurred_at": "2026-11-24T10:00:00Z", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "other": "x",
	})
	require.NoError(t, err)
	require.Equal(t, data, string(flat.Data))
	require.Equal(t, []string{"vip", "user_1"}, flat.Rooms)
	require.Equal(t, "e1", flat.EventID)
	require.Equal(t, time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC), flat.OccurredAt.UTC())
	require.NotEmpty(t, flat.TraceParent)

	packed, err := ParseEntry("1-1", map[string]any{"payload": `{"event":"oferta_submitted","data":` + data + `,"rooms":["vip","user_1"],"event_id":"e1"}`})
	require.NoError(t, err)
	require.Equal(t, data, string(packed.Data))
	require.Equal(t, flat.Rooms, packed.Rooms)
	require.Equal(t, "1-1", packed.ID)

	odd, err := ParseEntry("1-1", map[string]any{"event": "oferta_x", "data": `{}`, "occurred_at": "yesterday", "traceparent": "x"})
	require.NoError(t, err, "fields that only observe cost nothing")
	require.Zero(t, odd.OccurredAt)
	require.Empty(t, odd.TraceParent)
	require.Nil(t, odd.Rooms)
}

func TestParseEntryRejects(t *testing.T) {
	fields := func(pairs ...string) map[string]any {
		m := map[string]any{"event": "oferta_x", "data": `{}`}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	payload := func(p string) map[string]any { return map[string]any{"payload": p} }
	for name, tc := range map[string]struct {
		entry  map[string]any
		reason string
	}{
		"nothing":             {map[string]any{}, ReasonMalformed},
		"no text":             {map[string]any{"event": 7}, ReasonMalformed},
		"both forms":          {map[string]any{"event": "oferta_x", "data": "{}", "payload": "{}"}, ReasonMalformed},
		"unknown kind":        {fields("event", "pedido_x"), ReasonUnknownEvent},
		"no suffix":           {fields("event", "oferta_"), ReasonUnknownEvent},
		"upper case":          {fields("event", "oferta_X"), ReasonUnknownEvent},
		"long name":           {fields("event", "oferta_"+strings.Repeat("x", 65)), ReasonUnknownEvent},
		"array":               {fields("data", `[]`), ReasonBadData},
		"cut short":           {fields("data", `{"a":`), ReasonBadData},
		"not UTF-8":           {fields("data", "{\"a\":\"\xff\"}"), ReasonBadData},
		"too large":           {fields("data", `{"a":"`+strings.Repeat("x", MaxDataBytes)+`"}`), ReasonDataTooLarge},
		"rooms no list":       {fields("rooms", `"vip"`), ReasonBadRooms},
		"room no text":        {fields("rooms", `[1]`), ReasonBadRooms},
		"room null":           {fields("rooms", `[null]`), ReasonBadRooms},
		"room too long":       {fields("rooms", `["`+strings.Repeat("r", maxRoomBytes+1)+`"]`), ReasonBadRooms},
		"no rooms":            {fields("rooms", `[]`), ReasonNoRoute},
		"too many rooms":      {fields("rooms", `["a"`+strings.Repeat(`,"a"`, MaxRooms)+`]`), ReasonTooManyRooms},
		"long event_id":       {fields("event_id", strings.Repeat("x", 129)), ReasonBadEventID},
		"control in event_id": {fields("event_id", "a\nb"), ReasonBadEventID},
		"payload array":       {payload(`[]`), ReasonBadPayload},
		"payload cut short":   {payload(`{`), ReasonBadPayload},
		"payload type":        {payload(`{"event":1,"data":{}}`), ReasonBadPayload},
		"payload too large":   {payload(`{"event":"oferta_x","data":{},"x":"` + strings.Repeat("x", maxPayloadBytes) + `"}`), ReasonPayloadTooLarge},
		"payload data":        {payload(`{"event":"oferta_x","data":"{}"}`), ReasonBadData},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseEntry("1-1", tc.entry)
			var rejected *RejectError
			require.ErrorAs(t, err, &rejected)
			require.Equal(t, tc.reason, rejected.Reason)
			require.Contains(t, rejected.Error(), tc.reason)
		})
	}
	cause := errors.New("cause")
	require.ErrorIs(t, &RejectError{Reason: "r", Err: cause}, cause)
	require.Equal(t, "r", (&RejectError{Reason: "r"}).Error())
}

func TestPublisherRefusesWhatWouldBeADeadLetter(t *testing.T) {
	client := redistest.Start(t).Client()
	p := NewPublisher(client, "{teloo}")
	good := Event{
		Name: "notificacion_x", Data: []byte(`{"user_id":1}`), Rooms: []string{"vip"}, EventID: "e", OccurredAt: time.Now(),
		TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}
	ids, err := p.Publish(t.Context(), good, Event{Name: "oferta_x", Data: []byte(`{}`)})
	require.NoError(t, err)
	require.Len(t, ids, 2)
	entries, err := client.XRange(t.Context(), "{teloo}:events", ids[0], ids[0]).Result()
	require.NoError(t, err)
	back, err := ParseEntry(ids[0], entries[0].Values)
	require.NoError(t, err)
	require.Equal(t, good.Rooms, back.Rooms)
	require.Equal(t, good.TraceParent, back.TraceParent)

	for _, bad := range []Event{
		{Name: "x", Data: []byte(`{}`)},
		{Name: "oferta_x", Data: []byte(`[]`)},
		{Name: "oferta_x", Data: []byte(`{}`), TraceParent: "x"},
		{Name: "oferta_x", Data: []byte(`{}`), Rooms: []string{"\xff"}},
	} {
		_, err := p.Publish(t.Context(), good, bad)
		require.ErrorIs(t, err, ErrInvalidEvent)
	}
	require.Equal(t, int64(2), client.XLen(t.Context(), "{teloo}:events").Val(), "nothing of a refused call is written")
	require.NoError(t, client.Close())
	_, err = p.Publish(t.Context(), good)
	require.ErrorIs(t, err, redis.ErrClosed)
}

func TestConfigNamesEveryFault(t *testing.T) {
	err := Config{}.Validate()
	require.ErrorIs(t, err, ErrConfig)
	for _, field := range []string{"Prefix", "Group", "Consumer", "Batch", "BatchBytes", "LogMaxEntries", "MaxDeliveries", "Block", "StopTimeout"} {
		require.ErrorContains(t, err, field)
	}
	cfg := DefaultConfig()
	cfg.Consumer = "n:1"
	require.NoError(t, cfg.Validate())
	_, err = New(cfg, Deps{})
	require.ErrorIs(t, err, ErrConfig)
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
