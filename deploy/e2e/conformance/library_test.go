package conformance

import (
	"errors"
	"testing"

	"github.com/zishang520/socket.io/servers/engine/v3"
	"github.com/zishang520/socket.io/servers/engine/v3/config"
	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// libraryOptions are the contract's limits for the library.
func libraryOptions[O interface {
	config.ServerOptionsInterface
}](opts O, l limits,
) O {
	opts.SetPingInterval(l.PingInterval)
	opts.SetPingTimeout(l.PingTimeout)
	opts.SetUpgradeTimeout(l.UpgradeTimeout)
	opts.SetMaxHttpBufferSize(int64(l.MaxPayload))
	opts.SetAllowEIO3(l.AllowEIO3)
	opts.SetPerMessageDeflate(nil)
	opts.SetHttpCompression(nil)
	opts.SetCors(&types.Cors{Origin: allowedOrigin, Credentials: true})
	opts.SetAllowRequest(func(ctx *types.HttpContext) error {
		if ctx.Headers().Peek("Origin") == foreignOrigin {
			return errors.New("Forbidden")
		}
		return nil
	})
	return opts
}

// newSocketServer makes the Socket.IO server, which has no engine yet.
func (h *host) newSocketServer() *socket.Server {
	opts := libraryOptions(socket.DefaultServerOptions(), h.limits)
	opts.SetServeClient(false)
	opts.SetConnectTimeout(h.ConnectTimeout)
	return socket.NewServer(nil, opts)
}

func (h *host) serveLibrary(t *testing.T) {
	t.Helper()
	raw := engine.NewServer(libraryOptions(config.DefaultServerOptions(), h.limits))
	h.echo(raw, raw)
	bound := engine.NewServer(libraryOptions(config.DefaultServerOptions(), h.limits))
	io := h.newSocketServer()
	namespaces := namespacesOf(io)
	for _, nsp := range namespaces {
		nsp.Use(func(s *socket.Socket, next func(*socket.ExtendedError)) { next(refusal(s)) })
	}
	h.bind(bound, bound, io, namespaces)
	h.stops = append(h.stops, func() {
		raw.Close()
		io.Close(nil)
	})
}
