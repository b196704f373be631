package node

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/node/auth"
	"github.com/teloo/realtime-gateway/node/engine"
	"github.com/teloo/realtime-gateway/presence"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestConnect(t *testing.T) {
	r := newRig(t, nil)
	_, hello := r.connect("advisor:a1")
	require.Equal(t, connectedEvent{UserID: "a1", Role: "advisor", Rooms: []string{"advisor", "user_a1"}, Node: "node-a"}, hello)
	require.Equal(t, 1, r.presence.user("advisor:a1"))
	require.Equal(t, int64(1), r.Stats().Connections)

	c := r.dial("", http.Header{"Authorization": {"Bearer client:c1"}})
	require.True(t, strings.HasPrefix(c.next(), `0{"sid":`))
	r.eventually("the header's user is present", func() bool { return r.presence.user("client:c1") == 1 })
	c.close()
	r.eventually("the user has gone", func() bool { return r.presence.user("client:c1") == 0 && r.Stats().Connections == 1 })
}

func TestConnectRefused(t *testing.T) {
	r := newRig(t, nil)
	for auth, code := range map[string]string{
		``:                     "token_missing",
		`{"token":""}`:         "token_missing",
		`{"token":"x"}`:        "token_invalid",
		`{"token":{"a":1}}`:    "token_invalid",
		`{"token":"expired"}`:  "token_expired",
		`{"other":"client:c"}`: "token_missing",
	} {
		c := r.dial(auth, nil)
		m := c.next()
		require.True(t, strings.HasPrefix(m, "4"), m)
		require.JSONEq(t, `{"message":"`+code+`","data":{"code":"`+code+`"}}`, m[1:])
	}
	require.Equal(t, uint64(6), r.Stats().Refused)
	require.Zero(t, r.Stats().Connections)
}

func TestConnectBeyondTheLimit(t *testing.T) {
	r := newRig(t, func(c *Config, _ *Deps) { c.MaxConnections = 1 })
	first, _ := r.connect("client:c")
	require.Contains(t, r.dial(`{"token":"client:d"}`, nil).next(), "server_full")
	first.close()
	r.eventually("the seat is free", func() bool { return r.seats.Load() == 0 })
	second, _ := r.connect("client:d")
	second.send("41")
	r.eventually("a client's own disconnect frees the seat too", func() bool { return r.seats.Load() == 0 })
}

func TestRefusedConnectsTakeNoSeat(t *testing.T) {
	r := newRig(t, func(c *Config, _ *Deps) { c.MaxConnections = 1 })
	for range 3 {
		require.Contains(t, r.dial(`{"token":"expired"}`, nil).next(), "token_expired")
	}
	_, _ = r.connect("client:c")
}

func TestConnectBudget(t *testing.T) {
	r := newRig(t, func(_ *Config, d *Deps) { d.Budget = budget{err: errors.New("exhausted")} })
	require.Contains(t, r.dial(`{"token":"client:c"}`, nil).next(), `"code":"rate_limited"`)
}

func TestOneSocketForOneConnection(t *testing.T) {
	turn := make(chan struct{})
	var waits atomic.Int64
	r := newRig(t, func(_ *Config, d *Deps) { d.Budget = budget{turn: turn, waits: &waits} })
	c := r.dial(`{"token":"client:c"}`, nil)
	r.eventually("the first is being admitted", func() bool { return r.seats.Load() == 1 })
	for range 20 {
		if c.ws.WriteMessage(websocket.TextMessage, []byte(`40{"token":"client:c"}`)) != nil {
			break // closed already
		}
	}
	close(turn)
	for m := c.next(); m != ""; m = c.next() {
		require.NotContains(t, m, "code", "the others wait, and then are a fault of the client's")
	}
	require.Equal(t, int64(1), waits.Load(), "nobody but the first was admitted")
	r.eventually("no seat is left taken", func() bool { return r.seats.Load() == 0 })
	require.Equal(t, uint64(1), r.Stats().Connects)
	_, _ = r.connect("client:c")
}

