package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errSecret = errors.New("dial tcp 10.1.2.3:6379: password is hunter2")

// bench is one server under test, with sources that a test changes.
type bench struct {
	cfg  Config
	src  Sources
	dist fs.FS
	logs bytes.Buffer
}

func newBench() *bench {
	cfg := DefaultConfig()
	cfg.Version, cfg.Node = "1.2.3", "gateway-1"
	return &bench{
		cfg: cfg,
		src: Sources{
			Stats: func(context.Context) (Stats, error) { return someStats, nil },
			Health: func(context.Context) Health {
				return Health{Redis: StateOK, Gossip: StateOK, Consumer: ConsumerConsuming}
			},
			Ready:  func() (bool, []string) { return true, nil },
			Uptime: func() time.Duration { return 90*time.Second + 1500*time.Microsecond },
		},
		dist: fstest.MapFS{
			"index.html":         {Data: []byte("<!doctype html><title>demo</title>")},
			"assets/main-abc.js": {Data: []byte("export {}")},
			"assets/licenses.md": {Data: []byte("MIT")},
		},
	}
}

func (b *bench) handler() http.Handler {
	return newServer(b.cfg, b.src, slog.New(slog.NewTextHandler(&b.logs, nil)), b.dist).handler()
}

func get(h http.Handler, path string, headers ...string) *httptest.ResponseRecorder {
	return do(h, http.MethodGet, path, "", headers...)
}

func do(h http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "localhost:8003"
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestNewServesWithoutAnySource(t *testing.T) {
	h := New(Config{Node: "n"}, Sources{}, slog.New(slog.DiscardHandler))
	require.Equal(t, http.StatusOK, get(h, "/").Code)
	require.Equal(t, http.StatusOK, get(h, "/health/live").Code)
	for _, path := range []string{"/health", "/health/ready", "/stats"} {
		require.Equal(t, http.StatusServiceUnavailable, get(h, path).Code, path)
	}
}

func TestIndexNamesTheNode(t *testing.T) {
	b := newBench()
	w := get(b.handler(), "/")
	require.Equal(t, http.StatusOK, w.Code)
	require.JSONEq(t, `{"name":"teloo-realtime-gateway","version":"1.2.3","node":"gateway-1","uptime":90.001,"links":{
		"health":"/health","live":"/health/live","ready":"/health/ready","stats":"/stats","socket.io":"/socket.io/"}}`, w.Body.String())

	b.cfg.Dev = true
	require.Contains(t, get(b.handler(), "/").Body.String(), `"demo":"/demo"`)
}

func TestHealthSaysWhichFaultsEndService(t *testing.T) {
	for _, c := range []struct {
		health Health
		code   int
		status string
	}{
		{Health{StateOK, StateOK, ConsumerConsuming}, 200, StatusOK},
		{Health{StateOK, StateOff, ConsumerConsuming}, 200, StatusOK},
		{Health{StateOK, StateDown, ConsumerConsuming}, 200, StatusDegraded},
		{Health{StateOK, StateOK, ConsumerWaiting}, 200, StatusDegraded},
		{Health{StateOK, StateOK, ConsumerStopped}, 503, StatusDown},
		{Health{StateDown, StateOK, ConsumerWaiting}, 503, StatusDown},
		{Health{}, 503, StatusDown},
	} {
		b := newBench()
		b.src.Health = func(context.Context) Health { return c.health }
		w := get(b.handler(), "/health")
		require.Equal(t, c.code, w.Code, "%+v", c.health)
		want, err := json.Marshal(map[string]string{
			"status": c.status, "redis": c.health.Redis, "gossip": c.health.Gossip, "consumer": c.health.Consumer, "version": "1.2.3",
		})
		require.NoError(t, err)
		require.JSONEq(t, string(want), w.Body.String())
		require.Regexp(t, `^\{"status":.*"redis":.*"gossip":.*"consumer":.*"version":`, w.Body.String())
	}
}

func TestHealthSurvivesAPanickingSource(t *testing.T) {
	b := newBench()
	b.src.Health = func(context.Context) Health { panic(errSecret) }
	w := get(b.handler(), "/health")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.JSONEq(t, `{"status":"down","redis":"unknown","gossip":"unknown","consumer":"unknown","version":"1.2.3"}`, w.Body.String())
}

func TestLiveAndReady(t *testing.T) {
	b := newBench()
	b.src.Health = func(context.Context) Health { return Health{Redis: StateDown} }
	w := get(b.handler(), "/health/live")
	require.Equal(t, http.StatusOK, w.Code)
	require.JSONEq(t, `{"live":true}`, w.Body.String())

	w = get(b.handler(), "/health/ready")
	require.Equal(t, http.StatusOK, w.Code)
	require.JSONEq(t, `{"ready":true}`, w.Body.String())

	b.src.Ready = func() (bool, []string) { return false, []string{"redis", "draining"} }
	w = get(b.handler(), "/health/ready")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.JSONEq(t, `{"ready":false,"reasons":["redis","draining"]}`, w.Body.String())
}

func TestWrongPathsAndMethodsAreJSON(t *testing.T) {
	b := newBench()
	h := b.handler()
	for _, path := range []string{"/nothing", "/health/", "/stats/x", "/demo", "/demo/", "/demo/token", "/demo/publish", "/demo/assets/main-abc.js"} {
		w := get(h, path)
		require.Equal(t, http.StatusNotFound, w.Code, path)
		require.JSONEq(t, `{"error":{"code":"not_found","message":"no such path"}}`, w.Body.String(), path)
	}
	w := do(h, http.MethodPost, "/stats", "{}")
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
	require.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
	require.JSONEq(t, `{"error":{"code":"method_not_allowed","message":"method not allowed"}}`, w.Body.String())
	require.Equal(t, http.StatusOK, do(h, http.MethodHead, "/stats", "").Code)
}

func TestEveryAnswerCarriesTheSecurityHeaders(t *testing.T) {
	h := newBench().handler()
	for _, path := range []string{"/", "/health", "/stats", "/nothing"} {
		head := get(h, path).Header()
		require.Equal(t, "nosniff", head.Get("X-Content-Type-Options"), path)
		require.Equal(t, "DENY", head.Get("X-Frame-Options"), path)
		require.Equal(t, "no-referrer", head.Get("Referrer-Policy"), path)
		require.Equal(t, "no-store", head.Get("Cache-Control"), path)
		require.Contains(t, head.Get("Content-Security-Policy"), "default-src 'none'", path)
		require.Equal(t, "application/json; charset=utf-8", head.Get("Content-Type"), path)
	}
}

func TestCORSLetsOnlyTheListedOriginsRead(t *testing.T) {
	b := newBench()
	b.cfg.Origins = []string{"https://app.teloo.com/", "http://localhost:3000"}
	h := b.handler()
	for origin, want := range map[string]string{
		"https://app.teloo.com": "https://app.teloo.com",
		"http://localhost:3000": "http://localhost:3000",
		"https://evil.example":  "",
		"null":                  "",
		"":                      "",
	} {
		w := get(h, "/stats", "Origin", origin)
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, want, w.Header().Get("Access-Control-Allow-Origin"), origin)
		require.Equal(t, "Origin", w.Header().Get("Vary"))
		require.Empty(t, w.Header().Get("Access-Control-Allow-Credentials"))
	}

	w := do(h, http.MethodOptions, "/stats", "", "Origin", "https://app.teloo.com", "Access-Control-Request-Method", "GET")
	require.Equal(t, http.StatusNoContent, w.Code)
	require.Equal(t, "GET, HEAD", w.Header().Get("Access-Control-Allow-Methods"))
	w = do(h, http.MethodOptions, "/stats", "", "Origin", "https://evil.example")
	require.Equal(t, http.StatusNoContent, w.Code)
	require.Empty(t, w.Header().Get("Access-Control-Allow-Methods"))

	b.cfg.Origins = []string{"*"}
	w = get(b.handler(), "/stats", "Origin", "https://anybody.example")
	require.Equal(t, "*", w.Header().Get("Access-Control-Allow-Origin"))
	require.Empty(t, w.Header().Get("Vary"))
}

