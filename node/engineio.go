package node

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/node/engine"
	"github.com/teloo/realtime-gateway/node/taskqueue"
)

// This file is where Socket.IO meets the transports; nothing else here knows of them.

// A quarter of Config.MaxConnections and spareSessions is how many sessions there may be that have no socket.
const spareSessions = 64

// newEngine makes the transports' server. Origins and draining are looked at before anything is allocated for a client.
func newEngine(cfg Config, deps Deps) (*engine.Server, error) {
	c := engine.DefaultConfig()
	c.NodeName, c.Secret = cfg.Name, cfg.SessionSecret
	c.MaxSessions = cfg.MaxConnections + cfg.MaxConnections/4 + spareSessions
	c.PingInterval, c.PingTimeout = cfg.PingInterval, cfg.PingTimeout
	c.MaxPayload = int(cfg.MaxPayload)
	c.Written, c.AllowEIO3 = deps.Written, cfg.AllowEIO3
	c.Final, c.Acceptable, c.Translate = Final, Acceptable, Translate
	c.AllowOrigin = newOriginList(cfg.Origins).allows
	return engine.New(c, deps.Log)
}

// Final recognises the packet by which a client leaves a namespace: the library would not handle events that it
// has received before and not yet passed on.
func Final(message []byte) bool {
	return len(message) > 0 && message[0] == '0'+byte(parser.DISCONNECT)
}

// Translate makes what an old client says in binary packets without attachments, as it does for who calls binary(true), what
// others say: packets that are not binary.
func Translate(message []byte) []byte {
	if len(message) < 3 || string(message[1:3]) != "0-" {
		return message
	}
	switch parser.PacketType(message[0] - '0') {
	case parser.BINARY_EVENT:
		return append([]byte{'0' + byte(parser.EVENT)}, message[3:]...)
	case parser.BINARY_ACK:
		return append([]byte{'0' + byte(parser.ACK)}, message[3:]...)
	}
	return message
}

// maxAttachments is what Socket.IO's own parser allows.
const maxAttachments = 10

// Acceptable reports whether a message of a client's may be passed to the library, which is not strict enough: it would
// wait for ever for the attachments of some, keep too many of others, and not see what follows a payload.
func Acceptable(message []byte) bool {
	if len(message) == 0 {
		return false
	}
	kind, rest := parser.PacketType(message[0]-'0'), message[1:]
	if kind == parser.BINARY_EVENT || kind == parser.BINARY_ACK {
		number, after, found := bytes.Cut(rest, []byte{'-'})
		n, err := strconv.ParseUint(string(number[:min(len(number), 4)]), 10, 16)
		if !found || len(number) >= 4 || err != nil || n < 1 || n > maxAttachments {
			return false
		}
		rest = after
	}
	if len(rest) > 0 && rest[0] == '/' { // the namespace
		_, rest, _ = bytes.Cut(rest, []byte{','})
	}
	payload := bytes.TrimLeft(rest, "0123456789 ") // behind the id
	return len(payload) == 0 || strings.IndexByte(`{["`, payload[0]) >= 0 && json.Valid(payload)
}

// newServer makes the Socket.IO server on the engine.
func newServer(cfg Config, adapter socket.AdapterConstructor, on *engine.Server) *socket.Server {
	opts := socket.DefaultServerOptions()
	opts.SetServeClient(false)
	opts.SetAdapter(adapter)
	opts.SetConnectTimeout(cfg.ConnectTimeout)
	// How long a session can be recovered is the adapter's; a recovering client passes the middleware as any other does.
	recovery := socket.DefaultConnectionStateRecovery()
	recovery.SetSkipMiddlewares(false)
	opts.SetConnectionStateRecovery(recovery)
	io := socket.NewServer(nil, opts)
	io.Bind(on)
	return io
}

// originList decides which browser origins may talk to the node.
type originList struct {
	any     bool
	origins map[string]struct{}
}

func newOriginList(origins []string) originList {
	l := originList{origins: make(map[string]struct{}, len(origins))}
	for _, o := range origins {
		if o == "*" {
			l.any = true
		}
		l.origins[strings.ToLower(strings.TrimSuffix(o, "/"))] = struct{}{}
	}
	return l
}

func (l originList) listed(origin string) bool {
	_, ok := l.origins[strings.ToLower(origin)]
	return ok || l.any
}

// allows reports whether r comes from no browser, from the node's own host, or from a listed origin.
func (l originList) allows(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || l.listed(origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// guard refuses new connections while the node drains.
func guard(next http.Handler, draining func() bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if draining() && r.URL.Query().Get("sid") == "" {
			w.Header().Set("Retry-After", "1")
			http.Error(w, `{"code":4,"message":"Draining"}`, http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// transportOpen reports whether the socket's connection can still carry packets.
func transportOpen(s *socket.Socket) bool { return s.Conn().ReadyState() == "open" }

// transportOf is what carries the socket, "polling" or "websocket".
func transportOf(s *socket.Socket) string { return s.Conn().Transport().Name() }

// onTransportClose calls fn, at least once, when the socket's connection has closed.
func onTransportClose(s *socket.Socket, fn func()) {
	_ = s.Conn().Once("close", func(...any) { fn() })
	if s.Conn().ReadyState() == "closed" {
		fn()
	}
}

// closeTransport ends the connection of s, behind what it has been sent, so that its client reconnects by itself, which
// it does not after a DISCONNECT packet. It does not wait.
func closeTransport(s *socket.Socket) { s.Conn().Close(false) }

// hold makes what the client sends wait until its connect is decided: the library takes an event that comes before for a
// fault, and a second CONNECT for another socket.
func hold(s *socket.Socket) {
	if conn, ok := s.Conn().(*engine.Session); ok {
		conn.Hold()
	}
}

// letGoOn ends hold.
func letGoOn(s *socket.Socket) {
	if conn, ok := s.Conn().(*engine.Session); ok {
		conn.Release()
	}
}

// begun lets the client's messages go on after hold, of any size that is allowed, and go what nobody needs once a socket is there.
func begun(s *socket.Socket) {
	if conn, ok := s.Conn().(*engine.Session); ok {
		conn.ForgetRequest()
		conn.Trust()
		conn.Release()
	}
}

// handleFirst makes the end of the connection wait for what the socket received before it.
func handleFirst(s *socket.Socket, sess *session) {
	conn, ok := s.Conn().(*engine.Session)
	if !ok {
		return
	}
	conn.OnClosing(func(done func()) {
		stop := sess.whenGone(done) // its queue takes nothing more then
		// An event passes the queue twice.
		taskqueue.Enqueue(s, func() {
			s.Enqueue(func() {
				stop()
				done()
			})
		})
	})
}
