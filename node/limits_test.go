package node

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/node/limits"
)

// limited returns a rig with no limits but those that change sets.
func limited(t *testing.T, change func(*limits.Config, *Deps)) (*rig, *limits.Limits) {
	t.Helper()
	var l *limits.Limits
	r := newRig(t, func(c *Config, d *Deps) {
		c.Origins = []string{"https://app.example"}
		cfg := limits.Config{MaxAddresses: 100}
		change(&cfg, d)
		var err error
		l, err = limits.New(cfg)
		require.NoError(t, err)
		d.Limits = l
	})
	return r, l
}

// reply is an answer to a handshake.
type reply struct {
	status int
	header http.Header
	body   string
}

// handshake begins a polling session, if it may.
func (r *rig) handshake(header http.Header) reply {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+"/socket.io/?EIO=4&transport=polling", nil)
	require.NoError(r.t, err)
	if header != nil {
		req.Header = header
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	defer func() { _ = res.Body.Close() }()
	r.t.Cleanup(http.DefaultClient.CloseIdleConnections)
	body, err := io.ReadAll(res.Body)
	require.NoError(r.t, err)
	return reply{res.StatusCode, res.Header, string(body)}
}

// upgrade asks for a WebSocket and returns the status of the answer.
func (r *rig) upgrade(query string) int {
	r.t.Helper()
	ws, res, err := websocket.DefaultDialer.DialContext(r.t.Context(),
		"ws"+strings.TrimPrefix(r.url, "http")+"/socket.io/?EIO=4&transport=websocket"+query, nil)
	if err == nil {
		_ = ws.Close()
	}
	require.NotNil(r.t, res)
	_ = res.Body.Close()
	return res.StatusCode
}

func TestHandshakesOverTheRate(t *testing.T) {
	r, l := limited(t, func(c *limits.Config, _ *Deps) { c.HandshakeRate, c.HandshakeBurst = 0.01, 1 })
	sid := strings.Split(r.handshake(nil).body, `"`)[3]
	res := r.handshake(http.Header{"X-Forwarded-For": {"198.51.100.1"}, "Origin": {"https://app.example"}})
	require.Equal(t, http.StatusTooManyRequests, res.status, "a forged header makes no new client")
	require.NotEmpty(t, res.header.Get("Retry-After"))
	require.Equal(t, "https://app.example", res.header.Get("Access-Control-Allow-Origin"), "its page may read why")
	require.Contains(t, res.body, `"code":"rate_limited"`)
	require.Equal(t, http.StatusTooManyRequests, r.upgrade(""))
	require.Equal(t, http.StatusSwitchingProtocols, r.upgrade("&sid="+sid), "whoever has a session goes on")
	res = r.handshake(http.Header{"Origin": {"https://evil.example"}})
	require.Equal(t, http.StatusForbidden, res.status)
	require.EqualValues(t, 2, l.Stats().HandshakesRefused)
	require.EqualValues(t, 1, r.EngineStats().Opened)
}

func TestHandshakesThroughTrustedProxies(t *testing.T) {
	r, l := limited(t, func(c *limits.Config, _ *Deps) {
		c.HandshakeRate, c.HandshakeBurst = 0.01, 1
		var err error
		c.TrustedProxies, err = limits.ParseProxies("loopback, 10.0.0.0/8")
		require.NoError(t, err)
	})
	for _, tc := range []struct {
		xff    []string
		status int
	}{
		{[]string{"203.0.113.1"}, http.StatusOK},
		{[]string{"203.0.113.1"}, http.StatusTooManyRequests},
		{[]string{"203.0.113.2"}, http.StatusOK},
		{[]string{"198.51.100.1, 203.0.113.2"}, http.StatusTooManyRequests},
		{[]string{"198.51.100.2", "203.0.113.2, 10.0.0.9"}, http.StatusTooManyRequests},
		{[]string{"203.0.113.3, 10.0.0.8", "10.0.0.9"}, http.StatusOK},
		{[]string{"2001:db8::1"}, http.StatusOK},
		{[]string{"2001:db8::2"}, http.StatusTooManyRequests},
		{[]string{"nonsense"}, http.StatusOK}, // the proxy's own
		{[]string{"other nonsense"}, http.StatusTooManyRequests},
	} {
		res := r.handshake(http.Header{"X-Forwarded-For": tc.xff})
		require.Equal(t, tc.status, res.status, tc.xff)
	}
	require.Equal(t, 5, l.Stats().Addresses)
}

func TestHandshakesOverTheBudget(t *testing.T) {
	r, l := limited(t, func(_ *limits.Config, d *Deps) { d.Budget = budget{spent: 2500 * time.Millisecond} })
	res := r.handshake(nil)
	require.Equal(t, http.StatusServiceUnavailable, res.status)
	require.Equal(t, "3", res.header.Get("Retry-After"))
	require.Contains(t, res.body, `"code":"rate_limited"`)
	require.Equal(t, http.StatusServiceUnavailable, r.upgrade(""))
	require.EqualValues(t, 2, l.Stats().BudgetRefused)
	require.Zero(t, r.EngineStats().Opened)
}

func TestSocketsOfAUser(t *testing.T) {
	r, l := limited(t, func(c *limits.Config, _ *Deps) { c.MaxSocketsPerUser = 2 })
	first, _ := r.connect("client:c")
	_, _ = r.connect("client:c")
	require.Contains(t, r.dial(`{"token":"client:c"}`, nil).next(), `"code":"rate_limited"`)
	_, _ = r.connect("client:d")
	require.EqualValues(t, 1, l.Stats().SocketsRefused)
	first.close()
	r.eventually("a place is free", func() bool { return r.presence.user("client:c") == 1 })
	again, _ := r.connect("client:c")
	again.send("41")
	require.Empty(t, again.next())
	r.eventually("a client's own disconnect frees the place too", func() bool { return r.presence.user("client:c") == 1 })
	_, _ = r.connect("client:c")
}

