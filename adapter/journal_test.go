package adapter

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

// note adds a delivery to n sockets, whose serials begin at first, with frames of the same numbers.
func note(j *journal, ms uint64, first, n uint64) {
	for i := range min(n, mostRefs) {
		j.deliveries.take(i, first+i).fill(first+i, first+i)
	}
	j.deliveries.add(noted{
		id: streamID{ms: ms}, source: streamID{ms: ms, seq: 9}, at: int64(ms), sockets: uint32(n), kept: uint32(min(n, mostRefs)),
	})
}

func TestJournalForgetsTheOldest(t *testing.T) {
	j := newJournal(10)
	for ms := range uint64(25) {
		note(j, ms+1, 100*ms+1, 3)
	}
	for ms := range uint64(25) {
		found, receipts := j.deliveries.find(streamID{ms: ms + 1}, streamID{})
		if ms < 15 {
			require.Empty(t, found, ms)
			continue
		}
		require.Len(t, found, 1)
		require.EqualValues(t, 3, found[0].sockets)
		// Those of the oldest may be gone already: they are left out, never another's.
		if len(receipts) > 0 {
			require.Equal(t, []receipt{
				{100*ms + 1, 100*ms + 1, int64(ms + 1)}, {100*ms + 2, 100*ms + 2, int64(ms + 1)}, {100*ms + 3, 100*ms + 3, int64(ms + 1)},
			}, receipts)
		} else {
			require.Less(t, ms, uint64(19))
		}
		bySource, _ := j.deliveries.find(streamID{}, streamID{ms: ms + 1, seq: 9})
		require.Equal(t, found, bySource)
	}
	require.EqualValues(t, 16, j.deliveries.since().UnixMilli())
	require.Nil(t, newJournal(0))
}

func TestDeparturesForgetTheOldest(t *testing.T) {
	j := newJournal(3)
	for i := range uint64(5) {
		j.departures.add(departure{member: i, user: strconv.FormatUint(i, 10)})
	}
	found := j.departures.of(map[uint64]struct{}{0: {}, 1: {}, 2: {}, 4: {}})
	require.Len(t, found, 2)
	require.Equal(t, "2", found[2].user)
	require.Equal(t, "4", found[4].user)
}

func TestWhatBecameOfAFrame(t *testing.T) {
	written := &atomic.Uint64{}
	written.Store(5)
	gone := departure{user: "u", sid: "s", written: written, why: "slow_consumer", at: time.UnixMilli(7)}
	for frame, want := range map[uint64]string{
		5: StateWritten, 6: StateDropped, frameWaits: StateDropped, frameRefused: StateDropped, frameUncount: StateUnknown,
	} {
		got := gone.receiver(receipt{frame: frame})
		require.Equal(t, Receiver{User: "u", Socket: "s", State: want, Gone: time.UnixMilli(7), Why: "slow_consumer"}, got)
	}
	gone.written = nil
	require.Equal(t, StateUnknown, gone.receiver(receipt{frame: 5}).State)

	// A place that serves another by now is not written to.
	var place ref
	place.member.Store(2)
	place.fill(1, 77)
	require.Zero(t, place.frame.Load())
	place.fill(2, 78)
	place.fill(2, 79)
	require.EqualValues(t, 78, place.frame.Load())
}

func TestNotingAllocatesNothing(t *testing.T) {
	j := newJournal(1000)
	ms := uint64(0)
	require.Zero(t, testing.AllocsPerRun(1000, func() { ms++; note(j, ms, 1, 20) }))
}

// What an event's publisher says of it is in its entry, and found there by each of its ids, among many.
func TestFind(t *testing.T) {
	store := redistest.Start(t)
	n := startNode(t, store.Addr(), testConfig("n1"))
	client := store.Client()
	add := func(src string, b Broadcast) string {
		fields, err := EncodeBroadcast("n9:1", b)
		require.NoError(t, err)
		id, err := client.XAdd(t.Context(), &redis.XAddArgs{Stream: "{teloo}:log", Values: append(fields, fieldSrc, src)}).Result()
		require.NoError(t, err)
		return id
	}
	plain := Broadcast{Rooms: []string{"r"}, Event: "e", Args: []json.RawMessage{[]byte(`{"a":1}`)}}
	wanted := plain
	wanted.EventID, wanted.ReplayedFrom, wanted.TraceParent, wanted.OccurredAt = "id-1", "3-3", "00-x", time.UnixMilli(1234).UTC()
	source := fmt.Sprintf("%d-0", time.Now().UnixMilli())
	id := add(source, wanted)
	for range 2 * findChunk {
		add("1-1", plain)
	}
	for _, w := range []Wanted{{Source: source}, {EventID: "id-1"}, {ReplayedFrom: "3-3"}} {
		found, _, err := n.cluster.Find(t.Context(), w)
		require.NoError(t, err)
		require.Equal(t, &Found{
			ID: id, Source: source, EventID: "id-1", ReplayedFrom: "3-3", TraceParent: "00-x", Relay: "n9:1", OccurredAt: time.UnixMilli(1234).UTC(),
			Event: "e", Data: json.RawMessage(`{"a":1}`), Rooms: []string{"r"}, Except: []string{},
		}, found)
	}
	none, searched, err := n.cluster.Find(t.Context(), Wanted{EventID: "id-2"})
	require.NoError(t, err)
	require.Nil(t, none)
	require.Equal(t, Searched{Entries: 2*findChunk + 1, Oldest: id, Newest: searched.Newest}, searched)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, searched, err = n.cluster.Find(ended, Wanted{EventID: "id-1"})
	require.NoError(t, err)
	require.True(t, searched.Ended)

	fields, err := EncodeBroadcast("n9:1", plain)
	require.NoError(t, err)
	require.Len(t, fields, 8, "what is not known is not written")
}
