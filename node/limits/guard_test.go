package limits

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// spent is a Budget that has nothing to spare for a time; 0: it has.
type spent time.Duration

func (s spent) Ready() (time.Duration, bool) { return time.Duration(s), s == 0 }

// guarded is a guard of a handler that counts its requests and answers 204.
func guarded(t testing.TB, cfg Config, with GuardConfig) (l *Limits, h http.Handler, served *int) {
	t.Helper()
	l, served = mustNew(t, cfg), new(int)
	if with.Log == nil {
		with.Log = discard()
	}
	return l, l.Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		*served++
		w.WriteHeader(http.StatusNoContent)
	}), with), served
}

func request(query string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/socket.io/?"+query, nil)
	r.RemoteAddr = "203.0.113.9:4711"
	return r
}

func ask(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func oneHandshake() Config {
	cfg := DefaultConfig()
	cfg.HandshakeRate, cfg.HandshakeBurst = 0.4, 1
	return cfg
}

func TestGuardOverTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, h, served := guarded(t, oneHandshake(), GuardConfig{})
		require.Equal(t, http.StatusNoContent, ask(h, request("EIO=4&transport=polling")).Code)
		for _, query := range []string{"EIO=4&transport=polling", "EIO=4&transport=websocket", "sid=", "", "%73id=&sid=x", "a;b&sid=x", "sid=%zz"} {
			w := ask(h, request(query))
			require.Equal(t, http.StatusTooManyRequests, w.Code, query)
			require.Equal(t, "3", w.Header().Get("Retry-After"), "2.5 s, rounded up")
			require.Equal(t, "application/json", w.Header().Get("Content-Type"))
			require.JSONEq(t, `{"code":"rate_limited","message":"too many connects from your address, try again later"}`, w.Body.String())
		}
		require.EqualValues(t, 7, l.Stats().HandshakesRefused)
		for _, query := range []string{"EIO=4&transport=polling&sid=x", "sid=x", "%73id=x", "sid=x&sid="} {
			require.Equal(t, http.StatusNoContent, ask(h, request(query)).Code, query)
		}
		preflight := request("EIO=4&transport=polling")
		preflight.Method = http.MethodOptions
		require.Equal(t, http.StatusNoContent, ask(h, preflight).Code)
		require.Equal(t, 6, *served)
		other := request("")
		other.RemoteAddr = "203.0.113.10:1"
		require.Equal(t, http.StatusNoContent, ask(h, other).Code, "another address has its own")
		time.Sleep(3 * time.Second)
		require.Equal(t, http.StatusNoContent, ask(h, request("")).Code, "Retry-After was right")
	})
}

func TestGuardOverTheBudget(t *testing.T) {
	l, h, served := guarded(t, oneHandshake(), GuardConfig{Budget: spent(90 * time.Second)})
	for range 3 {
		w := ask(h, request("EIO=4&transport=polling"))
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Equal(t, "90", w.Header().Get("Retry-After"))
		require.JSONEq(t, `{"code":"rate_limited","message":"too many connects at the moment, try again later"}`, w.Body.String())
	}
	require.Equal(t, http.StatusNoContent, ask(h, request("sid=x")).Code)
	require.Equal(t, 1, *served)
	require.EqualValues(t, 3, l.Stats().BudgetRefused)
	require.Zero(t, l.Stats().Addresses, "it costs the address nothing")
	_, h, _ = guarded(t, oneHandshake(), GuardConfig{Budget: spent(0)})
	require.Equal(t, http.StatusNoContent, ask(h, request("")).Code)
}

// A client that makes up X-Forwarded-For, and each of an IPv6 customer's addresses, is still one.
func TestGuardIsNotFooled(t *testing.T) {
	forward := func(peer string, xff ...string) *http.Request {
		r := request("")
		r.RemoteAddr, r.Header = peer, http.Header{"X-Forwarded-For": xff}
		return r
	}
	trusting := oneHandshake()
	trusting.TrustedProxies = proxies(t, "10.0.0.0/8")
	for name, tc := range map[string]struct {
		cfg    Config
		first  *http.Request
		second *http.Request
		same   bool
	}{
		"nobody is trusted":      {oneHandshake(), forward("203.0.113.9:1", "1.1.1.1"), forward("203.0.113.9:2", "2.2.2.2"), true},
		"not the peer":           {trusting, forward("203.0.113.9:1", "1.1.1.1"), forward("203.0.113.9:2", "2.2.2.2"), true},
		"made up before a proxy": {trusting, forward("10.0.0.1:1", "1.1.1.1, 203.0.113.9"), forward("10.0.0.2:1", "2.2.2.2", "203.0.113.9"), true},
		"one /64":                {oneHandshake(), forward("[2001:db8::1]:1"), forward("[2001:db8::2]:1"), true},
		"two /64":                {oneHandshake(), forward("[2001:db8::1]:1"), forward("[2001:db8:0:1::1]:1"), false},
		"two behind a proxy":     {trusting, forward("10.0.0.1:1", "1.1.1.1"), forward("10.0.0.1:1", "2.2.2.2"), false},
	} {
		t.Run(name, func(t *testing.T) {
			_, h, _ := guarded(t, tc.cfg, GuardConfig{})
			require.Equal(t, http.StatusNoContent, ask(h, tc.first).Code)
			want := http.StatusNoContent
			if tc.same {
				want = http.StatusTooManyRequests
			}
			require.Equal(t, want, ask(h, tc.second).Code)
		})
	}
}