// A client may try again on its connection, which leaves nothing behind.
func TestRefusedConnectsLeaveNothing(t *testing.T) {
	r := newRig(t, nil)
	sessions := make(chan *engine.Session, 1)
	_ = r.engine.On("connection", func(args ...any) { sessions <- args[0].(*engine.Session) })
	c := r.dial(`{"token":"bad"}`, nil)
	require.Contains(t, c.next(), `"code":"token_invalid"`)
	conn := <-sessions
	listeners := func() int { return conn.ListenerCount("close") + conn.ListenerCount("data") }
	was := listeners()
	for range 10 {
		c.send(`40{"token":"bad"}`)
		require.Contains(t, c.next(), `"code":"token_invalid"`)
	}
	require.Equal(t, was, listeners())
	c.send(`40{"token":"client:c"}`)
	require.Contains(t, c.next(), `0{"sid"`)
	require.Equal(t, int64(1), r.seats.Load())
	c.close()
	r.eventually("the seat is free", func() bool { return r.seats.Load() == 0 })
	r.seated.Range(func(any, any) bool { t.Error("a seat is left"); return false })
}

// Clients of Socket.IO 2 that call binary(true) send these for what has no binary data.
func TestOldBinaryPacketsWithoutAttachmentsAreOthers(t *testing.T) {
	for packet, want := range map[string]string{
		`50-["ping"]`: `2["ping"]`, `50-/a,7["x"]`: `2/a,7["x"]`, `60-1[]`: `31[]`, `60-/a,1[]`: `3/a,1[]`, `50-`: `2`,
		`51-["x"]`: `51-["x"]`, `500-["x"]`: `500-["x"]`, `20-["x"]`: `20-["x"]`, `5`: `5`, ``: ``, `50`: `50`, `40-`: `40-`,
	} {
		require.Equal(t, want, string(Translate([]byte(packet))), packet)
	}
}

// The library's decoder would keep all that follows.
func TestBinaryPacketsWithoutAttachmentsEndTheConnection(t *testing.T) {
	for packet, allowed := range map[string]bool{
		`42["ping"]`: true, `3`: true, ``: false, `2["x"]x`: false, `0null`: false, `0{}`: true, `2/a[,7["x"]`: true, `450-["ping"]`: false, `460-1[]`: false, `45["ping"]`: false, `45`: false,
		`4511-["x"]`: false, `450001-["x"]`: false, `45+1-["x"]`: false, `451-["x"]`: true, `4510-["x"]`: true, `461-1[]`: true,
	} {
		require.Equal(t, allowed, Acceptable([]byte(strings.TrimPrefix(packet, "4"))), packet)
	}
	r := newRig(t, nil)
	c, _ := r.connect("client:c")
	c.send(`451-["ping",{"_placeholder":true,"num":0}]`)
	require.NoError(t, c.ws.WriteMessage(websocket.BinaryMessage, []byte("x")))
	require.Contains(t, c.next(), `"pong"`)
	c.send(`450-["ping"]`)
	require.Empty(t, c.next())
	r.eventually("it has gone", func() bool { return r.presence.user("client:c") == 0 })
}

func TestConnectionEndsWithItsSocket(t *testing.T) {
	r := newRig(t, nil)
	c, _ := r.connect("client:c")
	c.send("41")
	require.Empty(t, c.next(), "a connection without a socket would hold no seat")
}

func TestPanicOfTheVerifierCostsOneConnect(t *testing.T) {
	r := newRig(t, nil)
	require.Contains(t, r.dial(`{"token":"panic"}`, nil).next(), `"code":"token_invalid"`)
	require.Equal(t, uint64(1), r.Stats().Panics)
	require.Zero(t, r.seats.Load())
	_, _ = r.connect("client:c")
}

func TestDrainWaitsForThoseBeingAdmitted(t *testing.T) {
	turn := make(chan struct{})
	r := newRig(t, func(_ *Config, d *Deps) { d.Budget = budget{turn: turn} })
	c := r.dial(`{"token":"client:c"}`, nil)
	r.eventually("it is being admitted", func() bool { return r.seats.Load() == 1 })
	drained := make(chan error, 1)
	go func() { drained <- r.Drain(context.Background()) }()
	r.eventually("draining has begun", r.draining.Load)
	close(turn)
	require.Empty(t, c.next(), "neither connected nor a connect_error, after which it would not reconnect")
	require.NoError(t, <-drained)
	require.Zero(t, r.presence.user("client:c"))
}

