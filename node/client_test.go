package node

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/node/auth"
	"github.com/teloo/realtime-gateway/presence"
)

// deadline is for what happens at once on an idle machine.
const deadline = 20 * time.Second

// tokens is a Verifier whose tokens are "role:user", "role:user:solicitud" or an error's code.
type tokens struct{}

func (tokens) Verify(_ context.Context, token string) (auth.Identity, error) {
	switch token {
	case "":
		return auth.Identity{}, auth.ErrTokenMissing
	case "panic":
		panic("a fault in the verifier")
	case "expired":
		return auth.Identity{}, auth.ErrTokenExpired
	}
	parts := strings.Split(token, ":")
	if len(parts) < 2 {
		return auth.Identity{}, auth.ErrTokenInvalid
	}
	return auth.Identity{Role: parts[0], User: parts[1], Solicitudes: parts[2:]}, nil
}

// grantList grants what it holds and fails for the solicitud "down".
type grantList map[string]string

func (g grantList) Granted(_ context.Context, solicitud, user string) (bool, error) {
	if solicitud == "down" {
		return false, errors.New("no Redis")
	}
	return g[solicitud] == user, nil
}

// ledger is a Presence that keeps counts.
type ledger struct {
	mu      sync.Mutex
	users   map[string]int
	members map[presence.Member]int
}

func newLedger() *ledger {
	return &ledger{users: map[string]int{}, members: map[presence.Member]int{}}
}

func (l *ledger) Connect(user, role string)    { l.count(l.users, role+":"+user, 1) }
func (l *ledger) Disconnect(user, role string) { l.count(l.users, role+":"+user, -1) }

func (l *ledger) count(counts map[string]int, key string, by int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts[key] += by
}

func (l *ledger) Join(m presence.Member)  { l.member(m, 1) }
func (l *ledger) Leave(m presence.Member) { l.member(m, -1) }

func (l *ledger) member(m presence.Member, by int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.User == "panic" && by > 0 {
		panic("a fault in a handler")
	}
	l.members[m] += by
}

func (l *ledger) user(key string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.users[key]
}

// in counts the memberships of the user "c" in room.
func (l *ledger) in(room string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for m, count := range l.members {
		if m.Room == room && m.User == "c" {
			n += count
		}
	}
	return n
}

// revocations are those of users, or unknown.
type revocations struct{ state *atomic.Value }

func (r revocations) Check(id auth.Identity) error {
	if r.state == nil {
		return nil
	}
	switch state := r.state.Load().(string); state {
	case "unknown":
		return auth.ErrUnavailable
	case id.User:
		return auth.ErrTokenRevoked
	}
	return nil
}

// budget refuses when told to, and makes wait until a channel it has is closed; waits counts who came. spent is how long
// it has nothing to spare for handshakes.
type budget struct {
	err   error
	turn  chan struct{}
	waits *atomic.Int64
	spent time.Duration
}

func (b budget) Ready() (time.Duration, bool) { return b.spent, b.spent == 0 }