func TestRefusedConnectsTakeNoPlaceOfTheirUser(t *testing.T) {
	turn := make(chan struct{})
	r, l := limited(t, func(c *limits.Config, d *Deps) {
		c.MaxSocketsPerUser = 1
		d.Budget = budget{err: errors.New("exhausted"), turn: turn}
	})
	free := func() bool {
		release, ok := l.TakeSocket("c")
		release()
		return ok
	}
	gone := r.dial(`{"token":"client:c"}`, nil)
	r.eventually("it waits for its turn", func() bool { return !free() })
	gone.close()
	close(turn)
	r.eventually("it has left", func() bool { return r.seats.Load() == 0 && free() })
	c := r.dial(`{"token":"client:c"}`, nil)
	for range 3 {
		require.Contains(t, c.next(), `"code":"rate_limited"`)
		c.send(`40{"token":"client:c"}`)
	}
	require.Contains(t, c.next(), `"code":"rate_limited"`)
	r.eventually("the place is free", free)
}

// The sustained rate is what is configured, and not the burst alone.
func TestEventsOverTheRate(t *testing.T) {
	const rate, burst = 100, 20
	r, l := limited(t, func(c *limits.Config, _ *Deps) { c.EventRate, c.EventBurst = rate, burst })
	c, _ := r.connect("client:c")
	passed, refused := 0, 0
	began := time.Now()
	for time.Since(began) < 2*time.Second {
		if strings.Contains(c.event(`427["ping"]`, "37"), "timestamp") {
			passed++
		} else {
			refused++
		}
		time.Sleep(time.Millisecond) // under ten times the rate
	}
	elapsed := time.Since(began).Seconds()
	require.Positive(t, refused)
	require.LessOrEqual(t, float64(passed), burst+rate*elapsed+1)
	require.GreaterOrEqual(t, float64(passed), burst+rate*elapsed*0.9-5)
	require.EqualValues(t, refused, l.Stats().EventsRefused)
	require.Zero(t, l.Stats().EventFloods)
	refusal := ""
	for !strings.Contains(refusal, "error") {
		refusal = c.event(`428["subscribe_solicitud",{"solicitud_id":"granted"}]`, "38")
	}
	require.JSONEq(t, `[{"ok":false,"error":{"code":"rate_limited","message":"too many events on this connection, this one was not handled"}}]`, refusal)
}

func TestEventsOverTheRateWithoutAck(t *testing.T) {
	r, l := limited(t, func(c *limits.Config, _ *Deps) { c.EventRate, c.EventBurst = 0.001, 2 })
	c, _ := r.connect("client:c")
	for n := range 300 {
		c.send(fmt.Sprintf(`42["unknown_%d",{}]`, n))
	}
	r.eventually("unknown events count, too", func() bool { return l.Stats().EventsRefused == 298 })
	c.send(`429["ping"]`)
	told := 0
	for m := c.next(); !strings.HasPrefix(m, "39"); m = c.next() {
		require.JSONEq(t, `["error",{"code":"rate_limited","message":"too many events on this connection, this one was not handled"}]`, m[1:])
		told++
	}
	require.GreaterOrEqual(t, told, 1)
	require.LessOrEqual(t, told, int(deadline.Seconds()))
	if r.presence.user("client:c") != 1 {
		t.Fatal("moderate excess closes nothing")
	}
}

func TestEventFlood(t *testing.T) {
	found := &earlier{sessionList: newSessionList()}
	r, l := limited(t, func(c *limits.Config, d *Deps) {
		c.EventRate, c.EventBurst = 1, 1
		d.Adapter, d.Sessions = &recovering{found: found}, found.sessionList
	})
	c, _ := r.connect("client:c")
	other, _ := r.connect("client:d")
	go func() {
		for range 3000 {
			if c.ws.WriteMessage(websocket.TextMessage, []byte(`42["ping"]`)) != nil {
				return // closed
			}
		}
	}()
	var all []string
	for m := c.next(); m != ""; m = c.next() {
		all = append(all, m)
	}
	require.GreaterOrEqual(t, len(all), 2)
	require.Contains(t, all[len(all)-2], `"code":"event_flood"`)
	require.True(t, strings.HasPrefix(all[len(all)-1], "1"), "a kick, after which the client does not reconnect by itself")
	require.EqualValues(t, 1, l.Stats().EventFloods)
	r.eventually("it has gone", func() bool { return r.presence.user("client:c") == 0 })
	require.True(t, found.noted("end"))
	require.Contains(t, other.event(`42["ping"]`, `2["pong"`), "timestamp", "nobody else is affected")
}

// With all defaults, a page that comes back after its session has ended may subscribe to all it may at once.
func TestSubscriptionsOfAReturningPage(t *testing.T) {
	r, l := limited(t, func(c *limits.Config, _ *Deps) { *c = limits.DefaultConfig() })
	c, _ := r.connect("advisor:a")
	for n := range DefaultConfig().MaxRooms {
		c.send(fmt.Sprintf(`421["subscribe_solicitud",{"solicitud_id":%d}]`, n))
	}
	for range DefaultConfig().MaxRooms {
		m := c.next()
		for !strings.HasPrefix(m, "31") {
			m = c.next()
		}
		require.Contains(t, m, `"ok":true`)
	}
	require.Zero(t, l.Stats().EventsRefused)
}
