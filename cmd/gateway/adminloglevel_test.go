package main

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/api/admin"
)

var levelEnds = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func (f *fakeCluster) LogLevel() admin.LogLevel {
	_ = f.call("log level")
	return admin.LogLevel{Level: slog.LevelWarn, Configured: slog.LevelInfo}
}

func (f *fakeCluster) SetLogLevel(to slog.Level, lasting time.Duration) admin.LogLevel {
	_ = f.call("log level %v %v", to, lasting)
	now := admin.LogLevel{Level: to, Configured: slog.LevelInfo}
	if lasting > 0 {
		now.Until = levelEnds
	}
	return now
}

func TestAdminLogLevel(t *testing.T) {
	for _, tc := range []struct{ args, call, stdout string }{
		{"", "log level", "warn (configured: info)\n"},
		{"debug", "log level DEBUG 0s", "debug (configured: info)\n"},
		{"error --for 10m", "log level ERROR 10m0s", "error until 2026-01-02T03:04:05Z (configured: info)\n"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			cluster, _, environ := adminServer(t)
			r := gateway(t, environ, "", append([]string{"admin", "log-level"}, strings.Fields(tc.args)...)...)
			require.Equal(t, exitOK, r.code, r.stderr)
			require.Equal(t, tc.stdout, r.stdout)
			require.Equal(t, []string{tc.call}, cluster.calls)
		})
	}
}

func TestAdminLogLevelFaults(t *testing.T) {
	cluster, _, environ := adminServer(t)
	for _, tc := range []struct {
		args string
		code int
		want string
	}{
		{"verbose", exitFailure, "HTTP 422, invalid: level is not debug, info, warn or error"},
		{"debug --for 25h", exitFailure, "HTTP 422, invalid: for is not a duration of 1s to 24h"},
		{"debug --for 10ms", exitFailure, "HTTP 422, invalid: for is not a duration of 1s to 24h"},
		{"debug --for soon", exitUsage, "--for"},
		{"--for 10m", exitFailure, "--for: wants a level"},
	} {
		r := gateway(t, environ, "", append([]string{"admin", "log-level"}, strings.Fields(tc.args)...)...)
		require.Equal(t, tc.code, r.code, r.stderr)
		require.Contains(t, r.stderr, tc.want)
		require.Empty(t, r.stdout)
	}
	require.Empty(t, cluster.calls)
}

// TestLogLevelOfTheAdminAPI: what is answered is what holds, and an end that is due no longer is not answered.
func TestLogLevelOfTheAdminAPI(t *testing.T) {
	require.Nil(t, (&parts{}).logLevels(), "not an interface that holds nil")
	synctest.Test(t, func(t *testing.T) {
		p := &parts{level: newLogLevel(slog.LevelWarn), log: slog.New(slog.DiscardHandler)}
		l := p.logLevels()
		require.Equal(t, admin.LogLevel{Level: slog.LevelWarn, Configured: slog.LevelWarn}, l.LogLevel())
		want := admin.LogLevel{Level: slog.LevelDebug, Configured: slog.LevelWarn, Until: time.Now().Add(time.Minute).UTC().Truncate(time.Second)}
		require.Equal(t, want, l.SetLogLevel(slog.LevelDebug, time.Minute))
		require.Equal(t, want, l.LogLevel())
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, admin.LogLevel{Level: slog.LevelWarn, Configured: slog.LevelWarn}, l.LogLevel())
		l.SetLogLevel(slog.LevelDebug, time.Minute)
		require.Equal(t, admin.LogLevel{Level: slog.LevelInfo, Configured: slog.LevelWarn}, l.SetLogLevel(slog.LevelInfo, 0))
	})
}
