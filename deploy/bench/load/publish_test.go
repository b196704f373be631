package load

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func TestRedisPublisherWritesAsTheContractSays(t *testing.T) {
	server := redistest.Start(t)
	ctx := context.Background()
	p, err := DialPublisher(ctx, server.Addr(), "{teloo}:events")
	require.NoError(t, err)
	defer p.Close()
	require.NoError(t, p.Publish(ctx, []Event{
		{Name: "notificacion_a", Data: []byte(`{"user_id":"u"}`)},
		{Name: "notificacion_b", Data: []byte(`{}`), Rooms: []string{`a"b`}, ID: "b-1"},
	}))
	got, err := server.Client().XRange(ctx, "{teloo}:events", "-", "+").Result()
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, map[string]any{"event": "notificacion_a", "data": `{"user_id":"u"}`}, got[0].Values)
	require.Equal(t, map[string]any{"event": "notificacion_b", "data": `{}`, "rooms": `["a\"b"]`, "event_id": "b-1"}, got[1].Values)
}

func TestRedisPublisherTellsOfARefusal(t *testing.T) {
	server := redistest.Start(t)
	ctx := context.Background()
	require.NoError(t, server.Client().Set(ctx, "s", "no stream", redis.KeepTTL).Err())
	p, err := DialPublisher(ctx, server.Addr(), "s")
	require.NoError(t, err)
	defer p.Close()
	require.ErrorContains(t, p.Publish(ctx, []Event{{Name: "e", Data: []byte(`{}`)}}), "WRONGTYPE")
}

// sink takes events as a server would that delivers at once.
type sink struct {
	n        atomic.Uint64
	most     int
	ids      map[string]bool // owned by the writer's goroutine
	progress chan struct{}
}

func (s *sink) Publish(_ context.Context, events []Event) error {
	s.most = max(s.most, len(events))
	for _, e := range events {
		if s.ids[e.ID] {
			return errors.New("an id twice: " + e.ID)
		}
		if s.ids == nil {
			s.ids = make(map[string]bool)
		}
		s.ids[e.ID] = true
	}
	s.n.Add(uint64(len(events)))
	select {
	case s.progress <- struct{}{}:
	default:
	}
	return nil
}

func none(uint64, time.Time) Event { return Event{} }

func TestWriterAtRate(t *testing.T) {
	s := &sink{}
	w := NewWriter(s, none)
	start := time.Now()
	require.NoError(t, w.AtRate(context.Background(), 5000, 100*time.Millisecond))
	require.EqualValues(t, 500, w.Written())
	require.EqualValues(t, 500, s.n.Load())
	require.GreaterOrEqual(t, time.Since(start), 99*time.Millisecond, "no faster than the rate")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(t, w.AtRate(ctx, 1, time.Hour))
}

func TestWriterKeepsTheWindow(t *testing.T) {
	s := &sink{progress: make(chan struct{}, 1)}
	w := NewWriter(s, none)
	win := Window{Events: 8, Fanout: 1, Delivered: s.n.Load, Progress: s.progress}
	require.NoError(t, w.Closed(context.Background(), win, 20*time.Millisecond))
	require.LessOrEqual(t, s.most, 8)
	require.Greater(t, w.Written(), uint64(8))
}

func TestWriterStopsWithItsPublisher(t *testing.T) {
	w := NewWriter(failing{}, none)
	require.ErrorIs(t, w.AtRate(context.Background(), 1000, time.Second), errFull)
}

var errFull = errors.New("full")

type failing struct{}

func (failing) Publish(context.Context, []Event) error { return errFull }