func TestGuardAndOrigins(t *testing.T) {
	_, h, served := guarded(t, oneHandshake(), GuardConfig{
		AllowOrigin: func(r *http.Request) bool { return r.Header.Get("Origin") != "https://evil.example" },
	})
	page := func(origin string) *httptest.ResponseRecorder {
		r := request("")
		r.Header.Set("Origin", origin)
		return ask(h, r)
	}
	for range 3 {
		page("https://evil.example")
	}
	require.Equal(t, 3, *served, "a hostile page is refused behind the guard, and its visitor loses nothing")
	require.Equal(t, http.StatusNoContent, page("https://app.example").Code)
	w := page("https://app.example")
	require.Equal(t, http.StatusTooManyRequests, w.Code)
	require.Equal(t, "https://app.example", w.Header().Get("Access-Control-Allow-Origin"))
	require.Equal(t, "true", w.Header().Get("Access-Control-Allow-Credentials"))
	require.Equal(t, "Retry-After", w.Header().Get("Access-Control-Expose-Headers"))
	require.Equal(t, "Origin", w.Header().Get("Vary"))
	w = ask(h, request(""))
	require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
}

// Without it nobody would know why a cluster behind a proxy takes few clients.
func TestGuardWarnsOfAProxyThatIsNotTrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		_, h, _ := guarded(t, oneHandshake(), GuardConfig{Log: slog.New(slog.NewTextHandler(&out, nil))})
		for range 10 {
			ask(h, request(""))
		}
		require.Empty(t, out.String(), "refusals are not logged")
		r := request("")
		r.Header.Set("X-Forwarded-For", "198.51.100.1")
		for range 10 {
			ask(h, r)
		}
		require.Equal(t, 1, strings.Count(out.String(), "level=WARN"))
		require.Contains(t, out.String(), "address=203.0.113.9")
		require.NotContains(t, out.String(), "198.51.100.1")
		for range 4 {
			time.Sleep(40 * time.Second)
			ask(h, r)
			ask(h, r)
		}
		require.Equal(t, 3, strings.Count(out.String(), "level=WARN"), "at most once a minute")
	})
}

func FuzzHasSession(f *testing.F) {
	for _, seed := range []string{"EIO=4&sid=x", "sid=", "%73id=&sid=x", "sid=&sid=x", "a;sid=x", "sid", "&&sid=+", "xsid=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		require.Equal(t, err == nil && values.Has("sid") && values.Get("sid") != "", hasSession(query))
	})
}

// nowhere is a ResponseWriter that is used again and again.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}

var _ io.Writer = nowhere{}

// BenchmarkRefused says what the guard's part of a refused handshake costs.
func BenchmarkRefused(b *testing.B) {
	trusting := oneHandshake()
	trusting.HandshakeRate = 0.02
	trusting.TrustedProxies = proxies(b, "loopback,private")
	for name, tc := range map[string]struct {
		budget Budget
		change func(*http.Request)
	}{
		"direct": {nil, func(*http.Request) {}},
		"budget": {spent(time.Second), func(*http.Request) {}},
		"proxied": {nil, func(r *http.Request) {
			r.RemoteAddr = "10.0.0.1:1"
			r.Header.Set("X-Forwarded-For", "1.1.1.1, 203.0.113.9")
		}},
		"origin": {nil, func(r *http.Request) { r.Header.Set("Origin", "https://app.example") }},
	} {
		b.Run(name, func(b *testing.B) {
			_, h, _ := guarded(b, trusting, GuardConfig{Budget: tc.budget, AllowOrigin: func(*http.Request) bool { return true }})
			r := request("EIO=4&transport=websocket")
			tc.change(r)
			w := nowhere{http.Header{}}
			h.ServeHTTP(w, r)
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				h.ServeHTTP(w, r)
			}
		})
	}
}

// BenchmarkAllowed says what the guard costs a handshake that it lets pass.
func BenchmarkAllowed(b *testing.B) {
	cfg := DefaultConfig()
	cfg.HandshakeRate = 1e9
	_, h, _ := guarded(b, cfg, GuardConfig{Budget: spent(0)})
	r := request("EIO=4&transport=websocket")
	w := nowhere{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}