func TestPing(t *testing.T) {
	r := newRig(t, nil)
	c, _ := r.connect("client:c")
	var pong struct {
		Timestamp time.Time `json:"timestamp"`
	}
	raw := c.event(`42["ping"]`, `2["pong",`)
	require.NoError(t, json.Unmarshal([]byte(strings.TrimSuffix(raw, "]")), &pong))
	require.WithinDuration(t, time.Now(), pong.Timestamp, time.Minute)
	require.Contains(t, c.event(`421["ping"]`, "31"), "timestamp")
}

func TestSubscribe(t *testing.T) {
	r := newRig(t, nil)
	c, _ := r.connect("client:c:own")
	subscribe := func(id string) string { return c.event(`427["subscribe_solicitud",{"solicitud_id":`+id+`}]`, "37") }

	require.JSONEq(t, `[{"ok":true,"room":"solicitud_granted"}]`, subscribe(`"granted"`))
	require.JSONEq(t, `[{"ok":true,"room":"solicitud_own"}]`, subscribe(`"own"`), "the token's claim")
	require.Contains(t, subscribe(`"other"`), `"code":"forbidden"`)
	require.Contains(t, subscribe(`"down"`), `"code":"unavailable"`)
	require.NotContains(t, subscribe(`"down"`), "Redis")
	for _, bad := range []string{`null`, `""`, `1.5`, `{}`, `"` + strings.Repeat("x", 129) + `"`} {
		require.Contains(t, subscribe(bad), `"code":"bad_request"`)
	}
	require.Equal(t, 1, r.presence.in("solicitud_granted"))
	require.JSONEq(t, `[{"ok":true,"room":"solicitud_granted"}]`, subscribe(`"granted"`))
	require.Equal(t, 1, r.presence.in("solicitud_granted"), "a repeated subscription counts once")

	require.NoError(t, r.io.To("solicitud_granted").Emit("oferta_x", map[string]any{"n": 1}))
	require.JSONEq(t, `["oferta_x",{"n":1}]`, strings.TrimPrefix(c.next(), "2"))

	unsubscribe := `428["unsubscribe_solicitud",{"solicitud_id":"granted"}]`
	for range 2 {
		require.JSONEq(t, `[{"ok":true,"room":"solicitud_granted"}]`, c.event(unsubscribe, "38"))
		require.Zero(t, r.presence.in("solicitud_granted"))
	}
	c.close()
	r.eventually("all rooms are left", func() bool { return r.presence.in("solicitud_own") == 0 })
}

func TestSubscribeWithoutAck(t *testing.T) {
	r := newRig(t, nil)
	c, _ := r.connect("client:c")
	for _, bad := range []string{`42["subscribe_solicitud"]`, `42["unsubscribe_solicitud","x"]`, `42["subscribe_solicitud",{"solicitud_id":"other"}]`} {
		require.Contains(t, c.event(bad, `2["error",`), `"message"`)
	}
	c.send(`42["unknown_event",{}]`)
	require.Contains(t, c.event(`421["ping"]`, "31"), "timestamp", "an unknown event costs nothing")
}

func TestSubscribeLimit(t *testing.T) {
	r := newRig(t, func(c *Config, _ *Deps) { c.MaxRooms = 1 })
	c, _ := r.connect("advisor:a")
	require.Contains(t, c.event(`421["subscribe_solicitud",{"solicitud_id":1}]`, "31"), `"ok":true`)
	require.Contains(t, c.event(`422["subscribe_solicitud",{"solicitud_id":2}]`, "32"), `"code":"too_many_rooms"`)
}

func TestPanicCostsOneMessage(t *testing.T) {
	r := newRig(t, nil)
	c, _ := r.connect("advisor:panic")
	c.send(`421["subscribe_solicitud",{"solicitud_id":1}]`)
	require.Contains(t, c.event(`422["ping"]`, "32"), "timestamp")
	require.Equal(t, uint64(1), r.Stats().Panics)
}

