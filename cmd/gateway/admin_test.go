package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/api/admin"
	"github.com/teloo/realtime-gateway/deploy/redistest"
	"github.com/teloo/realtime-gateway/node/auth"
)

const adminKey = "a-key-of-the-admin-api-with-32-bytes-or-more"

// fakeCluster is what the admin API acts on here.
type fakeCluster struct {
	mu    sync.Mutex
	calls []string // guarded by mu

	sockets []admin.Socket
	traced  admin.Trace
	err     error
}

func (f *fakeCluster) call(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	return f.err
}

func (f *fakeCluster) Publish(_ context.Context, fields map[string]string) (string, error) {
	return "7-1", f.call("publish %v", fields)
}

func (f *fakeCluster) Disconnect(_ context.Context, user string) (int, error) {
	return 3, f.call("disconnect %s", user)
}

func (f *fakeCluster) Sockets(_ context.Context, user string) ([]admin.Socket, error) {
	return f.sockets, f.call("sockets %s", user)
}

func (f *fakeCluster) RevokeToken(_ context.Context, jti string, expires time.Time) error {
	return f.call("revoke jti %s %d", jti, expires.Unix())
}

func (f *fakeCluster) RevokeUser(_ context.Context, user string) error {
	return f.call("revoke user %s", user)
}

func (f *fakeCluster) RevokeUserBefore(_ context.Context, user string, t time.Time) error {
	return f.call("revoke user %s %d", user, t.Unix())
}

func (f *fakeCluster) Grant(_ context.Context, solicitud, user string, ttl time.Duration) error {
	return f.call("grant %s %s %v", solicitud, user, ttl)
}

func (f *fakeCluster) Withdraw(_ context.Context, solicitud, user string) error {
	return f.call("withdraw %s %s", solicitud, user)
}

func (f *fakeCluster) Drain() { _ = f.call("drain") }

func (f *fakeCluster) Trace(_ context.Context, id string) (admin.Trace, error) {
	t := f.traced
	t.ID = id
	return t, f.call("trace %s", id)
}

// adminServer is the real API before a fake cluster, and the environment of somebody who has the key to it.
func adminServer(t *testing.T) (cluster *fakeCluster, server *httptest.Server, environ []string) {
	t.Helper()
	f := &fakeCluster{}
	handler, err := admin.New(admin.Config{Key: adminKey, Node: "gateway-7"}, admin.Deps{Publisher: f, Sockets: f, Revoker: f, Granter: f, Drainer: f, Tracer: f, Dead: deadLetters{}, LogLevels: f})
	require.NoError(t, err)
	server = httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return f, server, []string{"ADMIN_API_KEY=" + adminKey, "PORT=" + portOf(t, server)}
}

func portOf(t *testing.T, server *httptest.Server) string {
	t.Helper()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	return port
}

func TestAdminCommands(t *testing.T) {
	for _, tc := range []struct{ args, call, stdout string }{
		{"sockets C-3", "sockets C-3", "no sockets\n"},
		{"sockets C-3 --json", "sockets C-3", `{"sockets":[],"user":"C-3"}` + "\n"},
		{"disconnect C-3", "disconnect C-3", "closed 3 sockets of user C-3\n"},
		{"disconnect a/b?ñ#%2F", "disconnect a/b?ñ#%2F", "closed 3 sockets of user a/b?ñ#%2F\n"},
		{"disconnect ..", "disconnect ..", "closed 3 sockets of user ..\n"},
		{"revoke --jti 7f3a --exp 1767323045", "revoke jti 7f3a 1767323045", "revoked token 7f3a\n"},
		{"revoke --jti 7f3a --exp 2026-01-02T03:04:05Z", "revoke jti 7f3a 1767323045", "revoked token 7f3a\n"},
		{"revoke --user C-3", "revoke user C-3", "revoked the tokens of user C-3\n"},
		{"revoke --user C-3 --before 0", "revoke user C-3 0", "revoked the tokens of user C-3\n"},
		{"grant S-1 C-3", "grant S-1 C-3 0s", "granted solicitud S-1 to user C-3\n"},
		{"grant S-1 C-3 --ttl 2h", "grant S-1 C-3 2h0m0s", "granted solicitud S-1 to user C-3\n"},
		{"withdraw . ..", "withdraw . ..", "withdrew solicitud . from user ..\n"},
		{"publish --event oferta_x --data {\"solicitud_id\":12345678901234567890}", "publish map[data:{\"solicitud_id\":12345678901234567890} event:oferta_x]", "7-1\n"},
		{"publish --event oferta_x --rooms admin,user_A --event-id e1", "publish map[data:{} event:oferta_x event_id:e1 rooms:[\"admin\",\"user_A\"]]", "7-1\n"},
		{"drain", "drain", "node gateway-7 drains\n"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			cluster, _, environ := adminServer(t)
			r := gateway(t, environ, "", append([]string{"admin"}, strings.Fields(tc.args)...)...)
			require.Equal(t, exitOK, r.code, r.stderr)
			require.Equal(t, tc.stdout, r.stdout)
			require.Equal(t, []string{tc.call}, cluster.calls)
			require.NotContains(t, r.stderr, adminKey)
		})
	}
}

