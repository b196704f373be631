package adapter

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
	"go.uber.org/goleak"
)

// patience is how long a test waits for what has to happen; the machine may be busy.
const patience = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// testNode is a Socket.IO server with the adapter, as one node of a cluster.
type testNode struct {
	t       testing.TB
	cluster *Cluster
	io      *socket.Server
	http    *httptest.Server
	cancel  context.CancelFunc
	done    chan struct{}
	gaps    atomic.Int64

	mu      sync.Mutex
	sockets map[string]*socket.Socket // mu; by sid
}

func testConfig(uid string) Config {
	cfg := DefaultConfig()
	cfg.UID = uid
	cfg.Block = 50 * time.Millisecond
	cfg.RequestTimeout = 10 * time.Second
	return cfg
}

type clients struct{ redis, blocking redis.UniversalClient }

func redisClients(t testing.TB, addr string) clients {
	opts := func() *redis.Options {
		return &redis.Options{Addr: addr, MaxRetries: -1, DialTimeout: time.Second}
	}
	c := clients{redis: redis.NewClient(opts()), blocking: redis.NewClient(opts())}
	t.Cleanup(func() { _ = c.redis.Close(); _ = c.blocking.Close() })
	return c
}

// startNode starts a node and waits until it is ready.
func startNode(t testing.TB, addr string, cfg Config, change ...func(*Deps)) *testNode {
	t.Helper()
	n := prepareNode(t, addr, cfg, change...)
	n.run()
	eventually(t, "node is ready", n.cluster.Ready)
	return n
}

func prepareNode(t testing.TB, addr string, cfg Config, change ...func(*Deps)) *testNode {
	t.Helper()
	c := redisClients(t, addr)
	n := &testNode{t: t, done: make(chan struct{}), sockets: make(map[string]*socket.Socket)}
	deps := Deps{
		Redis: c.redis, Blocking: c.blocking,
		Lead:  func() bool { return false },
		OnGap: func(string) { n.gaps.Add(1) },
		Log:   slog.New(slog.DiscardHandler),
	}
	for _, fn := range change {
		fn(&deps)
	}
	var err error
	n.cluster, err = New(cfg, deps)
	require.NoError(t, err)
	opts := socket.DefaultServerOptions()
	opts.SetAdapter(n.cluster)
	opts.SetPingInterval(time.Hour)
	n.io = socket.NewServer(nil, opts)
	_ = n.io.On("connection", func(args ...any) {
		s, _ := args[0].(*socket.Socket)
		n.mu.Lock()
		n.sockets[string(s.Id())] = s
		n.mu.Unlock()
		_ = s.On("join", func(args ...any) {
			for _, room := range args {
				s.Join(socket.Room(room.(string)))
			}
			_ = s.Emit("joined")
		})
	})
	n.http = httptest.NewServer(n.io.ServeHandler(nil))
	return n
}

func (n *testNode) run() {
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	go func() {
		defer close(n.done)
		_ = n.cluster.Run(ctx)
	}()
	n.t.Cleanup(n.stop)
}

// stop ends the node; it is safe to call twice.
func (n *testNode) stop() {
	n.cancel()
	<-n.done
	n.io.Close(nil)
	n.http.CloseClientConnections()
	n.http.Close()
}

func (n *testNode) socket(sid string) *socket.Socket {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.sockets[sid]
	require.NotNil(n.t, s)
	return s
}

// client is a raw Engine.IO client over a WebSocket.
type client struct {
	t    testing.TB
	conn *websocket.Conn
	sid  string
	nsp  string

	mu     sync.Mutex
	events []string // mu: the JSON arrays of the events received, in order
	binary [][]byte // mu
	closed bool     // mu
	// onEvent, if set before connecting, answers an event that wants an acknowledgement.
	ack string
}

func (n *testNode) connect(rooms ...string) *client { return n.connectTo("/", "", rooms...) }

func (n *testNode) connectTo(nsp, ack string, rooms ...string) *client {
	n.t.Helper()
	conn, response, err := websocket.DefaultDialer.Dial(
		"ws"+strings.TrimPrefix(n.http.URL, "http")+"/socket.io/?EIO=4&transport=websocket", nil)
	require.NoError(n.t, err)
	_ = response.Body.Close()
	c := &client{t: n.t, conn: conn, ack: ack}
	if nsp != "/" {
		c.nsp = nsp + ","
	}
	require.Equal(n.t, byte('0'), c.read()[0])
	c.send("40" + c.nsp)
	reply := c.read()
	require.True(n.t, strings.HasPrefix(reply, "40"+c.nsp), reply)
	var hello struct {
		Sid string `json:"sid"`
	}
	require.NoError(n.t, json.Unmarshal([]byte(strings.TrimPrefix(reply, "40"+c.nsp)), &hello))
	c.sid = hello.Sid
	done := make(chan struct{})
	go func() { defer close(done); c.follow() }()
	n.t.Cleanup(func() { _ = conn.Close(); <-done })
	if len(rooms) > 0 {
		list, _ := json.Marshal(append([]string{"join"}, rooms...))
		c.send("42" + c.nsp + string(list))
		eventually(n.t, "client has joined", func() bool { return c.count() > 0 })
		c.mu.Lock()
		require.Equal(n.t, []string{`["joined"]`}, c.events)
		c.events = nil
		c.mu.Unlock()
	}
	return c
}

func (c *client) read() string {
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	_, data, err := c.conn.ReadMessage()
	require.NoError(c.t, err)
	_ = c.conn.SetReadDeadline(time.Time{})
	return string(data)
}

func (c *client) send(text string) {
	c.t.Helper()
	require.NoError(c.t, c.conn.WriteMessage(websocket.TextMessage, []byte(text)))
}

func (c *client) follow() {
	for {
		kind, data, err := c.conn.ReadMessage()
		c.mu.Lock()
		switch {
		case err != nil:
			c.closed = true
		case kind == websocket.BinaryMessage:
			c.binary = append(c.binary, data)
		default:
			c.note(string(data))
		}
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (c *client) note(text string) {
	switch {
	case strings.HasPrefix(text, "42"+c.nsp):
		rest := strings.TrimPrefix(text, "42"+c.nsp)
		at := strings.IndexByte(rest, '[')
		if at > 0 && c.ack != "" {
			_ = c.conn.WriteMessage(websocket.TextMessage, []byte("43"+c.nsp+rest[:at]+c.ack))
		}
		c.events = append(c.events, rest[max(at, 0):])
	case strings.HasPrefix(text, "45"), text == "42", strings.HasPrefix(text, "41"):
		c.events = append(c.events, text)
	}
}

func (c *client) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.events)
}

func (c *client) got() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.events...)
}

func (c *client) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// expect waits until exactly these events were received.
func (c *client) expect(events ...string) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("%d events", len(events)), func() bool { return c.count() >= len(events) })
	require.Equal(c.t, events, c.got())
}

func raw(values ...string) []json.RawMessage {
	out := make([]json.RawMessage, len(values))
	for i, v := range values {
		out[i] = json.RawMessage(v)
	}
	return out
}

func (n *testNode) publish(event string, rooms ...string) {
	n.t.Helper()
	require.NoError(n.t, n.cluster.Publish(context.Background(), Broadcast{Event: event, Rooms: rooms}))
}

func eventName(name string) types.EventName { return types.EventName(name) }
