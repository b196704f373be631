package node

import (
	"context"
	"errors"

	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/node/auth"
)

// notRevoked returns auth.ErrTokenRevoked, or errRetry while that is not known here.
func (n *Node) notRevoked(id auth.Identity) error {
	err := n.deps.Revocations.Check(id)
	if errors.Is(err, auth.ErrUnavailable) {
		return errors.Join(errRetry, err)
	}
	return err
}

// CloseRevoked closes the sockets whose tokens are revoked, for good. It is to be called after Revocations has changed:
// a socket that is being admitted meanwhile looks again itself.
func (n *Node) CloseRevoked() {
	for _, s := range n.sockets() {
		if sess, ok := s.Data().(*session); ok {
			n.closeIfRevoked(s, sess)
		}
	}
}

func (n *Node) closeIfRevoked(s *socket.Socket, sess *session) {
	if !errors.Is(n.deps.Revocations.Check(sess.who()), auth.ErrTokenRevoked) {
		return
	}
	n.revoked.Add(1)
	noteEnding(s, endedRevoked)
	n.deps.Sessions.End(s)
	n.emit(s, "error", &wireError{Code: auth.Code(auth.ErrTokenRevoked), Message: "the token was revoked"})
	s.Disconnect(true)
}

// endSession makes that the session of a client whose token is revoked is not recovered with another token.
func (n *Node) endSession(ctx context.Context, s *socket.Socket, id auth.Identity) {
	recovery, recovers := s.Data().(Recovery)
	if !recovers {
		return
	}
	if user, _, err := recovery.Session(); err == nil && user == id.User {
		recovery.Discard(ctx)
	}
}
