package conformance

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func requireLimits(t *testing.T, s *server, h handshake) {
	t.Helper()
	require.GreaterOrEqual(t, len(h.SID), 20, "a session id is a secret: at least 120 bits")
	require.Equal(t, s.PingInterval.Milliseconds(), h.PingInterval)
	require.Equal(t, s.PingTimeout.Milliseconds(), h.PingTimeout)
	require.Equal(t, s.MaxPayload, h.MaxPayload)
}

func TestHandshakeByPolling(t *testing.T) {
	s := start(t, nil)
	r := s.do(context.Background(), http.MethodGet, enginePoll, "", nil)
	require.NoError(t, r.err)
	require.Equal(t, http.StatusOK, r.status)
	require.Equal(t, "text/plain; charset=utf-8", strings.ToLower(r.header.Get("Content-Type")))
	require.Equal(t, "no-store", r.header.Get("Cache-Control"))
	h := opened(t, r.body)
	requireLimits(t, s, h)
	require.Equal(t, []string{"websocket"}, h.Upgrades)
}

func TestHandshakeByWebSocket(t *testing.T) {
	s := start(t, nil)
	_, h := s.openWS()
	requireLimits(t, s, h)
	require.Empty(t, h.Upgrades)
}

func TestSessionIDsAreNotReused(t *testing.T) {
	s := start(t, nil)
	seen := map[string]bool{}
	for range 50 {
		w, h := s.openWS()
		require.False(t, seen[h.SID])
		seen[h.SID] = true
		w.reset()
	}
}

func TestRefusedRequests(t *testing.T) {
	s := start(t, nil)
	p, _ := s.openPoll()
	const (
		transport = "Transport unknown"
		unknown   = "Session ID unknown"
		method    = "Bad handshake method"
		request   = "Bad request"
		version   = "Unsupported protocol version"
	)
	for _, c := range []struct {
		name, method, query string
		code                int
		message             string
	}{
		{"no transport", http.MethodGet, "EIO=4", 0, transport},
		{"unknown transport", http.MethodGet, "EIO=4&transport=abc", 0, transport},
		{"the transport comes first", http.MethodPost, "EIO=3&transport=abc&sid=nobody", 0, transport},
		{"a transport that is not served", http.MethodGet, "EIO=4&transport=webtransport", 0, transport},
		{"no version", http.MethodGet, "transport=polling", 5, version},
		{"version 3", http.MethodGet, "EIO=3&transport=polling", 5, version},
		{"no number", http.MethodGet, "EIO=abc&transport=polling", 5, version},
		{"POST", http.MethodPost, "EIO=4&transport=polling", 2, method},
		{"PUT", http.MethodPut, "EIO=4&transport=polling", 2, method},
		{"DELETE", http.MethodDelete, "EIO=4&transport=polling", 2, method},
		{"the method before the version", http.MethodPost, "EIO=3&transport=polling", 2, method},
		{"unknown session", http.MethodGet, "EIO=4&transport=polling&sid=nobodynobodynobody12", 1, unknown},
		{"unknown session, POST", http.MethodPost, "EIO=4&transport=polling&sid=nobodynobodynobody12", 1, unknown},
		{"a session id that cannot be one", http.MethodGet, "EIO=4&transport=polling&sid=%00%ff../..", 1, unknown},
		{"a property of every object", http.MethodGet, "EIO=4&transport=polling&sid=__proto__", 1, unknown},
		{"a WebSocket without its upgrade", http.MethodGet, "EIO=4&transport=websocket", 3, request},
		{"another transport than the session's", http.MethodGet, "EIO=4&transport=websocket&sid=" + p.sid, 3, request},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.on(t)
			r := s.do(context.Background(), c.method, "/engine.io/?"+c.query, "", nil)
			require.NoError(t, r.err)
			require.Equal(t, http.StatusBadRequest, r.status, r.body)
			require.Contains(t, r.header.Get("Content-Type"), "application/json")
			var refusal struct {
				Code    int    `json:"code"`
				Message string `json:"message"`
			}
			require.NoError(t, json.Unmarshal([]byte(r.body), &refusal), r.body)
			require.Equal(t, c.code, refusal.Code)
			require.Equal(t, c.message, refusal.Message)
		})
	}
	p.push("4alive")
	require.Equal(t, "4alive", p.poll(), "refusals do not harm a session")
}

