package engine

import (
	"errors"
	"net/http"

	"github.com/gobwas/ws"
	"github.com/zishang520/socket.io/servers/engine/v3/transports"
)

// Names of the transports.
const (
	transportPolling   = "polling"
	transportWebSocket = "websocket"
)

const statusNormal = ws.StatusNormalClosure

var (
	// ErrSlowConsumer ends a session whose client takes too little; a "close" listener is told it.
	ErrSlowConsumer = errors.New("the client does not keep up")
	// errHeartbeat ends a session whose client pings.
	errHeartbeat = errors.New("invalid heartbeat direction")
	errOverlap   = errors.New("overlap from client")
	errMalformed = errors.New("malformed packet")
)

// blank is what the library's interface asks for beyond a view's own methods; nothing uses it.
var blank = transports.MakeTransport()

// view shows the library what carries a session.
type view struct {
	transports.Transport

	session *Session
}

// Name implements the library's Transport.
func (v view) Name() string {
	v.session.mu.Lock()
	defer v.session.mu.Unlock()
	if v.session.ws != nil {
		return transportWebSocket
	}
	return transportPolling
}

// Writable reports whether a message would go out at once.
func (v view) Writable() bool {
	v.session.mu.Lock()
	defer v.session.mu.Unlock()
	return v.session.state.Load() == stateOpen && v.session.takesNow()
}

// ReadyState implements the library's Transport.
func (v view) ReadyState() string { return v.session.ReadyState() }

// Protocol implements the library's Transport.
func (v view) Protocol() int { return v.session.Protocol() }

// Sid implements the library's Transport.
func (v view) Sid() string { return v.session.id }

// Close implements the library's Transport.
func (v view) Close(...func()) { v.session.Close(false) }

// noResponse stands for a response that was written long ago.
type noResponse struct{}

func (noResponse) Header() http.Header         { return http.Header{} }
func (noResponse) Write(p []byte) (int, error) { return len(p), nil }
func (noResponse) WriteHeader(int)             {}