func TestAdminSocketsTable(t *testing.T) {
	cluster, server, environ := adminServer(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cluster.sockets = []admin.Socket{
		{ID: "s1", Node: "gateway-1", Role: "client", Transport: "websocket", Address: "203.0.113.9", ConnectedAt: at, TokenExpires: at.Add(time.Hour), Rooms: []string{"client", "user_C-3"}},
		{ID: "s2", Node: "gateway-2", ConnectedAt: at.Add(time.Second)},
	}
	// METRICS_PORT goes before PORT, --url before both.
	environ = append(environ, "PORT=1", "METRICS_PORT="+portOf(t, server))
	want := "" +
		"SOCKET  NODE       ROLE    TRANSPORT  ADDRESS      CONNECTED             TOKEN EXPIRES         ROOMS\n" +
		"s1      gateway-1  client  websocket  203.0.113.9  2026-01-02T03:04:05Z  2026-01-02T04:04:05Z  client,user_C-3\n" +
		"s2      gateway-2  -       -          -            2026-01-02T03:04:06Z  -                     -\n"
	r := gateway(t, environ, "", "admin", "sockets", "C-3")
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Equal(t, want, r.stdout)
	r = gateway(t, append(environ, "METRICS_PORT=2"), "", "admin", "sockets", "C-3", "--url", server.URL+"/")
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Equal(t, want, r.stdout)
}

func TestAdminFaults(t *testing.T) {
	cluster, server, environ := adminServer(t)
	for name, tc := range map[string]struct {
		environ []string
		args    string
		code    int
		want    string
	}{
		"no command":       {environ, "", exitUsage, "expected one of"},
		"no key":           {nil, "drain", exitFailure, "ADMIN_API_KEY: is not set"},
		"short key":        {[]string{"ADMIN_API_KEY=hush"}, "drain", exitFailure, "ADMIN_API_KEY: has 4 bytes"},
		"key as a flag":    {environ, "drain --key " + adminKey[:8], exitUsage, "unknown flag --key"},
		"no user":          {environ, "sockets", exitUsage, "<user>"},
		"empty solicitud":  {environ, "grant  u", exitFailure, "an id is empty"},
		"no revocation":    {environ, "revoke", exitUsage, "--jti"},
		"both":             {environ, "revoke --jti j --user u", exitUsage, "--jti and --user can't be used together"},
		"before of a jti":  {environ, "revoke --jti j --before 1", exitFailure, "HTTP 422, invalid: exp is of a jti, before of a user"},
		"no time":          {environ, "revoke --user u --before soon", exitFailure, "before is not of its type"},
		"fraction":         {environ, "grant s u --ttl 1m0.5s", exitFailure, "--ttl: 1m0.5s is not of whole seconds"},
		"short grant":      {environ, "grant s u --ttl 0s", exitFailure, "ttl_seconds is 0, want 60 to"},
		"data":             {environ, "publish --event oferta_x --data {", exitFailure, "--data: is not JSON"},
		"data no object":   {environ, "publish --event oferta_x --data []", exitFailure, "HTTP 422, invalid: data is not an object"},
		"url":              {environ, "drain --url 127.0.0.1:8003", exitFailure, "--url: is not like https://host:port"},
		"url with a user":  {environ, "drain --url http://u:hush@127.0.0.1", exitFailure, "--url: holds a user or password"},
		"url with a query": {environ, "drain --url http://127.0.0.1?key=x", exitFailure, "--url: has a query"},
		"nobody there":     {append(environ, "PORT=1"), "drain", exitFailure, "asking the admin API: "},
		"not the API":      {environ, "drain --url " + server.URL + "/elsewhere", exitFailure, "not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"admin"}
			if tc.args != "" {
				args = append(args, strings.Split(tc.args, " ")...)
			}
			r := gateway(t, tc.environ, "", args...)
			require.Equal(t, tc.code, r.code, r.stderr)
			require.Contains(t, r.stderr, tc.want)
			require.NotContains(t, r.stderr, adminKey)
			require.NotContains(t, r.stderr, "hush")
			require.Empty(t, r.stdout)
		})
	}
	require.Empty(t, cluster.calls)
}

