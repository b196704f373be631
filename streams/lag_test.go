package streams

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestLag(t *testing.T) {
	r := newRig(t)
	c := r.scripted()
	lag := func() Lag {
		t.Helper()
		l, err := c.Lag(t.Context())
		require.NoError(t, err)
		return l
	}
	empty := lag()
	require.WithinDuration(t, time.Now(), empty.At, time.Minute)
	empty.At = time.Time{}
	require.Equal(t, Lag{}, empty)

	ms := time.Now().Add(-time.Minute).UnixMilli()
	r.addAt(fmt.Sprintf("%d-1", ms), fmt.Sprintf("%d-1", ms+10_000), fmt.Sprintf("%d-1", ms+30_000))
	l := lag()
	require.Equal(t, int64(3), l.Undelivered, "without a group all are to come")
	require.InDelta(t, 60, l.Waiting.Seconds(), 5)

	r.group()
	r.ghostReads("a:1", 2)
	require.NoError(t, r.rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: r.keys.dead, Values: []string{"a", "b"}}).Err())
	l = lag()
	require.Equal(t, int64(3), l.Length)
	require.Equal(t, int64(1), l.Undelivered)
	require.InDelta(t, 30, l.Waiting.Seconds(), 5)
	require.Equal(t, int64(2), l.Pending)
	require.InDelta(t, 60, l.Oldest.Seconds(), 5)
	require.Equal(t, int64(1), l.Dead)

	r.ghostReads("a:1", 1)
	require.NoError(t, r.rdb.XAck(t.Context(), r.keys.events, "gateway", fmt.Sprintf("%d-1", ms)).Err())
	l = lag()
	require.Zero(t, l.Undelivered)
	require.Zero(t, l.Waiting)
	require.Equal(t, int64(2), l.Pending)
	require.InDelta(t, 50, l.Oldest.Seconds(), 5)
}

func TestLagReplyOfAnotherForm(t *testing.T) {
	for _, reply := range [][]any{nil, {int64(1)}, {int64(1), int64(1), nil, "", int64(1), "", int64(1)}} {
		_, err := parseLag(reply)
		require.ErrorIs(t, err, errLagReply)
	}
}

// TestTimings: what is relayed is told with its times, by kind, and nothing else is.
func TestTimings(t *testing.T) {
	r := newRig(t)
	var mu sync.Mutex
	var got []Timing // mu
	n := r.start("a:1", func(_ *Config, d *Deps) {
		d.Relayed = func(timing Timing) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, timing)
		}
	})
	before := time.Now()
	occurred := before.Add(-time.Hour).UTC().Truncate(time.Second)
	id := r.add("event", "oferta_x", "data", `{}`, "occurred_at", occurred.Format(time.RFC3339))
	r.add("event", "nobody_x", "data", `{}`)
	second := r.add("event", "notificacion_x", "data", `{}`)
	r.eventually("both are relayed", func() bool { return n.Stats().Relayed == 2 && len(n.Stats().Dead) == 1 })
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, got, 2)
	require.Equal(t, id, got[0].ID)
	require.Equal(t, second, got[1].ID)
	require.True(t, got[0].Occurred.Equal(occurred))
	require.True(t, got[1].Occurred.IsZero())
	require.WithinDuration(t, before, got[0].Added, time.Minute)
	require.Less(t, got[0].Waited, time.Minute)
	require.Equal(t, map[string]uint64{"solicitud": 0, "oferta": 1, "evaluacion": 0, "notificacion": 1}, n.Stats().RelayedByKind)
}