func (b budget) Wait(ctx context.Context) error {
	if b.waits != nil {
		b.waits.Add(1)
	}
	if b.turn != nil {
		select {
		case <-b.turn:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return b.err
}

// rig is a node behind an HTTP server.
type rig struct {
	*Node
	t        *testing.T
	url      string
	presence *ledger
}

func newRig(t *testing.T, change func(*Config, *Deps)) *rig {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Name = "node-a"
	p := newLedger()
	deps := Deps{
		Adapter: &socket.AdapterBuilder{}, Verifier: tokens{}, Revocations: revocations{}, Grants: grantList{"granted": "c"}, Policy: auth.DefaultPolicy(),
		Presence: p, Sessions: newSessionList(), Budget: budget{}, Log: discard(),
	}
	if change != nil {
		change(&cfg, &deps)
	}
	n, err := New(cfg, deps)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	mux := http.NewServeMux()
	mux.Handle(cfg.Path, n.Handler())
	srv := httptest.NewServer(mux)
	t.Cleanup(func() {
		n.Close()
		stop()
		require.NoError(t, <-ended)
		srv.CloseClientConnections()
		srv.Close()
	})
	return &rig{Node: n, t: t, url: srv.URL, presence: p}
}

// client speaks Engine.IO and Socket.IO over a WebSocket, as bytes.
type client struct {
	t  *testing.T
	ws *websocket.Conn
	// messages are the Socket.IO packets received; closed with the connection.
	messages chan string
}

// dial opens a connection and asks for the default namespace with auth, a JSON text or "".
func (r *rig) dial(auth string, header http.Header) *client {
	r.t.Helper()
	url := "ws" + strings.TrimPrefix(r.url, "http") + "/socket.io/?EIO=4&transport=websocket"
	ws, res, err := websocket.DefaultDialer.Dial(url, header)
	require.NoError(r.t, err)
	_ = res.Body.Close()
	c := &client{t: r.t, ws: ws, messages: make(chan string, 100)}
	done := make(chan struct{})
	opened := make(chan struct{})
	go func() {
		defer close(done)
		c.read(opened)
	}()
	r.t.Cleanup(func() { c.close(); <-done })
	select {
	case <-opened:
	case <-time.After(deadline):
		r.t.Fatal("no Engine.IO handshake")
	}
	c.send("40" + auth)
	return c
}

func (c *client) read(opened chan struct{}) {
	defer close(c.messages)
	for {
		_, raw, err := c.ws.ReadMessage()
		switch {
		case err != nil:
			return
		case len(raw) == 0:
		case raw[0] == '0':
			close(opened)
		case raw[0] == '4':
			c.messages <- string(raw[1:])
		}
	}
}

func (c *client) send(raw string) {
	c.t.Helper()
	require.NoError(c.t, c.ws.WriteMessage(websocket.TextMessage, []byte(raw)))
}

func (c *client) close() { _ = c.ws.Close() }

// next returns the next Socket.IO packet; "" when the connection has closed.
func (c *client) next() string {
	c.t.Helper()
	select {
	case m := <-c.messages:
		return m
	case <-time.After(deadline):
		c.t.Fatal("nothing received")
		return ""
	}
}

// event sends an event with a JSON argument and returns the first packet of the given prefix that follows.
func (c *client) event(packet, prefix string) string {
	c.t.Helper()
	c.send(packet)
	for {
		m := c.next()
		if m == "" || strings.HasPrefix(m, prefix) {
			return strings.TrimPrefix(m, prefix)
		}
	}
}

// connect dials with a token and waits for `connected`.
func (r *rig) connect(token string) (*client, connectedEvent) {
	r.t.Helper()
	c := r.dial(`{"token":"`+token+`"}`, nil)
	require.True(r.t, strings.HasPrefix(c.next(), `0{"sid":`))
	var hello []json.RawMessage
	require.NoError(r.t, json.Unmarshal([]byte(strings.TrimPrefix(c.next(), "2")), &hello))
	require.JSONEq(r.t, `"connected"`, string(hello[0]))
	var connected connectedEvent
	require.NoError(r.t, json.Unmarshal(hello[1], &connected))
	require.JSONEq(r.t, `"7-0"`, string(hello[2]))
	return c, connected
}

func (r *rig) eventually(what string, holds func() bool) {
	r.t.Helper()
	require.Eventually(r.t, holds, deadline, 5*time.Millisecond, what)
}

// roles counts the memberships of the user "c" in room, by role.
func (l *ledger) roles(room string) map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	roles := map[string]int{}
	for m, count := range l.members {
		if m.Room == room && m.User == "c" && count != 0 {
			roles[m.Role] += count
		}
	}
	return roles
}

// empty reports whether nobody is counted.
func (l *ledger) empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, count := range l.users {
		if count != 0 {
			return false
		}
	}
	for _, count := range l.members {
		if count != 0 {
			return false
		}
	}
	return true
}
