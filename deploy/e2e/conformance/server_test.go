package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/engine/v3"
	"github.com/zishang520/socket.io/servers/socket/v3"
)

const (
	allowedOrigin = "http://shop.example"
	foreignOrigin = "http://evil.example"
)

// limits are what a test sets of the server; they are the key by which a child process is used again.
type limits struct {
	PingInterval, PingTimeout, UpgradeTimeout, ConnectTimeout time.Duration
	MaxPayload                                                int
	AllowEIO3                                                 bool
	// Of the gateway's engine alone; 0 is its default.
	StallTimeout, CloseGrace time.Duration
	MaxQueueBytes            int
}

func defaultLimits() limits {
	return limits{
		PingInterval: 25 * time.Second, PingTimeout: 20 * time.Second, UpgradeTimeout: 10 * time.Second,
		ConnectTimeout: 45 * time.Second, MaxPayload: 100_000,
	}
}

// setup is one server to be started.
type setup struct {
	limits
	// onSession is called with each new session before anybody else knows it; in-process servers only.
	onSession func(engine.Socket)
	onSocket  func(*socket.Socket)
	forget    bool // keeps nothing of sessions that have ended
}

// server is a running server. It serves, beside Engine.IO and Socket.IO:
//
//	GET  /seen/session/{sid}, /seen/socket/{tag}, /seen/sessions   what the server's side saw
//	POST /kick/{tag}                                               Disconnect(true) of the sockets with that tag
type server struct {
	limits
	t      *testing.T
	addr   string
	client *http.Client
}

// sessionSeen is what the server saw of an Engine.IO session.
type sessionSeen struct {
	State     string   `json:"state"`
	Transport string   `json:"transport"`
	Writable  bool     `json:"writable"` // with polling: a GET waits
	Closes    []string `json:"closes"`
}

// socketSeen is what the server saw of the Socket.IO sockets of a tag.
type socketSeen struct {
	Connects    int      `json:"connects"`
	Handled     int      `json:"handled"`
	Late        int      `json:"late"` // handled after the disconnect
	Disconnects []string `json:"disconnects"`
}

// start starts the server under test; change may be nil.
func start(t *testing.T, change func(*setup)) *server {
	t.Helper()
	set := setup{limits: defaultLimits()}
	if change != nil {
		change(&set)
	}
	s := &server{limits: set.limits, t: t, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}, Timeout: deadline}}
	if *engineName == node {
		s.addr = peer(t, set.limits)
	} else {
		s.addr = startHost(t, set)
	}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

// startHost serves the in-process engines.
func startHost(t *testing.T, set setup) string {
	t.Helper()
	h := newHost(set)
	switch *engineName {
	case ours:
		h.serveOurs(t)
	case library:
		h.serveLibrary(t)
	default:
		t.Fatalf("unknown engine %q", *engineName)
	}
	// Not httptest's, which waits for handlers: the library's can stay for ever.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &http.Server{Handler: h.mux, ReadHeaderTimeout: deadline, ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(listener)
	}()
	t.Cleanup(func() {
		h.stop()
		_ = srv.Close()
		<-served
	})
	return listener.Addr().String()
}

// on is the server for a subtest.
func (s *server) on(t *testing.T) *server {
	t.Helper()
	on := *s
	on.t = t
	return &on
}

func (s *server) url(path string) string { return "http://" + s.addr + path }

func (s *server) getJSON(path string, into any) {
	s.t.Helper()
	res, err := s.client.Get(s.url(path))
	require.NoError(s.t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, res.StatusCode, string(body))
	require.NoError(s.t, json.Unmarshal(body, into), string(body))
}

func (s *server) session(sid string) (seen sessionSeen) {
	s.t.Helper()
	s.getJSON("/seen/session/"+sid, &seen)
	return seen
}

func (s *server) socket(tag string) (seen socketSeen) {
	s.t.Helper()
	s.getJSON("/seen/socket/"+tag, &seen)
	return seen
}

// sessions counts the open Engine.IO sessions. Only a test that has the server for itself may rely on it.
func (s *server) sessions() (n int) {
	s.t.Helper()
	s.getJSON("/seen/sessions", &n)
	return n
}

// kick sends away the sockets of a tag.
func (s *server) kick(tag string) {
	s.t.Helper()
	res, err := s.client.Post(s.url("/kick/"+tag), "", nil)
	require.NoError(s.t, err)
	_ = res.Body.Close()
	require.Equal(s.t, http.StatusOK, res.StatusCode)
}

func (s *server) eventually(what string, holds func() bool) {
	s.t.Helper()
	require.Eventually(s.t, holds, deadline, 5*time.Millisecond, what)
}

// closedWith waits until the session has ended and requires that it ended once, for one of the reasons.
func (s *server) closedWith(sid string, reasons ...string) {
	s.t.Helper()
	s.eventually("the session ends", func() bool { return len(s.session(sid).Closes) > 0 })
	closes := s.session(sid).Closes
	require.Len(s.t, closes, 1, "a session ends once")
	require.Contains(s.t, reasons, closes[0])
}

// tcp opens a connection to the server.
func (s *server) tcp() *net.TCPConn {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close() })
	tcp, ok := conn.(*net.TCPConn)
	require.True(s.t, ok)
	return tcp
}

// handshake is the open packet's data.
type handshake struct {
	SID          string   `json:"sid"`
	Upgrades     []string `json:"upgrades"`
	PingInterval int64    `json:"pingInterval"`
	PingTimeout  int64    `json:"pingTimeout"`
	MaxPayload   int      `json:"maxPayload"`
}

// opened decodes an open packet, which has to have those keys and no others.
func opened(t *testing.T, packet string) (h handshake) {
	t.Helper()
	require.NotEmpty(t, packet)
	require.Equal(t, byte('0'), packet[0], packet)
	var keys map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(packet[1:]), &keys), packet)
	require.Len(t, keys, 5, packet)
	require.NoError(t, json.Unmarshal([]byte(packet[1:]), &h), packet)
	require.NotNil(t, h.Upgrades, packet)
	return h
}

// tag makes a name that no other test uses, since a child process serves several.
func (s *server) tag(i int) string {
	return fmt.Sprintf("%s-%d", strings.ReplaceAll(s.t.Name(), "/", "-"), i)
}
