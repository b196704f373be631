package node

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"sync"

	"github.com/zishang520/socket.io/servers/engine/v3"
)

// The Engine.IO library reads from a new WebSocket before its listeners are registered, so that a client's CONNECT can
// be read by nobody and the client waits in vain. The gate holds back the first read until they are.

// gate is a connection whose reads wait until it is opened or closed.
type gate struct {
	net.Conn

	opened chan struct{}
	open   func()
}

func newGate(conn net.Conn) *gate {
	g := &gate{Conn: conn, opened: make(chan struct{})}
	g.open = sync.OnceFunc(func() { close(g.opened) })
	return g
}

// Read waits for the gate.
func (g *gate) Read(p []byte) (int, error) {
	<-g.opened
	return g.Conn.Read(p)
}

// Close ends a waiting Read as well.
func (g *gate) Close() error {
	err := g.Conn.Close()
	g.open()
	return err
}

type gateKey struct{}

// gated hands the WebSocket of a new session to next behind a gate, which the session's announcement opens.
func gated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("transport") != "websocket" || q.Get("sid") != "" {
			next.ServeHTTP(w, r)
			return
		}
		g := &gateWriter{ResponseWriter: w}
		next.ServeHTTP(g, r.WithContext(context.WithValue(r.Context(), gateKey{}, g)))
	})
}

// openGate is called with a session that Socket.IO has set up.
func openGate(s engine.Socket) {
	if w, ok := s.Request().Request().Context().Value(gateKey{}).(*gateWriter); ok && w.gate != nil {
		w.gate.open()
	}
}

// gateWriter puts the hijacked connection behind a gate. gate is set by the request's goroutine, which also announces.
type gateWriter struct {
	http.ResponseWriter

	gate *gate
}

// Unwrap is for http.ResponseController.
func (w *gateWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack takes over the connection. What the client sent too early is left in the buffer, for the upgrade to refuse.
func (w *gateWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.gate = newGate(conn)
	if rw.Reader.Buffered() == 0 {
		rw.Reader.Reset(w.gate)
	}
	return w.gate, rw, nil
}