func TestAnotherVersionThanTheSessions(t *testing.T) {
	s := start(t, nil)
	p, _ := s.openPoll()
	r := s.do(context.Background(), http.MethodGet, strings.Replace(p.path, "EIO=4", "EIO=3", 1), "", nil)
	require.NoError(t, r.err)
	require.Equal(t, http.StatusBadRequest, r.status)
	p.push("4alive")
	require.Equal(t, "4alive", p.poll())
}

func TestRefusedWebSockets(t *testing.T) {
	s := start(t, nil)
	for _, c := range []struct{ name, query, message string }{
		{"no transport", "EIO=4", "Transport unknown"},
		{"unknown transport", "EIO=4&transport=abc", "Transport unknown"},
		{"unknown session", "EIO=4&transport=websocket&sid=nobodynobodynobody12", "Session ID unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.on(t)
			w, res := s.dial("/engine.io/?"+c.query, "")
			require.Equal(t, http.StatusBadRequest, res.status)
			require.Contains(t, res.body, c.message)
			_ = w.Close()
		})
	}
}

// What counts is that there is no session.
func TestWebSocketOfAnotherVersion(t *testing.T) {
	s := start(t, nil)
	for _, version := range []string{"", "EIO=3&", "EIO=abc&"} {
		w, res := s.dial("/engine.io/?"+version+"transport=websocket", "")
		if res.status != http.StatusSwitchingProtocols {
			require.Equal(t, http.StatusBadRequest, res.status)
			continue
		}
		require.True(t, differs(t, node, "a WebSocket of another version is granted and then broken off"), "an answer by HTTP is clearer")
		for _, m := range w.ended().messages {
			require.False(t, strings.HasPrefix(m, "0"), m)
		}
	}
}

func TestFaultyUpgradeHeaders(t *testing.T) {
	s := start(t, nil)
	good := string(s.upgradeRequest(engineWS, ""))
	for name, request := range map[string]string{
		"no key":      strings.Replace(good, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 1),
		"a short key": strings.Replace(good, "dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=", 1),
		"version 99":  strings.Replace(good, "Version: 13", "Version: 99", 1),
	} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			w, res := s.raw(request)
			require.GreaterOrEqual(t, res.status, 400)
			require.Less(t, res.status, 500)
			_ = w.Close()
		})
	}
}

func TestOrigins(t *testing.T) {
	s := start(t, nil)
	t.Run("foreign", func(t *testing.T) {
		s := s.on(t)
		r := s.do(context.Background(), http.MethodGet, enginePoll, "", map[string]string{"Origin": foreignOrigin})
		require.NoError(t, r.err)
		require.Equal(t, http.StatusForbidden, r.status)
		require.JSONEq(t, `{"code":4,"message":"Forbidden"}`, r.body)
		w, res := s.dial(engineWS, "Origin: "+foreignOrigin+"\r\n")
		require.Contains(t, []int{http.StatusForbidden, http.StatusBadRequest}, res.status)
		_ = w.Close()
	})
	t.Run("allowed", func(t *testing.T) {
		s := s.on(t)
		r := s.do(context.Background(), http.MethodGet, enginePoll, "", map[string]string{"Origin": allowedOrigin})
		require.NoError(t, r.err)
		require.Equal(t, http.StatusOK, r.status)
		require.Equal(t, allowedOrigin, r.header.Get("Access-Control-Allow-Origin"))
		require.Equal(t, "true", r.header.Get("Access-Control-Allow-Credentials"))
		w, res := s.dial(engineWS, "Origin: "+allowedOrigin+"\r\n")
		require.Equal(t, http.StatusSwitchingProtocols, res.status)
		opened(t, w.text())
	})
	t.Run("preflight", func(t *testing.T) {
		s := s.on(t)
		r := s.do(context.Background(), http.MethodOptions, enginePoll+"&sid=any", "", map[string]string{
			"Origin": allowedOrigin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type",
		})
		require.NoError(t, r.err)
		require.Contains(t, []int{http.StatusOK, http.StatusNoContent}, r.status)
		require.Equal(t, allowedOrigin, r.header.Get("Access-Control-Allow-Origin"))
		require.Equal(t, "true", r.header.Get("Access-Control-Allow-Credentials"))
		require.Contains(t, r.header.Get("Access-Control-Allow-Methods"), "POST")
	})
}
