package main

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func TestRevokeGrantAndWithdraw(t *testing.T) {
	server := redistest.Start(t)
	c, ctx := server.Client(), context.Background()
	run := func(args ...string) {
		t.Helper()
		r := gateway(t, []string{"REDIS_URL=redis://" + server.Addr(), "GRANT_TTL=1h"}, "", args...)
		require.Equal(t, exitOK, r.code, r.stderr)
		require.Empty(t, r.stdout)
		require.Contains(t, r.stderr, "done, on single "+server.Addr())
	}
	score := func(key, member string) time.Time {
		t.Helper()
		ms, err := c.ZScore(ctx, key, member).Result()
		require.NoError(t, err)
		return time.UnixMilli(int64(ms))
	}
	run("revoke", "--jti", "t1", "--expires", "2038-01-31T12:00:00Z")
	require.True(t, score("{teloo}:revoked", "jti:t1").Equal(time.Date(2038, 1, 31, 12, 0, 0, 0, time.UTC)))
	run("revoke", "--jti", "t2")
	require.WithinDuration(t, time.Now().Add(30*24*time.Hour), score("{teloo}:revoked", "jti:t2"), time.Minute)
	hourAgo := time.Now().Add(-time.Hour)
	run("revoke", "--user", "u1", "--before", hourAgo.In(time.FixedZone("", 3600)).Format(time.RFC3339))
	require.Equal(t, strconv.FormatInt(hourAgo.Unix(), 10), c.HGet(ctx, "{teloo}:revoked:before", "user:u1").Val())
	run("revoke", "--user", "u2")
	second, err := strconv.ParseInt(c.HGet(ctx, "{teloo}:revoked:before", "user:u2").Val(), 10, 64)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), time.Unix(second, 0), time.Minute)
	require.Equal(t, "4", c.Get(ctx, "{teloo}:revoked:version").Val())

	run("grant", "--solicitud", "S/1", "--user", "u1")
	require.WithinDuration(t, time.Now().Add(time.Hour), score("{teloo}:grants:S%2F1", "u1"), time.Minute)
	run("grant", "--solicitud", "S/1", "--user", "u2", "--ttl", "48h")
	require.WithinDuration(t, time.Now().Add(48*time.Hour), score("{teloo}:grants:S%2F1", "u2"), time.Minute)
	run("withdraw", "--solicitud", "S/1", "--user", "u1")
	require.Equal(t, []string{"u2"}, c.ZRange(ctx, "{teloo}:grants:S%2F1", 0, -1).Val())
	notices := c.XRange(ctx, "{teloo}:withdrawn", "-", "+").Val()
	require.Len(t, notices, 1)
	require.Equal(t, map[string]any{"solicitud": "S/1", "user": "u1"}, notices[0].Values)
}

func TestAccessFaults(t *testing.T) {
	server := redistest.Start(t)
	environ := []string{"REDIS_URL=redis://" + server.Addr()}
	for name, tc := range map[string]struct {
		environ []string
		args    []string
		code    int
		want    string
	}{
		"nothing":         {environ, []string{"revoke"}, exitFailure, "nothing to revoke"},
		"both":            {environ, []string{"revoke", "--jti", "t", "--user", "u"}, exitUsage, "can't be used together"},
		"expires":         {environ, []string{"revoke", "--user", "u", "--expires", "2038-01-31T12:00:00Z"}, exitFailure, "--expires goes with --jti"},
		"before":          {environ, []string{"revoke", "--jti", "t", "--before", "2038-01-31T12:00:00Z"}, exitFailure, "--before goes with --user"},
		"no time":         {environ, []string{"revoke", "--user", "u", "--before", "yesterday"}, exitUsage, "--before"},
		"bad id":          {environ, []string{"revoke", "--user", "a\nb"}, exitFailure, "user: want 1 to 128 bytes"},
		"no solicitud":    {environ, []string{"grant", "--user", "u"}, exitUsage, "--solicitud"},
		"bad solicitud":   {environ, []string{"grant", "--user", "u", "--solicitud", "\t"}, exitFailure, "solicitud: want 1 to 128 bytes"},
		"negative":        {environ, []string{"grant", "--user", "u", "--solicitud", "s", "--ttl=-1s"}, exitFailure, "not a grant"},
		"bad user":        {environ, []string{"withdraw", "--user", "\t", "--solicitud", "s"}, exitFailure, "user: want 1 to 128 bytes"},
		"no redis":        {[]string{"REDIS_PORT=1"}, []string{"withdraw", "--user", "u", "--solicitud", "s"}, exitFailure, "localhost:1"},
		"other variables": {append(environ, "PORT=x"), []string{"withdraw", "--user", "", "--solicitud", "s"}, exitFailure, "user: want"},
	} {
		t.Run(name, func(t *testing.T) {
			r := gateway(t, tc.environ, "", tc.args...)
			require.Equal(t, tc.code, r.code, r.stderr)
			require.Contains(t, r.stderr, tc.want)
		})
	}
	keys, err := server.Client().Keys(context.Background(), "*").Result()
	require.NoError(t, err)
	require.Empty(t, keys)
}