func TestSocketWithoutSessionIsClosed(t *testing.T) {
	r := newRig(t, nil)
	r.io.Use(func(s *socket.Socket, next func(*socket.ExtendedError)) {
		s.SetData(nil)
		next(nil)
	})
	c := r.dial(`{"token":"client:c"}`, nil)
	for c.next() != "" {
		continue
	}
	require.Zero(t, r.presence.user("client:c"))
}

func TestOrigins(t *testing.T) {
	r := newRig(t, func(c *Config, _ *Deps) { c.Origins = []string{"https://app.example/"} })
	get := func(origin string) (status int, header http.Header) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/socket.io/?EIO=4&transport=polling", nil)
		require.NoError(t, err)
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return res.StatusCode, res.Header
	}
	status := func(origin string) int {
		code, _ := get(origin)
		return code
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	require.Equal(t, http.StatusOK, status(""))
	require.Equal(t, http.StatusOK, status(r.url), "the node's own host")
	code, header := get("https://app.example")
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "https://app.example", header.Get("Access-Control-Allow-Origin"))
	require.Equal(t, "true", header.Get("Access-Control-Allow-Credentials"))
	for _, foreign := range []string{"https://evil.example", "null", "https://app.example.evil"} {
		require.Equal(t, http.StatusForbidden, status(foreign))
	}
	require.True(t, newOriginList([]string{"*"}).listed("https://anything.example"))
}

func TestDrain(t *testing.T) {
	r := newRig(t, func(c *Config, _ *Deps) { c.DrainWindow = deadline })
	var clients []*client
	for _, user := range []string{"a", "b", "c"} {
		c, _ := r.connect("advisor:" + user)
		clients = append(clients, c)
	}
	r.cfg.DrainWindow = 2 * time.Second
	require.NoError(t, r.Drain(context.Background()))
	for _, c := range clients {
		require.Empty(t, c.next(), "closed without a DISCONNECT packet, after which clients would not reconnect")
	}
	require.Zero(t, r.Stats().Connections)
	res, err := http.Get(r.url + "/socket.io/?EIO=4&transport=polling")
	require.NoError(t, err)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	_ = res.Body.Close()
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
}

func TestCloseAll(t *testing.T) {
	r := newRig(t, nil)
	c, _ := r.connect("advisor:a")
	r.CloseAll()
	require.Empty(t, c.next())
	r.eventually("the socket has gone", func() bool { return r.presence.user("advisor:a") == 0 })
	_, _ = r.connect("advisor:a")
}

func TestMemberAnnouncement(t *testing.T) {
	a, err := MemberAnnouncement(true, presence.Member{Room: "solicitud_1", User: "u", Role: "client"})
	require.NoError(t, err)
	require.JSONEq(t, `{"user_id":"u","role":"client","room":"solicitud_1"}`, string(a.Data))
	a.Data = nil
	require.Equal(t, Announcement{Event: "user_joined", Rooms: []string{"solicitud_1"}, Except: []string{"user_u"}}, a)
	a, err = MemberAnnouncement(false, presence.Member{Room: "r", User: "u"})
	require.NoError(t, err)
	require.Equal(t, "user_left", a.Event)
}

func TestSessionAsOthersSeeIt(t *testing.T) {
	id := auth.Identity{User: `q"`, Role: "client", TokenID: "secret", ExpiresAt: time.Unix(1_900_000_000, 0)}
	raw, err := json.Marshal(&session{node: "n-1", identity: id})
	require.NoError(t, err)
	require.JSONEq(t, `{"user_id":"q\"","role":"client","node":"n-1","token_ends":1900000000}`, string(raw))
}

func TestUnknownErrorIsNotShown(t *testing.T) {
	require.Equal(t, &wireError{Code: "internal", Message: "the request failed"}, answerOf(errors.New("password: hunter2")))
}

func TestNewChecks(t *testing.T) {
	_, err := New(Config{}, Deps{})
	for _, field := range []string{"Name", "Path", "MaxConnections", "MaxRooms", "PingInterval", "PingTimeout", "ConnectTimeout", "AdmitTimeout", "MaxPayload", "DrainWindow"} {
		require.ErrorContains(t, err, field)
	}
	cfg := DefaultConfig()
	cfg.Name = "n"
	require.NoError(t, cfg.Validate())
	_, err = New(cfg, Deps{})
	require.ErrorContains(t, err, "dependency")
}
