package conformance

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"

	gateway "github.com/teloo/realtime-gateway/node"
	"github.com/teloo/realtime-gateway/node/engine"
	"github.com/teloo/realtime-gateway/node/taskqueue"
)

// newOurs starts an engine of the gateway's own.
func (h *host) newOurs(t *testing.T, cfg engine.Config) *engine.Server {
	t.Helper()
	cfg.NodeName = "conformance"
	cfg.PingInterval, cfg.PingTimeout, cfg.UpgradeTimeout = h.PingInterval, h.PingTimeout, h.UpgradeTimeout
	cfg.MaxPayload, cfg.MaxUntrusted = h.MaxPayload, h.MaxPayload
	cfg.AllowEIO3 = h.AllowEIO3
	cfg.AllowOrigin = func(r *http.Request) bool { return r.Header.Get("Origin") != foreignOrigin }
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
	cfg := engine.DefaultConfig()
	raw := h.newOurs(t, cfg)
	h.echo(raw, raw)
	cfg.Final, cfg.Acceptable, cfg.Translate = gateway.Final, gateway.Acceptable, gateway.Translate
	bound := h.newOurs(t, cfg)
	io := h.newSocketServer()
	// As the gateway does: what follows a CONNECT waits until that has been decided, and tasks have a goroutine only while
	// there are some.
	namespaces := namespacesOf(io)
	for _, nsp := range namespaces {
		nsp.Use(func(s *socket.Socket, next func(*socket.ExtendedError)) {
			taskqueue.Take(s, func(fault any) { t.Error("a task panicked:", fault) })
			session := s.Conn().(*engine.Session)
			session.Hold()
			why := refusal(s)
			next(why)
			taskqueue.Run(s)
			if why != nil {
				session.Release()
			}
		})
		_ = nsp.On("connection", func(args ...any) {
			s := args[0].(*socket.Socket)
			_ = s.Conn().On("data", func(...any) { taskqueue.Run(s) })
			s.Conn().(*engine.Session).Release()
		})
	}
	h.bind(bound, bound, io, namespaces)
	h.stops = append([]func(){func() { io.Close(nil) }}, h.stops...)
}
