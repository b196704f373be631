package streams

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func TestAppendingIsFencedByTheLease(t *testing.T) {
	rdb, ctx := redistest.Start(t).Client(), t.Context()
	p := NewPublisher(rdb, "{teloo}")
	const lease = "{teloo}:lease"
	some := []Payload{{Channel: "a", JSON: `{"event":"oferta_x","data":{}}`}, {Channel: "b", JSON: "anything"}}
	_, err := p.AppendFenced(ctx, lease, "n1#1", some)
	require.ErrorIs(t, err, ErrNotHeld)
	require.NoError(t, rdb.Set(ctx, lease, "n1#1", 0).Err())
	n, err := p.AppendFenced(ctx, lease, "n1#1", some)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.NoError(t, rdb.Set(ctx, lease, "n1#2", 0).Err())
	_, err = p.AppendFenced(ctx, lease, "n1#1", some)
	require.ErrorIs(t, err, ErrNotHeld)
	entries, err := rdb.XRange(ctx, "{teloo}:events", "-", "+").Result()
	require.NoError(t, err)
	require.Len(t, entries, 2)
	require.Equal(t, map[string]any{"payload": some[0].JSON, "channel": "a"}, entries[0].Values)
	ev, err := ParseEntry(entries[0].ID, entries[0].Values)
	require.NoError(t, err)
	require.Equal(t, "oferta_x", ev.Name)
	_, err = ParseEntry(entries[1].ID, entries[1].Values)
	require.Error(t, err)
	// What Redis refuses is not counted.
	require.NoError(t, rdb.Set(ctx, "{teloo}:events", "x", 0).Err())
	n, err = p.AppendFenced(ctx, lease, "n1#2", some)
	require.ErrorContains(t, err, "WRONGTYPE")
	require.Zero(t, n)
}
