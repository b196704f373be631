package adapter

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/engine/v3"
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
		return &redis.Options{Addr: addr, MaxRetries: -1, DialTimeout: time.Second, DialerRetries: 1}
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
	n := prepareCluster(t, addr, cfg, change...)
	n.serveWith(nil)
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
	return n
}

// prepareCluster makes a node that serves nothing yet.
func prepareCluster(t testing.TB, addr string, cfg Config, change ...func(*Deps)) *testNode {
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
	return n
}

// serveWith starts the Socket.IO server; recovery is off if nil.
func (n *testNode) serveWith(recovery socket.ConnectionStateRecoveryInterface) {
	opts := socket.DefaultServerOptions()
	opts.SetAdapter(n.cluster)
	opts.SetPingInterval(time.Hour)
	if recovery != nil {
		opts.SetConnectionStateRecovery(recovery)
	}
	n.io = socket.NewServer(nil, opts)
	if ownConnections() {
		opts.SetPath("/socket.io")
		server := engine.NewServer(opts)
		n.io.Bind(&framedEngine{Server: server})
		n.http = httptest.NewServer(server)
		return
	}
	n.http = httptest.NewServer(n.io.ServeHandler(nil))
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
	events []string // mu: the JSON arrays of the events received, in order, without their offsets
	offset string   // mu: the latest offset received
	binary [][]byte // mu
	closed bool     // mu
	// onEvent, if set before connecting, answers an event that wants an acknowledgement.
	ack string
}

func (n *testNode) connect(rooms ...string) *client { return n.connectTo("/", "", rooms...) }

func (n *testNode) connectTo(nsp, ack string, rooms ...string) *client {
	n.t.Helper()
	c := &client{t: n.t, ack: ack}
	if nsp != "/" {
		c.nsp = nsp + ","
	}
	// The library's connections start to read before they are listened to: an early CONNECT can vanish.
	eventually(n.t, "connection", func() bool { return n.handshake(c) == nil })
	// The library closes a connection whose event arrives while its CONNECT is still being dealt with.
	eventually(n.t, "socket is connected", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return nsp != "/" || n.sockets[c.sid] != nil
	})
	done := make(chan struct{})
	go func() { defer close(done); c.follow() }()
	n.t.Cleanup(func() { _ = c.conn.Close(); <-done })
	if len(rooms) > 0 {
		c.send("42" + c.nsp + string(appendQuotedList(nil, append([]string{"join"}, rooms...))))
		eventually(n.t, "client has joined", func() bool { return c.count() > 0 })
		c.mu.Lock()
		require.Equal(n.t, []string{`["joined"]`}, c.events)
		c.events = nil
		c.mu.Unlock()
	}
	return c
}

func (n *testNode) handshake(c *client) error {
	conn, response, err := websocket.DefaultDialer.Dial(
		"ws"+strings.TrimPrefix(n.http.URL, "http")+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	c.conn = conn
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, _, err = conn.ReadMessage(); err != nil {
		_ = conn.Close()
		return err
	}
	c.send("40" + c.nsp)
	_, reply, err := conn.ReadMessage()
	if err != nil {
		_ = conn.Close()
		return err
	}
	_ = conn.SetReadDeadline(time.Time{})
	var hello struct {
		Sid string `json:"sid"`
	}
	require.NoError(n.t, json.Unmarshal([]byte(strings.TrimPrefix(string(reply), "40"+c.nsp)), &hello))
	c.sid = hello.Sid
	return nil
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

// offsetPattern is what the log's entries end in.
var offsetPattern = regexp.MustCompile(`,"(\d+-\d+)"]$`)

func (c *client) note(text string) {
	if at := offsetPattern.FindStringSubmatchIndex(text); at != nil {
		c.offset = text[at[2]:at[3]]
		text = text[:at[0]] + "]"
	}
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

func (c *client) lastOffset() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset
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

// proxy stands between a client and Redis, so that the connection can fail while Redis goes on.
type proxy struct {
	t      testing.TB
	target string
	ln     net.Listener
	group  sync.WaitGroup

	mu    sync.Mutex
	cut   bool              // mu
	conns map[net.Conn]bool // mu
}

func startProxy(t testing.TB, target string) *proxy {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{t: t, target: target, ln: ln, conns: make(map[net.Conn]bool)}
	p.group.Go(p.serve)
	t.Cleanup(func() {
		_ = ln.Close()
		p.setCut(true)
		p.group.Wait()
	})
	return p
}

func (p *proxy) serve() {
	for {
		conn, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target := p.target
		p.mu.Unlock()
		upstream, err := net.Dial("tcp", target)
		if err != nil {
			_ = conn.Close()
			continue
		}
		p.mu.Lock()
		refuse := p.cut
		if !refuse {
			p.conns[conn], p.conns[upstream] = true, true
		}
		p.mu.Unlock()
		if refuse {
			_ = conn.Close()
			_ = upstream.Close()
			continue
		}
		for _, pair := range [][2]net.Conn{{conn, upstream}, {upstream, conn}} {
			p.group.Go(func() {
				_, _ = io.Copy(pair[0], pair[1])
				_ = pair[0].Close()
				_ = pair[1].Close()
			})
		}
	}
}

// setCut closes all connections and refuses new ones, or accepts them again.
func (p *proxy) setCut(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	if cut {
		for conn := range p.conns {
			_ = conn.Close()
		}
		clear(p.conns)
	}
}

// through makes a node's log reader use the proxy.
func (p *proxy) through() func(*Deps) {
	return func(d *Deps) { d.Blocking = redisClients(p.t, p.ln.Addr().String()).blocking }
}
