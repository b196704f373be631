package api

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var someStats = Stats{
	ConnectedUsers: 6, AdminsConnected: 1, AdvisorsConnected: 2, ClientsConnected: 3, Connections: 9,
	Nodes: []NodeStats{{Name: "gateway-1", Connections: 9, Version: "1.2.3", LastHeartbeat: time.Date(2026, 11, 24, 8, 0, 0, 5e8, time.UTC)}},
	AsOf:  time.Date(2026, 11, 24, 8, 0, 1, 123_456_789, time.FixedZone("COT", -5*3600)),
}

const someStatsJSON = `{"connected_users":6,"admins_connected":1,"advisors_connected":2,"clients_connected":3,"connections":9,` +
	`"nodes":[{"name":"gateway-1","connections":9,"version":"1.2.3","last_heartbeat":"2026-11-24T08:00:00.5Z"}],` +
	`"as_of":"2026-11-24T13:00:01.123Z"`

func TestStatsKeysStandInTheContractsOrder(t *testing.T) {
	w := get(newBench().handler(), "/stats")
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, someStatsJSON+"}\n", w.Body.String())
}

func TestStatsWithoutNodesIsAnEmptyListAndAsOfNow(t *testing.T) {
	b := newBench()
	b.src.Stats = func(context.Context) (Stats, error) { return Stats{}, nil }
	body := get(b.handler(), "/stats").Body.String()
	require.Contains(t, body, `"nodes":[]`)
	require.Contains(t, body, `"as_of":"`+time.Now().UTC().Format("2006-"))
}

func TestStatsAnswersTheLastKnownFiguresWhileRedisIsAway(t *testing.T) {
	b := newBench()
	b.cfg.CacheFor = time.Nanosecond // each request reads
	down := true
	b.src.Stats = func(context.Context) (Stats, error) {
		if down {
			return Stats{}, errSecret
		}
		return someStats, nil
	}
	h := b.handler()
	w := get(h, "/stats")
	require.Equal(t, http.StatusServiceUnavailable, w.Code, "nothing is known yet")
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	require.NotContains(t, w.Body.String(), "hunter2")

	down = false
	require.Equal(t, someStatsJSON+"}\n", get(h, "/stats").Body.String())
	down = true
	for range 3 {
		w = get(h, "/stats")
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, someStatsJSON+`,"stale":true}`+"\n", w.Body.String())
	}
	down = false
	require.NotContains(t, get(h, "/stats").Body.String(), "stale")
	require.Equal(t, 2, strings.Count(b.logs.String(), "figures cannot be read"), "one line for each outage")
	require.Equal(t, 2, strings.Count(b.logs.String(), "figures can be read again"))
}

func TestStatsOfAPanickingSourceAreUnavailable(t *testing.T) {
	b := newBench()
	b.src.Stats = func(context.Context) (Stats, error) { panic("no") }
	require.Equal(t, http.StatusServiceUnavailable, get(b.handler(), "/stats").Code)
}

func TestStatsOutsideRFC3339AreAnError(t *testing.T) {
	b := newBench()
	b.src.Stats = func(context.Context) (Stats, error) {
		return Stats{AsOf: time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC)}, nil
	}
	require.Equal(t, http.StatusServiceUnavailable, get(b.handler(), "/stats").Code)
}

func TestHammeredStatsReadsOnceForAll(t *testing.T) {
	b := newBench()
	var reads atomic.Int64
	started, release := make(chan struct{}), make(chan struct{})
	b.cfg.ReadTimeout = 30 * time.Second
	b.src.Stats = func(context.Context) (Stats, error) {
		if reads.Add(1) == 1 {
			close(started)
		}
		<-release
		return someStats, nil
	}
	h := b.handler()
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			w := get(h, "/stats")
			if w.Code != http.StatusOK || !strings.HasPrefix(w.Body.String(), someStatsJSON) {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
		})
	}
	<-started
	close(release)
	all.Wait()
	// Requests that were scheduled later than CacheFor after the first read are entitled to a reading of their own.
	require.Less(t, reads.Load(), int64(20))
}

func TestSharedKeepsAReadingForAsLongAsItIsTrue(t *testing.T) {
	reads := 0
	s := &shared[int]{timeout: time.Minute, keep: time.Hour, read: func(context.Context) (int, error) {
		reads++
		return reads, nil
	}}
	for range 5 {
		v, err := s.get(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, v)
	}
	s.current.started = s.current.started.Add(-time.Hour)
	v, err := s.get(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, v)
}

func TestSharedReadingOutlivesTheRequestThatBeganIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := &shared[bool]{timeout: time.Minute, keep: time.Hour, read: func(ctx context.Context) (bool, error) {
		_, bounded := ctx.Deadline()
		return bounded, ctx.Err()
	}}
	bounded, err := s.get(ctx)
	require.NoError(t, err)
	require.True(t, bounded)
}

func TestSharedFollowersWaitNoLongerThanTheTimeout(t *testing.T) {
	reading, release := make(chan struct{}), make(chan struct{})
	s := &shared[int]{timeout: 20 * time.Millisecond, keep: time.Hour, read: func(context.Context) (int, error) {
		close(reading)
		<-release // a source that ignores its context
		return 7, nil
	}}
	led := make(chan int)
	go func() {
		v, _ := s.get(context.Background())
		led <- v
	}()
	<-reading
	_, err := s.get(t.Context())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	close(release)
	require.Equal(t, 7, <-led)
}
