package streams

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// unitPipes counts the pipelines that a client sends.
type unitPipes struct {
	redis.Hook

	sent atomic.Int64
}

func (p *unitPipes) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (p *unitPipes) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (p *unitPipes) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if cmds[0].Name() == "xadd" { // a new connection greets in a pipeline as well
			p.sent.Add(1)
		}
		return next(ctx, cmds)
	}
}

func TestPublishWritesWhatTheGatewayReads(t *testing.T) {
	client := redistest.Start(t).Client()
	p := NewPublisher(client, "{other}")
	sent := []Event{
		{Name: "oferta_made", Data: json.RawMessage(` {"z":12345678901234567890,"a":"ñ\u00e9"}`)},
		{
			Name: "notificacion_x", Data: json.RawMessage(`{}`), Rooms: []string{`"quoted" <é>`, "b"}, EventID: "e1",
			OccurredAt:  time.Date(2026, 11, 24, 10, 0, 0, 123456789, time.UTC),
			TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		},
	}
	ids, err := p.Publish(t.Context(), sent...)
	require.NoError(t, err)
	entries, err := client.XRange(t.Context(), "{other}:events", "-", "+").Result()
	require.NoError(t, err)
	require.Len(t, entries, len(sent))
	for i, entry := range entries {
		got, err := ParseEntry(entry.ID, entry.Values)
		require.NoError(t, err)
		sent[i].ID = ids[i]
		require.Equal(t, sent[i], got)
	}
	require.Equal(t, map[string]any{"event": "oferta_made", "data": string(sent[0].Data)}, entries[0].Values, "absent fields are not written")
}

func TestPublishIsOnePipelineInOrder(t *testing.T) {
	client := redistest.Start(t).Client()
	pipes := &unitPipes{}
	client.AddHook(pipes)
	p := NewPublisher(client, "{teloo}")
	events := make([]Event, 500)
	for i := range events {
		events[i] = Event{Name: "oferta_x", Data: json.RawMessage(`{"n":` + strconv.Itoa(i) + `}`)}
	}
	ids, err := p.Publish(t.Context(), events...)
	require.NoError(t, err)
	require.Equal(t, int64(1), pipes.sent.Load())
	entries, err := client.XRange(t.Context(), "{teloo}:events", "-", "+").Result()
	require.NoError(t, err)
	require.Len(t, entries, len(events))
	for i, entry := range entries {
		require.Equal(t, ids[i], entry.ID)
		require.Equal(t, string(events[i].Data), entry.Values["data"])
	}

	ids, err = p.Publish(t.Context())
	require.NoError(t, err)
	require.Empty(t, ids)
	require.Equal(t, int64(1), pipes.sent.Load(), "nothing to send")
}

func TestPublishNamesTheInvalidEvent(t *testing.T) {
	client := redistest.Start(t).Client()
	p := NewPublisher(client, "{teloo}")
	good := Event{Name: "oferta_x", Data: json.RawMessage(`{}`)}
	for _, tc := range []struct {
		reason string
		bad    Event
	}{
		{ReasonUnknownEvent, Event{Name: "oferta", Data: good.Data}},
		{ReasonBadData, Event{Name: good.Name}},
		{ReasonDataTooLarge, Event{Name: good.Name, Data: make(json.RawMessage, MaxDataBytes+1)}},
		{ReasonNoRoute, Event{Name: good.Name, Data: good.Data, Rooms: []string{}}},
		{ReasonTooManyRooms, Event{Name: good.Name, Data: good.Data, Rooms: make([]string, MaxRooms+1)}},
		{ReasonBadRooms, Event{Name: good.Name, Data: good.Data, Rooms: []string{""}}},
		{ReasonBadEventID, Event{Name: good.Name, Data: good.Data, EventID: "a\x00"}},
		{"traceparent or occurred_at", Event{Name: good.Name, Data: good.Data, OccurredAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}},
		{ReasonUnknownEvent, Event{Name: "x", Data: good.Data}},
		{ReasonBadData, Event{Name: good.Name, Data: json.RawMessage(`[]`)}},
		{"traceparent or occurred_at", Event{Name: good.Name, Data: good.Data, TraceParent: "x"}},
		{`room "\xff"`, Event{Name: good.Name, Data: good.Data, Rooms: []string{"\xff"}}},
	} {
		reason, bad := tc.reason, tc.bad
		ids, err := p.Publish(t.Context(), good, bad)
		require.ErrorIs(t, err, ErrInvalidEvent, reason)
		require.ErrorContains(t, err, "event 1", reason)
		require.ErrorContains(t, err, reason)
		require.Empty(t, ids)
	}
	require.Zero(t, client.Exists(t.Context(), "{teloo}:events").Val())
}

func TestPublishLeavesIDsOfRefusedEventsEmpty(t *testing.T) {
	client := redistest.Start(t).Client()
	p := NewPublisher(client, "{teloo}")
	require.NoError(t, client.Set(t.Context(), "{teloo}:events", "no stream", 0).Err())
	events := make([]Event, 7)
	for i := range events {
		events[i] = Event{Name: "oferta_x", Data: json.RawMessage(`{}`)}
	}
	ids, err := p.Publish(t.Context(), events...)
	require.ErrorContains(t, err, "WRONGTYPE")
	require.NotErrorIs(t, err, ErrInvalidEvent)
	require.Equal(t, make([]string, len(events)), ids)
	require.ErrorContains(t, err, "event 4")
	require.NotContains(t, err.Error(), "event 5", "a few tell enough")

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	ids, err = p.Publish(ended, events[0])
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, []string{""}, ids)

	require.NoError(t, client.Close())
	_, err = p.Publish(t.Context(), events[0])
	require.ErrorIs(t, err, redis.ErrClosed)
}

func TestPublishWaitsForReplicas(t *testing.T) {
	for _, clustered := range []bool{false, true} {
		t.Run(fmt.Sprintf("cluster %v", clustered), func(t *testing.T) {
			server := redistest.Start(t, "--repl-diskless-sync-delay", "0")
			var client redis.UniversalClient = server.Client()
			if clustered {
				server = redistest.Start(t, "--cluster-enabled", "yes")
				require.NoError(t, server.Client().Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err())
				cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{server.Addr()}, MaxRetries: -1, MaxRedirects: -1})
				t.Cleanup(func() { _ = cluster.Close() })
				client = cluster
				require.Eventually(t, func() bool { return client.Exists(t.Context(), "{teloo}:events").Err() == nil }, 20*time.Second, 10*time.Millisecond)
			}
			event := Event{Name: "oferta_made", Data: json.RawMessage(`{}`)}
			p := NewPublisher(client, "{teloo}").Replicated(1, 50*time.Millisecond)
			ids, err := p.Publish(t.Context(), event, event)
			require.ErrorIs(t, err, ErrNotReplicated)
			require.NotContains(t, ids, "")
			require.EqualValues(t, 2, client.XLen(t.Context(), "{teloo}:events").Val())
			if clustered {
				return
			}
			redistest.StartReplica(t, server.Addr())
			ids, err = NewPublisher(client, "{teloo}").Replicated(1, 2*time.Second).Publish(t.Context(), event)
			require.NoError(t, err)
			require.Len(t, ids, 1)
		})
	}
}
