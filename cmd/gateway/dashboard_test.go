package main

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/api/dashboard"
	"github.com/teloo/realtime-gateway/streams"
)

// page asks for a path.
func page(t *testing.T, url string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(raw)
}

// TestTheOperatorsPageStandsWhereTheAdminAPIDoes: its sockets too.
func TestTheOperatorsPageStandsWhereTheAdminAPIDoes(t *testing.T) {
	const handshake = dashboard.Sockets + "?EIO=4&transport=polling"
	status := func(url string) int { s, _ := page(t, url); return s }
	there := func(base string) {
		t.Helper()
		require.Contains(t, []int{http.StatusOK, http.StatusServiceUnavailable}, status(base+dashboard.Path), "503: not built")
		code, hello := page(t, base+handshake)
		require.Equal(t, http.StatusOK, code)
		require.Contains(t, hello, `"pingInterval":5000`, "a server of its own")
	}
	away := func(base string) {
		t.Helper()
		for _, path := range []string{dashboard.Path, dashboard.Path + "/", dashboard.Path + "/assets/x.js", handshake} {
			require.Equal(t, http.StatusNotFound, status(base+path), path)
		}
	}
	t.Run("a port of its own", func(t *testing.T) {
		n := newObservedNode(t, func(cfg *Config) { cfg.MetricsPort, cfg.AdminAPIKey = 1, adminKey })
		there(n.operators)
		away(n.clients)
	})
	t.Run("the clients' port", func(t *testing.T) {
		n := newObservedNode(t, func(cfg *Config) { cfg.AdminAPIKey = adminKey })
		there(n.clients)
	})
	t.Run("no key", func(t *testing.T) {
		n := newObservedNode(t, withMetricsPort)
		away(n.clients)
		away(n.operators)
	})
}

func TestThePageIsToldWhatIs(t *testing.T) {
	n := newObservedNode(t, func(cfg *Config) { cfg.AdminAPIKey = adminKey })
	publisher := streams.NewPublisher(n.redis.Client(), n.cfg.RedisPrefix)
	_, err := publisher.Publish(t.Context(), streams.Event{Name: "notificacion_x", Data: json.RawMessage(`{"user_id":"u"}`)})
	require.NoError(t, err)
	for _, data := range []string{`{"nota":"no id"}`, `{"nota":"none either"}`} {
		_, err = publisher.Publish(t.Context(), streams.Event{Name: "solicitud_x", Data: json.RawMessage(data)})
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		f := n.ownFigures()
		return f.Events["notificacion"] == 1 && f.Dead["no_route"] == 2
	}, 20*time.Second, 10*time.Millisecond)
	f := n.ownFigures()
	require.Equal(t, "n1", f.Name)
	require.True(t, f.Ready, f.Reasons)
	require.NotZero(t, f.Started)
	require.Contains(t, f.Refused, "event.rate_limited")
	require.Contains(t, f.Refused, "closed.slow_consumer")
	c, err := n.clusterFigures(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, c.DeadLetters)
	require.NotZero(t, c.LogEnd)
	require.Equal(t, []dashboard.Member{{Name: "n1", Identity: n.identity, Version: buildVersion()}}, c.Members)
	require.Eventually(t, func() bool { return n.ownFigures().Position >= c.LogEnd }, 20*time.Second, 10*time.Millisecond)

	dead := shownLetters{streams.NewDeadLetters(n.commands, n.cfg.RedisPrefix)}
	list, next, err := dead.List(t.Context(), "", "", 1)
	require.NoError(t, err)
	require.NotEmpty(t, next)
	require.Equal(t, "solicitud_x", list[0].Event)
	older, _, err := dead.List(t.Context(), "", next, 5)
	require.NoError(t, err)
	require.Len(t, older, 1)
	letter, err := dead.Get(t.Context(), list[0].ID)
	require.NoError(t, err)
	require.Equal(t, "no_route", letter.Reason)
	require.Equal(t, dashboard.Field{Name: "data", Value: `{"nota":"none either"}`}, letter.Fields[1])
	require.NoError(t, dead.Drop(t.Context(), letter.ID))
	require.ErrorIs(t, dead.Drop(t.Context(), letter.ID), dashboard.ErrNoLetter)
	require.ErrorIs(t, dead.Replay(t.Context(), letter.ID), dashboard.ErrNoLetter)
	_, err = dead.Get(t.Context(), "no id")
	require.ErrorIs(t, err, dashboard.ErrNoLetter)
	require.NoError(t, dead.Replay(t.Context(), older[0].ID))
	require.Eventually(t, func() bool { return n.ownFigures().Dead["no_route"] == 3 }, 20*time.Second, 10*time.Millisecond, "it dies again")
}