func TestAPanicCostsOneRequestAndSaysNothing(t *testing.T) {
	b := newBench()
	b.src.Ready = func() (bool, []string) { panic(errSecret) }
	w := get(b.handler(), "/health/ready")
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.JSONEq(t, `{"error":{"code":"internal","message":"internal error"}}`, w.Body.String())
	require.Contains(t, b.logs.String(), "hunter2")

	b.src.Ready = func() (bool, []string) { panic(http.ErrAbortHandler) }
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { get(b.handler(), "/health/ready") })
}

func TestEveryErrorHasOneAnswer(t *testing.T) {
	for _, c := range []struct {
		err     error
		status  int
		message string
	}{
		{errNotFound, 404, errNotFound.Error()},
		{errMethod, 405, errMethod.Error()},
		{errForeign, 403, errForeign.Error()},
		{errMediaType, 415, errMediaType.Error()},
		{&http.MaxBytesError{Limit: 5}, 413, "body is too large"},
		{errors.Join(ErrInvalid, errors.New("no room")), 400, "invalid request\nno room"},
		{errors.Join(ErrUnavailable, errSecret), 503, "temporarily unavailable, try again"},
		{context.DeadlineExceeded, 503, "temporarily unavailable, try again"},
		{errSecret, 500, "internal error"},
	} {
		p := problemOf(c.err)
		require.Equal(t, c.status, p.status, "%v", c.err)
		require.Equal(t, c.message, p.message)
		require.Regexp(t, `^[a-z_]+$`, p.code)
	}
}

func TestUnencodableAnswerIsAnError(t *testing.T) {
	w := httptest.NewRecorder()
	require.ErrorContains(t, writeJSON(w, http.StatusOK, func() {}), "encode answer")
	require.Empty(t, w.Body.String())
}

func TestPathsInTheLogAreClipped(t *testing.T) {
	require.Len(t, clip(strings.Repeat("a", 500)), 128)
	require.Equal(t, "/a", clip("/a\xff"))
}

func TestValidateNamesEveryFault(t *testing.T) {
	good := DefaultConfig()
	good.Node, good.Origins = "gateway-1", []string{"*", "https://app.teloo.com", "http://localhost:3000/"}
	require.NoError(t, good.Validate())

	bad := Config{
		Node: strings.Repeat("n", 129), Version: "1", CacheFor: time.Second, ReadTimeout: -1, PublishTimeout: time.Hour, MaxBody: 5,
		Origins: []string{"app.teloo.com", "ftp://x", "https://x/path", "https://u:p@x", "https://x?q", ""},
	}
	err := bad.Validate()
	for _, part := range []string{
		"Name has 0 bytes", "Node has 129 bytes", "CacheFor", "ReadTimeout", "PublishTimeout", "MaxBody",
		`"app.teloo.com"`, `"ftp://x"`, `"https://x/path"`, `"https://u:p@x"`, `"https://x?q"`, `origin ""`,
	} {
		require.ErrorContains(t, err, part)
	}
	require.Error(t, Config{}.Validate())
}