func TestAdminSaysWhyItWasRefused(t *testing.T) {
	cluster, _, environ := adminServer(t)
	cluster.err = errors.Join(admin.ErrUnavailable, errors.New("redis hunter2"))
	for _, args := range []string{"sockets u", "disconnect u", "revoke --user u", "grant s u", "withdraw s u", "publish --event oferta_x"} {
		r := gateway(t, environ, "", append([]string{"admin"}, strings.Fields(args)...)...)
		require.Equal(t, exitFailure, r.code)
		require.Contains(t, r.stderr, "gateway: HTTP 503, unavailable: temporarily unavailable, try again; try again in 1 s\n")
	}
	wrong := slices.Concat(environ, []string{"ADMIN_API_KEY=" + strings.ToUpper(adminKey)})
	for range admin.DefaultConfig().MaxFailures {
		r := gateway(t, wrong, "", "admin", "drain")
		require.Equal(t, exitFailure, r.code)
		require.Contains(t, r.stderr, "HTTP 401, unauthorized: ")
	}
	r := gateway(t, wrong, "", "admin", "drain")
	require.Contains(t, r.stderr, "HTTP 429, rate_limited: too many wrong keys from this address; try again in ")
}

// TestAdminTrustsNobodyElse: what isn't the admin API gets no second request and is not quoted.
func TestAdminTrustsNobodyElse(t *testing.T) {
	var asked []string
	var answer func(http.ResponseWriter)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		answer(w)
	}))
	defer server.Close()
	for name, tc := range map[string]struct {
		answer func(http.ResponseWriter)
		args   string
		want   string
	}{
		"redirect": {func(w http.ResponseWriter) {
			w.Header().Set("Location", "/other")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, "drain", "HTTP 307, and not from the admin API"},
		"page": {func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = w.Write([]byte("<h1>oops</h1>"))
		}, "drain", "HTTP 502, and not from the admin API"},
		"no admin API":   {func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) }, "drain", "HTTP 404: no admin API there; it is on METRICS_PORT"},
		"a page with OK": {func(w http.ResponseWriter) { _, _ = w.Write([]byte("<h1>oops</h1>")) }, "drain", "the answer is not the admin API's"},
		"no list":        {func(w http.ResponseWriter) { _, _ = w.Write([]byte(`[1]`)) }, "sockets u", "the answer is no list of sockets"},
		"half an answer": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", strconv.Itoa(100))
			_, _ = w.Write([]byte(`{}`))
		}, "drain", "reading the answer"},
	} {
		t.Run(name, func(t *testing.T) {
			asked, answer = nil, tc.answer
			r := gateway(t, []string{"ADMIN_API_KEY=" + adminKey}, "", append([]string{"admin", "--url", server.URL}, strings.Fields(tc.args)...)...)
			require.Equal(t, exitFailure, r.code)
			require.Contains(t, r.stderr, tc.want)
			require.NotContains(t, r.stderr, "oops")
			require.Len(t, asked, 1)
		})
	}
}

func TestAdminWarnsOfAnUnencryptedKey(t *testing.T) {
	environ := []string{"ADMIN_API_KEY=" + adminKey}
	const warning = "the key travels unencrypted to "
	r := gateway(t, environ, "", "admin", "drain", "--timeout", "1ns", "--url", "http://gateway.invalid:9003")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "warning: "+warning+"gateway.invalid:9003\n")
	for _, url := range []string{"https://gateway.invalid", "http://localhost:1", "http://[::1]:1"} {
		r := gateway(t, environ, "", "admin", "drain", "--timeout", "1ns", "--url", url)
		require.Equal(t, exitFailure, r.code)
		require.NotContains(t, r.stderr, warning)
	}
}

// TestAdminRevokesInRedis: the node's revocations need no adapter, nor does what they report while Redis is away.
func TestAdminRevokesInRedis(t *testing.T) {
	store := redistest.Start(t)
	revocations, err := auth.NewRevocations(auth.DefaultRevocationsConfig(), store.Client(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	f := &fakeCluster{}
	handler, err := admin.New(admin.Config{Key: adminKey, Node: "n"}, admin.Deps{Publisher: f, Sockets: f, Revoker: revocations, Granter: f, Drainer: f, Tracer: f, Dead: deadLetters{}})
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	defer server.Close()
	environ := []string{"ADMIN_API_KEY=" + adminKey, "PORT=" + portOf(t, server)}

	exp, before := time.Now().Add(time.Hour).Unix(), strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)
	for _, args := range [][]string{{"--jti", "7f3a", "--exp", strconv.FormatInt(exp, 10)}, {"--user", "C-3", "--before", before}, {"--user", "C-4"}} {
		r := gateway(t, environ, "", append([]string{"admin", "revoke"}, args...)...)
		require.Equal(t, exitOK, r.code, r.stderr)
	}
	score, err := store.Client().ZScore(t.Context(), "{teloo}:revoked", "jti:7f3a").Result()
	require.NoError(t, err)
	require.InDelta(t, float64(exp*1000), score, 0)
	users, err := store.Client().HGetAll(t.Context(), "{teloo}:revoked:before").Result()
	require.NoError(t, err)
	require.Equal(t, before, users["user:C-3"])
	require.Contains(t, users, "user:C-4")

	store.Kill()
	r := gateway(t, environ, "", "admin", "revoke", "--user", "C-5")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "HTTP 503, unavailable")
}
