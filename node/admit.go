package node

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/node/auth"
)

// admit is the Socket.IO middleware that decides on a connect. It answers on its own goroutine, since keys or budget
// may be waited for, and always answers: a middleware that does not would hold the socket's memory for ever.
func (n *Node) admit(s *socket.Socket, next func(*socket.ExtendedError)) {
	release, ok := n.takeSeat()
	if !ok {
		n.refuse(s, next, auth.ErrServerFull)
		return
	}
	onTransportClose(s, release)
	go func() {
		ctx, cancel := context.WithTimeout(n.ctx, n.cfg.AdmitTimeout)
		defer cancel()
		identity, err := n.identify(ctx, s)
		if err != nil {
			release()
			n.refuse(s, next, err)
			return
		}
		s.SetData(&session{identity: identity, release: release})
		next(nil)
	}()
}

// takeSeat reserves one of MaxConnections. release gives it back, once however often it is called.
func (n *Node) takeSeat() (release func(), ok bool) {
	if n.seats.Add(1) > int64(n.cfg.MaxConnections) {
		n.seats.Add(-1)
		return nil, false
	}
	return sync.OnceFunc(func() { n.seats.Add(-1) }), true
}

func (n *Node) identify(ctx context.Context, s *socket.Socket) (auth.Identity, error) {
	token, err := tokenOf(s.Handshake())
	if err != nil {
		return auth.Identity{}, err
	}
	identity, err := n.deps.Verifier.Verify(ctx, token)
	if err != nil {
		return auth.Identity{}, err
	}
	if err := n.deps.Budget.Wait(ctx); err != nil {
		return auth.Identity{}, errors.Join(auth.ErrRateLimited, err)
	}
	return identity, nil
}

// tokenOf takes the token from auth.token, else from the Authorization header.
func tokenOf(h *socket.Handshake) (string, error) {
	if given, ok := h.Auth["token"]; ok {
		token, ok := given.(string)
		if !ok {
			return "", auth.ErrTokenInvalid
		}
		if token != "" {
			return token, nil
		}
	}
	for name, value := range h.Headers {
		if values, ok := value.([]string); ok && len(values) > 0 && strings.EqualFold(name, "Authorization") {
			if token := auth.Bearer(values[0]); token != "" {
				return token, nil
			}
		}
	}
	return "", auth.ErrTokenMissing
}

// refuse answers with connect_error. Its data carries the code; the details go to the log alone.
func (n *Node) refuse(s *socket.Socket, next func(*socket.ExtendedError), err error) {
	code := auth.Code(err)
	n.refused.Add(1)
	n.log.Debug("connect refused", "code", code, "address", s.Handshake().Address, "err", err)
	next(socket.NewExtendedError(code, map[string]any{"code": code}))
}
