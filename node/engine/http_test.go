package engine

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHandshakeIsRefused(t *testing.T) {
	r := newRig(t, nil, nil)
	for _, c := range []struct{ method, query, want string }{
		{http.MethodGet, "", `{"code":0,"message":"Transport unknown"}`},
		{http.MethodGet, "transport=carrier-pigeon&EIO=4", `{"code":0,"message":"Transport unknown"}`},
		{http.MethodPost, "transport=polling&EIO=4", `{"code":2,"message":"Bad handshake method"}`},
		{http.MethodGet, "transport=websocket&EIO=4", `{"code":3,"message":"Bad request"}`},
		{http.MethodGet, "transport=polling&EIO=3", `{"code":5,"message":"Unsupported protocol version"}`},
		{http.MethodGet, "transport=polling", `{"code":5,"message":"Unsupported protocol version"}`},
		{http.MethodGet, "transport=polling&EIO=4&sid=unknown", `{"code":1,"message":"Session ID unknown"}`},
		{http.MethodGet, "transport=pigeon&EIO=4&sid=unknown", `{"code":0,"message":"Transport unknown"}`},
		{http.MethodGet, "transport=polling&EIO=4;x", `{"code":3,"message":"Bad request"}`},
	} {
		w := httptest.NewRecorder()
		r.server.ServeHTTP(w, httptest.NewRequest(c.method, "/?"+c.query, nil))
		require.Equal(t, http.StatusBadRequest, w.Code, c.query)
		require.JSONEq(t, c.want, w.Body.String(), c.query)
	}
	_, s := r.polling()
	w := httptest.NewRecorder()
	r.server.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/?transport=polling&EIO=3&sid="+s.Id(), nil))
	require.JSONEq(t, `{"code":5,"message":"Unsupported protocol version"}`, w.Body.String())
	w = httptest.NewRecorder() // cannot be hijacked
	upgrade := httptest.NewRequest(http.MethodGet, "/?transport=websocket&EIO=4", nil)
	upgrade.Header.Set("Upgrade", "websocket")
	r.server.ServeHTTP(w, upgrade)
	require.NotEqual(t, http.StatusOK, w.Code)
	require.EqualValues(t, 11, r.server.Stats().Refused)
}

func TestSessionsAreBounded(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxSessions = 2 }, nil)
	_, first := r.polling()
	why := closings(first)
	c, second := r.dial()
	for _, transport := range []string{"polling", "websocket"} {
		req := httptest.NewRequest(http.MethodGet, "/?EIO=4&transport="+transport, nil)
		if transport == transportWebSocket {
			req.Header.Set("Upgrade", "websocket")
		}
		w := httptest.NewRecorder()
		r.server.ServeHTTP(w, req)
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Equal(t, "1", w.Header().Get("Retry-After"))
		require.JSONEq(t, `{"code":3,"message":"Too many sessions"}`, w.Body.String())
	}
	require.True(t, second.WriteFrames(message("x"), false, false), "those that there are go on")
	require.Equal(t, "4x", c.text())
	first.Close(true)
	within(t, why)
	w := httptest.NewRecorder() // a handshake that fails gives its place back
	upgrade := httptest.NewRequest(http.MethodGet, "/?transport=websocket&EIO=4", nil)
	upgrade.Header.Set("Upgrade", "websocket")
	r.server.ServeHTTP(w, upgrade)
	require.NotEqual(t, http.StatusServiceUnavailable, w.Code)
	_, _ = r.dial()
}

func TestOrigins(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.AllowOrigin = func(r *http.Request) bool { return r.Header.Get("Origin") != "https://evil.example" }
	}, nil)
	ask := func(method, origin string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		req := httptest.NewRequest(method, "/?transport=polling&EIO=4", nil)
		req.Header.Set("Origin", origin)
		req.Header.Set("Access-Control-Request-Headers", "X-Any")
		r.server.ServeHTTP(w, req)
		return w
	}
	w := ask(http.MethodGet, "https://evil.example")
	require.Equal(t, http.StatusForbidden, w.Code)
	require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
	w = ask(http.MethodGet, "https://good.example")
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "https://good.example", w.Header().Get("Access-Control-Allow-Origin"))
	w = ask(http.MethodOptions, "https://good.example")
	require.Equal(t, http.StatusNoContent, w.Code)
	require.Equal(t, "X-Any", w.Header().Get("Access-Control-Allow-Headers"))
	require.Equal(t, "true", corsOf(w.Header()).Get("Access-Control-Allow-Credentials"))

	defaults := DefaultConfig()
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	require.True(t, defaults.AllowOrigin(req))
	req.Header.Set("Origin", "https://any.example")
	require.False(t, defaults.AllowOrigin(req))
	require.False(t, defaults.Final(nil))
}

// FuzzHandshake: whatever is asked is answered, and nothing but a proper handshake makes a session.
func FuzzHandshake(f *testing.F) {
	r := newRig(f, nil, nil)
	f.Add("GET", "transport=polling&EIO=4")
	f.Add("GET", "transport=websocket&EIO=4")
	f.Add("POST", "transport=polling&EIO=4&sid="+r.server.ids.next())
	f.Add("GET", "transport=polling&EIO=4&sid=&sid=x&%zz")
	f.Add("OPTIONS", "\x00;&&==")
	f.Fuzz(func(t *testing.T, method, query string) {
		before := r.server.Stats().Opened
		w := httptest.NewRecorder()
		r.server.ServeHTTP(w, &http.Request{
			Method: method, URL: &url.URL{Path: "/", RawQuery: query}, Header: http.Header{"Upgrade": {}}, Body: http.NoBody,
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		})
		opened := r.server.Stats().Opened - before
		switch {
		case w.Code == http.StatusOK:
			if opened != 1 || !strings.HasPrefix(w.Body.String(), `0{"sid":"`) {
				t.Fatalf("%d sessions, %q", opened, w.Body)
			}
			r.session().Close(true)
		case opened != 0 || w.Code != http.StatusBadRequest && w.Code != http.StatusNoContent:
			t.Fatalf("%d sessions, status %d", opened, w.Code)
		}
	})
}
