package conformance

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/node/engine"
	"github.com/teloo/realtime-gateway/node/taskqueue"
)

// newOurs starts an engine of the gateway's own.
func (h *host) newOurs(t *testing.T) *engine.Server {
	t.Helper()
	cfg := engine.DefaultConfig()
	cfg.NodeName = "conformance"
	cfg.PingInterval, cfg.PingTimeout, cfg.UpgradeTimeout = h.PingInterval, h.PingTimeout, h.UpgradeTimeout
	cfg.MaxPayload, cfg.MaxUntrusted = h.MaxPayload, h.MaxPayload
	cfg.AllowOrigin = func(r *http.Request) bool { return r.Header.Get("Origin") != foreignOrigin }
	cfg.Final = func(message []byte) bool { return len(message) > 0 && message[0] == '1' } // Socket.IO's DISCONNECT
	if h.StallTimeout > 0 {
		cfg.StallTimeout = h.StallTimeout
	}
	if h.CloseGrace > 0 {
		cfg.CloseGrace = h.CloseGrace
	}
	if h.MaxQueueBytes > 0 {
		cfg.MaxQueueBytes = h.MaxQueueBytes
	}
	server, err := engine.New(cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	h.stops = append(h.stops, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error("the engine's Run:", err)
		}
	})
	for serving := false; !serving; {
		w := httptest.NewRecorder()
		server.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		serving = w.Code != http.StatusServiceUnavailable
	}
	return server
}

func (h *host) serveOurs(t *testing.T) {
	t.Helper()
	raw := h.newOurs(t)
	h.echo(raw, raw)
	bound := h.newOurs(t)
	io := h.newSocketServer()
	// As the gateway does: what follows a CONNECT waits until that has been decided, and tasks have a goroutine only while
	// there are some.
	io.Use(func(s *socket.Socket, next func(*socket.ExtendedError)) {
		taskqueue.Take(s, func(fault any) { t.Error("a task panicked:", fault) })
		s.Conn().(*engine.Session).Hold()
		next(nil)
		taskqueue.Run(s)
	})
	_ = io.On("connection", func(args ...any) {
		s := args[0].(*socket.Socket)
		_ = s.Conn().On("data", func(...any) { taskqueue.Run(s) })
		s.Conn().(*engine.Session).Release()
	})
	h.bind(bound, bound, io)
	h.stops = append([]func(){func() { io.Close(nil) }}, h.stops...)
}
