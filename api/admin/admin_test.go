package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	goodKey  = "correct-horse-battery-staple-0123456789"
	wrongKey = "incorrect-horse-battery-staple-01234567"
)

var errSecret = errors.New("redis: AUTH hunter2 failed")

// gateway is what the API acts on, as a test sees it.
type gateway struct {
	mu    sync.Mutex
	calls []string          // guarded by mu
	event map[string]string // guarded by mu: the last one published

	sockets []Socket
	traced  Trace
	err     error         // what every call returns
	does    func() error  // called by each, if not nil
	waits   chan struct{} // a call waits for it or for its context, if not nil
}

func (g *gateway) call(ctx context.Context, format string, args ...any) error {
	g.mu.Lock()
	g.calls = append(g.calls, fmt.Sprintf(format, args...))
	g.mu.Unlock()
	if g.does != nil {
		return g.does()
	}
	if g.waits != nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting: %w", ctx.Err())
		case <-g.waits:
		case <-time.After(10 * time.Second):
			return errors.New("nobody ended it")
		}
	}
	return g.err
}

func (g *gateway) Publish(ctx context.Context, fields map[string]string) (string, error) {
	g.mu.Lock()
	g.event = fields
	g.mu.Unlock()
	return "1-1", g.call(ctx, "publish %s", fields["event"])
}

func (g *gateway) Disconnect(ctx context.Context, user string) (int, error) {
	return 2, g.call(ctx, "disconnect %s", user)
}

func (g *gateway) Sockets(ctx context.Context, user string) ([]Socket, error) {
	return g.sockets, g.call(ctx, "sockets %s", user)
}

func (g *gateway) RevokeToken(ctx context.Context, jti string, expires time.Time) error {
	if expires.IsZero() {
		return g.call(ctx, "revoke token %s", jti)
	}
	return g.call(ctx, "revoke token %s %d", jti, expires.Unix())
}

func (g *gateway) RevokeUser(ctx context.Context, user string) error {
	return g.call(ctx, "revoke user %s", user)
}

func (g *gateway) RevokeUserBefore(ctx context.Context, user string, t time.Time) error {
	return g.call(ctx, "revoke user %s %d", user, t.Unix())
}

func (g *gateway) Grant(ctx context.Context, solicitud, user string, ttl time.Duration) error {
	return g.call(ctx, "grant %s %s %v", solicitud, user, ttl)
}

func (g *gateway) Withdraw(ctx context.Context, solicitud, user string) error {
	return g.call(ctx, "withdraw %s %s", solicitud, user)
}

func (g *gateway) Trace(ctx context.Context, id string) (Trace, error) {
	t := g.traced
	t.ID = id
	if t.Verdict == "" {
		t.Verdict, t.Searched = VerdictNotFound, []TraceSearch{{Where: "log", Complete: true}}
	}
	return t, g.call(ctx, "trace %s", id)
}

func (g *gateway) Drain() { _ = g.call(context.Background(), "drain") }

func (g *gateway) called() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.calls...)
}

var (
	_ Publisher = (*gateway)(nil)
	_ Sockets   = (*gateway)(nil)
	_ Revoker   = (*gateway)(nil)
	_ Granter   = (*gateway)(nil)
	_ Drainer   = (*gateway)(nil)
	_ Tracer    = (*gateway)(nil)
)

// bench is one API under test. What it answers is held against the document.
type bench struct {
	t *testing.T
	*gateway
	cfg  Config
	deps Deps
	logs bytes.Buffer
	api  http.Handler // made at the first request
}

