package conformance

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"

	engine "github.com/teloo/realtime-gateway/node/engine"
)

// serveOurs serves the gateway's own engine.
func (h *host) serveOurs(t *testing.T) {
	raw := h.ourEngine(t)
	h.echo(raw, raw)
	opts := socket.DefaultServerOptions()
	opts.SetConnectTimeout(h.ConnectTimeout)
	under := h.ourEngine(t)
	io := socket.NewServer(nil, opts)
	// As the gateway does: what follows a CONNECT waits until that is decided.
	io.Use(func(s *socket.Socket, next func(*socket.ExtendedError)) {
		s.Conn().(*engine.Session).Hold()
		next(nil)
	})
	_ = io.On("connection", func(args ...any) { args[0].(*socket.Socket).Conn().(*engine.Session).Release() })
	h.bind(under, under, io)
}

func (h *host) ourEngine(t *testing.T) *engine.Server {
	cfg := engine.DefaultConfig()
	cfg.NodeName = "conformance"
	cfg.PingInterval, cfg.PingTimeout, cfg.UpgradeTimeout = h.PingInterval, h.PingTimeout, h.UpgradeTimeout
	cfg.MaxPayload = h.MaxPayload
	cfg.StallTimeout = cmp.Or(h.StallTimeout, cfg.StallTimeout)
	cfg.CloseGrace = cmp.Or(h.CloseGrace, cfg.CloseGrace)
	cfg.MaxQueueBytes = cmp.Or(h.MaxQueueBytes, cfg.MaxQueueBytes)
	cfg.Final = func(message []byte) bool { return len(message) > 0 && message[0] == '1' } // Socket.IO's DISCONNECT
	cfg.AllowOrigin = func(r *http.Request) bool {
		origin := r.Header.Get("Origin")
		return origin == "" || origin == allowedOrigin
	}
	s, err := engine.New(cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	h.stops = append(h.stops, func() {
		cancel()
		require.NoError(t, <-ended)
	})
	return s
}
