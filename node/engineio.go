package node

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/zishang520/socket.io/parsers/engine/v3/packet"
	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/servers/engine/v3"
	"github.com/zishang520/socket.io/servers/engine/v3/transports"
	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// This file, gate.go and closing.go are the fence around the library's Engine.IO layer: nothing else here knows of transports.

// newServer makes the Socket.IO server on the library's Engine.IO. Polling and WebSocket only: WebTransport would need
// an HTTP/3 listener of its own.
func newServer(cfg Config, adapter socket.AdapterConstructor) *socket.Server {
	opts := socket.DefaultServerOptions()
	opts.SetPath(strings.TrimSuffix(cfg.Path, "/"))
	opts.SetServeClient(false)
	opts.SetAdapter(adapter)
	opts.SetTransports(types.NewSet[transports.TransportCtor](&transports.PollingBuilder{}, &transports.WebSocketBuilder{}))
	opts.SetPingInterval(cfg.PingInterval)
	opts.SetPingTimeout(cfg.PingTimeout)
	opts.SetConnectTimeout(cfg.ConnectTimeout)
	opts.SetMaxHttpBufferSize(cfg.MaxPayload)
	// How long a session can be recovered is the adapter's; a recovering client passes the middleware as any other does.
	recovery := socket.DefaultConnectionStateRecovery()
	recovery.SetSkipMiddlewares(false)
	opts.SetConnectionStateRecovery(recovery)
	// Compression costs more per socket than it saves on small events.
	opts.SetPerMessageDeflate(nil)
	opts.SetHttpCompression(nil)
	origins := newOriginList(cfg.Origins)
	opts.SetCors(&types.Cors{
		Origin:      origins.allowedAnywhere,
		Methods:     []string{http.MethodGet, http.MethodPost},
		Credentials: true,
	})
	return socket.NewServer(nil, opts)
}

// newHandler serves io; its engine exists from here on.
func newHandler(io *socket.Server, polls *polls, origins originList, draining func() bool) (http.Handler, error) {
	server, ok := io.ServeHandler(nil).(engine.Server)
	if !ok {
		return nil, errors.New("node: the library's handler is not its Engine.IO server")
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { polls.serve(server, w, r) })
	_ = io.Engine().On("connection", func(args ...any) {
		if s, ok := args[0].(engine.Socket); ok {
			openGate(s)
		}
	})
	return guard(gated(handler), origins, draining), nil
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

// allowedAnywhere is for the library, which does not say of which request it asks; guardOrigin has refused the rest.
func (l originList) allowedAnywhere(string) bool { return true }

// allows reports whether r comes from no browser, from the node's own host, or from a listed origin.
func (l originList) allows(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || l.listed(origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// guard refuses foreign origins, and new sessions while the node drains, before the library allocates anything.
func guard(next http.Handler, origins originList, draining func() bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !origins.allows(r):
			http.Error(w, `{"code":4,"message":"Forbidden"}`, http.StatusForbidden)
		case draining() && r.URL.Query().Get("sid") == "":
			w.Header().Set("Retry-After", "1")
			http.Error(w, `{"code":4,"message":"Draining"}`, http.StatusServiceUnavailable)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// transportOpen reports whether the socket's connection can still carry packets.
func transportOpen(s *socket.Socket) bool { return s.Conn().ReadyState() == "open" }

// onTransportClose calls fn, at least once, when the socket's connection has closed.
func onTransportClose(s *socket.Socket, fn func()) {
	_ = s.Conn().Once("close", func(...any) { fn() })
	if !transportOpen(s) {
		fn()
	}
}

// onLeave calls fn when the client says that it leaves. The library may report that as a lost connection, since a close
// overtakes what was received before it.
func onLeave(s *socket.Socket, fn func()) {
	_ = s.Conn().On("packet", func(args ...any) {
		p, ok := args[0].(*packet.Packet)
		if !ok || p.Type != packet.MESSAGE {
			return
		}
		if data, ok := p.Data.(types.BufferInterface); ok && data.Len() == 1 && data.Bytes()[0] == '0'+byte(parser.DISCONNECT) {
			fn()
		}
	})
}
