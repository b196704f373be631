package admin

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var levelEnds = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func (g *gateway) LogLevel() LogLevel {
	_ = g.call(context.Background(), "log level")
	return LogLevel{Level: slog.LevelWarn, Configured: slog.LevelInfo + 2}
}

func (g *gateway) SetLogLevel(to slog.Level, lasting time.Duration) LogLevel {
	_ = g.call(context.Background(), "log level %v %v", to, lasting)
	now := LogLevel{Level: to, Configured: slog.LevelInfo}
	if lasting > 0 {
		now.Until = levelEnds
	}
	return now
}

var _ LogLevels = (*gateway)(nil)

func TestLogLevel(t *testing.T) {
	b := newBench(t)
	w := b.do(http.MethodGet, "/admin/log-level", "")
	require.Equal(t, http.StatusOK, w.Code)
	require.JSONEq(t, `{"level":"warn","configured":"info+2"}`, w.Body.String())
	require.Empty(t, b.logs.String(), "looking changes nothing")

	for _, tc := range []struct{ body, call, answer, log string }{
		{`{"level":"debug"}`, "log level DEBUG 0s", `{"level":"debug","configured":"info"}`, "level=INFO msg=\"admin action\" component=admin action=log-level target=node:gateway-1 address=192.0.2.1 to=DEBUG lasting=0s"},
		{`{"level":"debug","for":"1s"}`, "log level DEBUG 1s", `{"level":"debug","configured":"info","until":"2026-01-02T03:04:05Z"}`, "lasting=1s"},
		{`{"level":"warn","for":"24h"}`, "log level WARN 24h0m0s", `{"level":"warn","configured":"info","until":"2026-01-02T03:04:05Z"}`, "level=WARN"},
		{`{"level":"error","for":"1h1m1.5s"}`, "log level ERROR 1h1m1.5s", `{"level":"error","configured":"info","until":"2026-01-02T03:04:05Z"}`, "level=ERROR"},
	} {
		t.Run(tc.body, func(t *testing.T) {
			b := newBench(t)
			w := b.do(http.MethodPut, "/admin/log-level", tc.body)
			require.Equal(t, http.StatusOK, w.Code, w.Body)
			require.Equal(t, []string{tc.call}, b.called())
			require.JSONEq(t, tc.answer, w.Body.String())
			require.Contains(t, b.logs.String(), tc.log)
			require.NoError(t, loadSpec(t).valid(t, requestSchema(t, http.MethodPut, "/admin/log-level"), tc.body), "what is accepted is described")
		})
	}
}

func TestLogLevelRefused(t *testing.T) {
	for _, tc := range []struct {
		body   string
		status int
		code   string
	}{
		{"", 415, "unsupported_media_type"},
		{`"debug"`, 400, "malformed"},
		{`{}`, 422, "invalid"},
		{`{"for":"10m"}`, 422, "invalid"},
		{`{"level":""}`, 422, "invalid"},
		{`{"level":"DEBUG"}`, 422, "invalid"},
		{`{"level":"debug+1"}`, 422, "invalid"},
		{`{"level":"trace"}`, 422, "invalid"},
		{`{"level":-4}`, 422, "invalid"},
		{`{"level":null}`, 422, "invalid"},
		{`{"level":"debug","for":""}`, 422, "invalid"},
		{`{"level":"debug","for":"0s"}`, 422, "invalid"},
		{`{"level":"debug","for":"999ms"}`, 422, "invalid"},
		{`{"level":"debug","for":"-1m"}`, 422, "invalid"},
		{`{"level":"debug","for":"24h0m1s"}`, 422, "invalid"},
		{`{"level":"debug","for":"1d"}`, 422, "invalid"},
		{`{"level":"debug","for":"10"}`, 422, "invalid"},
		{`{"level":"debug","for":600}`, 422, "invalid"},
		{`{"level":"debug","for":null}`, 422, "invalid"},
		{`{"level":"debug","node":"other"}`, 422, "invalid"},
	} {
		t.Run(tc.body, func(t *testing.T) {
			b := newBench(t)
			refused(t, b.do(http.MethodPut, "/admin/log-level", tc.body), tc.status, tc.code)
			require.Empty(t, b.called())
			require.Empty(t, b.logs.String())
		})
	}
}

func TestLogLevelThatCannotBeChanged(t *testing.T) {
	b := newBench(t)
	b.deps.LogLevels = nil
	refused(t, b.do(http.MethodGet, "/admin/log-level", ""), http.StatusNotFound, "not_found")
	refused(t, b.do(http.MethodPut, "/admin/log-level", `{"level":"debug"}`), http.StatusNotFound, "not_found")
}
