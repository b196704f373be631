package streams

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestWhereaboutsOfAnEvent(t *testing.T) {
	r := newRig(t)
	w := NewWhereabouts(DefaultConfig(), r.rdb)
	none, looked, err := w.Waiting(t.Context(), Quest{EventID: "e"})
	require.NoError(t, err)
	require.Nil(t, none)
	require.Equal(t, Looked{}, looked)

	unread := r.add("event", "oferta_x", "data", "{}", "event_id", "e", "occurred_at", "2026-01-02T03:04:05Z", "replayed_from", "7-7")
	one, _, err := w.Waiting(t.Context(), Quest{ID: unread})
	require.NoError(t, err)
	require.Equal(t, PlaceUnread, one.Place, "there is no group yet")
	r.group()
	packed := r.add("payload", `{"event":"oferta_y","event_id":"f","data":{}}`)
	for id, q := range map[string]Quest{unread: {EventID: "e"}, packed: {EventID: "f"}} {
		one, _, err := w.Waiting(t.Context(), q)
		require.NoError(t, err)
		require.Equal(t, id, one.ID)
		require.Equal(t, PlaceUnread, one.Place)
	}
	require.Equal(t, []string{unread}, r.ghostReads("ghost:1", 1))
	one, looked, err = w.Waiting(t.Context(), Quest{EventID: "e"})
	require.NoError(t, err)
	require.Equal(t, 2, looked.Entries)
	require.Equal(t, []any{PlacePending, "ghost:1", int64(1), "oferta_x", "7-7"},
		[]any{one.Place, one.Holder, one.Deliveries, one.Event.Name, one.Event.ReplayedFrom})
	require.True(t, one.Event.OccurredAt.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))

	require.NoError(t, r.rdb.XAck(t.Context(), r.keys.events, DefaultConfig().Group, unread).Err())
	one, _, err = w.Waiting(t.Context(), Quest{ID: unread})
	require.NoError(t, err)
	require.Equal(t, PlaceSettled, one.Place)
	bad := r.add("event", "nonsense")
	one, _, err = w.Waiting(t.Context(), Quest{ID: bad})
	require.NoError(t, err)
	require.ErrorContains(t, one.Fault, ReasonUnknownEvent)
}

func TestWhereaboutsOfTheDead(t *testing.T) {
	r := newRig(t)
	w := NewWhereabouts(DefaultConfig(), r.rdb)
	var letters []string
	for i := range 2*lookChunk + 7 {
		id, err := r.rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: r.keys.dead, Values: []string{
			"event", "oferta_x", "event_id", fmt.Sprintf("e%d", i), "data", "{}", "occurred_at", "2026-01-02T03:04:05Z",
			"dead_reason", "no_route", "dead_detail", "why", "dead_source_id", fmt.Sprintf("5-%d", i), "dead_node", "n:1",
			"dead_deliveries", "2", "dead_at", "2026-01-02T03:04:06Z", "replayed_from", "4-4",
		}}).Result()
		require.NoError(t, err)
		letters = append(letters, id)
	}
	want := Death{
		ID: letters[3], Reason: "no_route", Detail: "why", Source: "5-3", Node: "n:1", Deliveries: 2, Name: "oferta_x", EventID: "e3",
		ReplayedFrom: "4-4", At: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC), OccurredAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	for _, q := range []Quest{{EventID: "e3"}, {ID: "5-3"}, {ID: letters[3]}} {
		found, looked, err := w.Dead(t.Context(), q)
		require.NoError(t, err)
		require.Equal(t, []Death{want}, found)
		require.Equal(t, Looked{Entries: len(letters), Oldest: letters[0], Newest: letters[len(letters)-1]}, looked)
	}
}

// A relayed event's source is known by its event_id, and who wanted to know is told what became of it, once.
func TestSettledIsTold(t *testing.T) {
	r := newRig(t)
	outcomes := make(chan string, 10)
	r.start("a:1", func(_ *Config, d *Deps) {
		handle := d.Handle
		d.Handle = func(ev Event) (Relay, error) {
			relay, err := handle(ev)
			relay.Settled = func(o Outcome) { outcomes <- ev.ID + " " + string(o) }
			return relay, err
		}
	})
	first := r.add("event", "oferta_x", "data", "{}", "event_id", "e")
	require.Equal(t, first+" relayed", <-outcomes)
	second := r.add("event", "oferta_x", "data", "{}", "event_id", "e")
	require.Equal(t, second+" duplicate", <-outcomes)
	w := NewWhereabouts(DefaultConfig(), r.rdb)
	source, err := w.SourceOf(t.Context(), "e")
	require.NoError(t, err)
	require.Equal(t, first, source)
	source, err = w.SourceOf(t.Context(), "never")
	require.NoError(t, err)
	require.Empty(t, source)
}