func newBench(t *testing.T) *bench {
	g := &gateway{}
	b := &bench{t: t, gateway: g, cfg: Config{Key: goodKey, Node: "gateway-1"}}
	b.deps = Deps{
		Publisher: g, Sockets: g, Revoker: g, Granter: g, Drainer: g, Tracer: g, Dead: g, LogLevels: g,
		Log: slog.New(slog.NewTextHandler(&b.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	t.Cleanup(func() {
		require.NotContains(t, b.logs.String(), "horse", "no key in the log")
	})
	return b
}

func (b *bench) handler() http.Handler {
	if b.api == nil {
		api, err := New(b.cfg, b.deps)
		require.NoError(b.t, err)
		b.api = api
	}
	return b.api
}

// do sends a request with the key; headers replace those it would have, an empty one by none.
func (b *bench) do(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+goodKey)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		switch {
		case headers[i] == "RemoteAddr":
			r.RemoteAddr = headers[i+1]
		case headers[i+1] == "":
			r.Header.Del(headers[i])
		default:
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	b.handler().ServeHTTP(w, r)
	checkAnswer(b.t, r, w)
	require.NotContains(b.t, w.Body.String()+fmt.Sprint(w.Header()), "horse", "no key in an answer")
	require.NotContains(b.t, w.Body.String(), "hunter2", "no detail in an answer")
	return w
}

// refused checks an answer that is a problem.
func refused(t *testing.T, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	require.Equal(t, status, w.Code, w.Body.String())
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	require.Contains(t, w.Body.String(), `"code":"`+code+`"`)
	require.Contains(t, w.Body.String(), fmt.Sprintf(`"status":%d`, status))
}

func TestNewNamesEveryFault(t *testing.T) {
	_, err := New(Config{}, Deps{Publisher: (*gateway)(nil)})
	for _, want := range []string{"Key has 0 bytes", "Node has 0 bytes", "no Publisher", "no Sockets", "no Revoker", "no Granter", "no Drainer", "no Tracer"} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "Timeout", "which has a default")
}

func TestValidate(t *testing.T) {
	good := Config{Key: goodKey, Node: "n"}.withDefaults()
	require.NoError(t, good.Validate())
	for want, spoil := range map[string]func(*Config){
		"Key has 31 bytes":        func(c *Config) { c.Key = goodKey[:31] },
		"Key has 1025 bytes":      func(c *Config) { c.Key = strings.Repeat("horse", 205) },
		"visible ASCII":           func(c *Config) { c.Key = "horse " + goodKey },
		"which a header":          func(c *Config) { c.Key = "hörse" + goodKey },
		"Node has 129 bytes":      func(c *Config) { c.Node = strings.Repeat("n", 129) },
		"Timeout is 1ms":          func(c *Config) { c.Timeout = time.Millisecond },
		"Timeout is 2m0s":         func(c *Config) { c.Timeout = 2 * time.Minute },
		"MaxBody is 1023":         func(c *Config) { c.MaxBody = 1023 },
		"MaxBody is 1048577":      func(c *Config) { c.MaxBody = 1<<20 + 1 },
		"MaxFailures is -1":       func(c *Config) { c.MaxFailures = -1 },
		"MaxFailures is 1001":     func(c *Config) { c.MaxFailures = 1001 },
		"MaxAddresses is 15":      func(c *Config) { c.MaxAddresses = 15 },
		"MaxAddresses is 1000001": func(c *Config) { c.MaxAddresses = 1_000_001 },
	} {
		c := good
		spoil(&c)
		err := c.Validate()
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "rse", "the key is not shown")
	}
}

func TestNoOneWithoutTheKey(t *testing.T) {
	b := newBench(t)
	b.cfg.MaxFailures = 1000
	for _, tc := range []struct{ name, header, value, challenge string }{
		{"none", "Authorization", "", `Bearer realm="admin"`},
		{"empty", "Authorization", "Bearer ", `Bearer realm="admin"`},
		{"other scheme", "Authorization", "Basic " + goodKey, `Bearer realm="admin"`},
		{"no scheme", "Authorization", goodKey, `Bearer realm="admin"`},
		{"wrong", "Authorization", "Bearer " + wrongKey, `Bearer realm="admin", error="invalid_token"`},
		{"prefix", "Authorization", "Bearer " + goodKey[:38], `Bearer realm="admin", error="invalid_token"`},
		{"longer", "Authorization", "Bearer " + goodKey + "0", `Bearer realm="admin", error="invalid_token"`},
		{"other case", "Authorization", "Bearer " + strings.ToUpper(goodKey), `Bearer realm="admin", error="invalid_token"`},
		{"long", "Authorization", "Bearer " + strings.Repeat("k", 100_000), `Bearer realm="admin", error="invalid_token"`},
		{"in a list", "Authorization", "Bearer x," + goodKey, `Bearer realm="admin", error="invalid_token"`},
	} {
		for _, route := range append((&server{}).routes(), route{http.MethodGet, "/admin/nowhere", nil}, route{http.MethodPatch, "/admin/drain", nil}) {
			w := b.do(route.method, fill(route.path), "", tc.header, tc.value)
			refused(t, w, http.StatusUnauthorized, "unauthorized")
			require.Equal(t, tc.challenge, w.Header().Get("WWW-Authenticate"), tc.name)
		}
	}
	refused(t, b.do(http.MethodPost, "/admin/drain", "", "Authorization", "", "X-API-Key", wrongKey), http.StatusUnauthorized, "unauthorized")
	refused(t, b.do(http.MethodPost, "/admin/drain?key="+goodKey, "", "Authorization", ""), http.StatusUnauthorized, "unauthorized")
	require.Empty(t, b.called())
	require.Contains(t, b.logs.String(), "admin key refused")
	require.Contains(t, b.logs.String(), "address=192.0.2.1")
}

func TestTheKeyMayComeInEitherHeader(t *testing.T) {
	b := newBench(t)
	for _, headers := range [][]string{
		nil,
		{"Authorization", "bearer   " + goodKey},
		{"Authorization", "", "X-API-Key", goodKey},
		{"Authorization", "Basic dTpw", "X-API-Key", goodKey}, // a proxy's own
	} {
		require.Equal(t, http.StatusAccepted, b.do(http.MethodPost, "/admin/drain", "", headers...).Code)
	}
}

// fill puts an id for each parameter of a path.
func fill(path string) string {
	return strings.NewReplacer("{user}", "C-3", "{solicitud}", "S-1", "{event}", "C-3", "{letter}", "1-1").Replace(path)
}

func TestWrongKeysAreLimitedByAddress(t *testing.T) {
	b := newBench(t)
	b.cfg.MaxFailures = 3
	now := time.Now()
	b.handler()
	try := func(addr, key string) *httptest.ResponseRecorder {
		return b.do(http.MethodGet, "/admin/users/u/sockets", "", "RemoteAddr", addr, "Authorization", "Bearer "+key)
	}
	for range 3 {
		refused(t, try("192.0.2.7:1", wrongKey), http.StatusUnauthorized, "unauthorized")
	}
	for _, key := range []string{wrongKey, goodKey} {
		w := try("192.0.2.7:2", key)
		refused(t, w, http.StatusTooManyRequests, "rate_limited")
		require.Equal(t, "20", w.Header().Get("Retry-After"))
	}
	require.Equal(t, http.StatusOK, try("192.0.2.8:1", goodKey).Code, "others are not concerned")
	refused(t, b.do(http.MethodGet, "/admin/users/u/sockets", "", "RemoteAddr", "192.0.2.7:3", "Authorization", ""), http.StatusUnauthorized, "unauthorized")
	require.Len(t, b.called(), 1)
	require.Equal(t, 3, strings.Count(b.logs.String(), "admin key refused"), "the log is limited as well")
	require.WithinDuration(t, now, time.Now(), 15*time.Second, "the bucket has not filled meanwhile")
}

func TestClientAddrDecidesWhoCounts(t *testing.T) {
	b := newBench(t)
	b.cfg.MaxFailures = 1
	b.deps.ClientAddr = func(r *http.Request) netip.Addr { return netip.MustParseAddr(r.Header.Get("X-Real")) }
	for _, addr := range []string{"192.0.2.1", "192.0.2.2"} {
		refused(t, b.do(http.MethodPost, "/admin/drain", "", "Authorization", "Bearer "+wrongKey, "X-Real", addr), http.StatusUnauthorized, "unauthorized")
		refused(t, b.do(http.MethodPost, "/admin/drain", "", "X-Real", addr), http.StatusTooManyRequests, "rate_limited")
	}
}
