package adapter

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// fat appends n entries of a kilobyte each, from 1-1 on, and one more as the log's end.
func fat(t *testing.T, c *redis.Client, n int) {
	t.Helper()
	text, err := json.Marshal(strings.Repeat("x", 1000))
	require.NoError(t, err)
	fields, err := EncodeBroadcast("core:1", Broadcast{Event: "e", Rooms: []string{"r"}, Args: []json.RawMessage{text}})
	require.NoError(t, err)
	pipe := c.Pipeline()
	for i := range n {
		pipe.XAdd(context.Background(), &redis.XAddArgs{Stream: logKey, ID: fmt.Sprint("1-", i+1), Values: fields})
	}
	_, err = pipe.Exec(context.Background())
	require.NoError(t, err)
}

func TestTheRingIsFilledNoFurtherThanItsBytes(t *testing.T) {
	server := redistest.Start(t)
	fat(t, server.Client(), 2000)
	cfg := testConfig("a:1")
	cfg.ReadCount, cfg.RingMaxBytes = 50, 100_000
	l := openLobby(t, server.Addr(), cfg)
	require.Less(t, calls(t, server.Client(), "xrevrange"), 5, "100 kB are two pages")
	l.cluster.deliverMu.Lock()
	defer l.cluster.deliverMu.Unlock()
	require.Greater(t, l.cluster.ring.bytes, 90_000)
	require.LessOrEqual(t, l.cluster.ring.bytes, 100_000)
	require.Equal(t, streamID{ms: 1, seq: 2000}, l.cluster.ring.all.last().id)
}

func TestOlderEntriesAreReadNoFurtherThanTheRingsBytes(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	fat(t, server.Client(), 4*historyPage)
	cfg := testConfig("a:1")
	cfg.RingMaxBytes = 1 << 20
	l := prepareLobby(t, server.Addr(), cfg)
	defer l.http.Close()
	h := &l.cluster.history
	end := streamID{ms: 1, seq: 4 * historyPage}
	h.forget(end)
	before := calls(t, server.Client(), "xrevrange")
	_, err := h.backTo(ctx, streamID{ms: 1, seq: 1}, end)
	require.ErrorIs(t, err, errUncovered)
	require.Equal(t, before+1, calls(t, server.Client(), "xrevrange"), "the first page is too much already")
	q := question{nsp: "/", after: streamID{ms: 1, seq: 1}, limit: 10_000}
	_, err = h.missed(ctx, q, end)
	require.ErrorIs(t, err, errUncovered)
	require.Equal(t, before+1, calls(t, server.Client(), "xrevrange"), "and that is remembered")
	near := end
	near.seq -= 500
	q.after, q.rooms = near, map[string]streamID{"r": {}}
	found, err := h.missed(ctx, q, end)
	require.NoError(t, err)
	require.Len(t, found, 500)
}
