package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/node/auth"
)

// Faults of a token that would be a good one for a connect. Their codes are token_invalid and token_expired.
var (
	errForeignToken = fmt.Errorf("%w: it is another user's", auth.ErrTokenInvalid)
	errOlderToken   = fmt.Errorf("%w: it is older than the present one", auth.ErrTokenInvalid)
	errTooLate      = fmt.Errorf("%w: the present one has, and the connection is being closed", auth.ErrTokenExpired)
)

// refreshAnswer is the ack of `refresh_token`.
type refreshAnswer struct {
	OK bool `json:"ok"`
	// ExpiresAt is the token's exp, in unix milliseconds.
	ExpiresAt int64      `json:"expires_at,omitempty"`
	Role      string     `json:"role,omitempty"`
	Rooms     []string   `json:"rooms,omitempty"`
	Error     *wireError `json:"error,omitempty"`
}

// wireErrorOf tells a client of one of auth's errors by its code alone; the details go to the log.
func wireErrorOf(err error) *wireError {
	if errors.Is(err, errUnavailable) {
		return answerOf(errUnavailable)
	}
	told := &wireError{Code: auth.Code(err), Message: "the token cannot be used here"}
	switch {
	case errors.Is(err, auth.ErrTokenMissing):
		told.Message = "no token was given"
	case errors.Is(err, auth.ErrTokenExpired):
		told.Message = "the token has expired"
	case errors.Is(err, auth.ErrTokenRevoked):
		told.Message = "the token was revoked"
	case errors.Is(err, auth.ErrRoleUnknown):
		told.Message = "the token's role is not known"
	}
	return told
}

// refresh answers `refresh_token`: the connection goes on with another token of its user, or as before.
func (n *Node) refresh(s *socket.Socket, sess *session, args []any, ack socket.Ack) {
	unsaved, err := n.renewBy(s, sess, args)
	if err != nil || !unsaved {
		n.replyRefresh(s, sess, ack, err)
		return
	}
	// The client may rely on its new rooms, so they have to outlive this node.
	n.whenSaved(s, sess, func(err error) {
		if err != nil {
			err = errors.Join(errUnavailable, err)
		}
		n.replyRefresh(s, sess, ack, err)
	})
}

// renewBy puts the token in a request's first argument in the place of the session's. unsaved says that the session's
// rooms are others than before, or may be, the token being the same: the client repeats what it got no answer to. Grants
// are looked up for a new token alone, so that they are as often as somebody signs one.
func (n *Node) renewBy(s *socket.Socket, sess *session, args []any) (unsaved bool, err error) {
	ctx, cancel := context.WithTimeout(n.ctx, n.cfg.AdmitTimeout)
	defer cancel()
	next, err := n.verifyRefresh(ctx, args)
	if err != nil {
		return false, err
	}
	was := sess.who()
	if err := mayFollow(was, next); err != nil {
		return false, err
	}
	if sameToken(was, next) {
		return true, nil
	}
	seen, rooms := n.withdrawals.Load(), sess.subscriptions()
	kept, err := n.regrant(ctx, next, rooms)
	if err != nil {
		return false, fmt.Errorf("%w: %w", errUnavailable, err)
	}
	if err := n.renew(s, sess, next); err != nil {
		return false, err
	}
	n.moveRooms(s, sess, [2]string{was.Role, next.Role}, without(rooms, kept))
	n.closeIfRevoked(s, sess) // CloseRevoked may have looked at the earlier token
	if n.withdrawals.Load() != seen && n.recheck(ctx, s, sess, sess.subscriptions()) != nil {
		n.sendAway(s) // Withdrawn may have done so, too, and nobody would look again
	}
	return was.Role != next.Role || len(kept) != len(rooms), nil
}

// sameToken says whether two tokens are the same, or say the same.
func sameToken(a, b auth.Identity) bool {
	return a.TokenID == b.TokenID && a.IssuedAt.Equal(b.IssuedAt) && a.ExpiresAt.Equal(b.ExpiresAt) && a.Role == b.Role &&
		slices.Equal(a.Solicitudes, b.Solicitudes)
}

// moveRooms has the socket go from one role's room to another's, and leave what is forbidden now.
func (n *Node) moveRooms(s *socket.Socket, sess *session, roles [2]string, forbidden []string) {
	if was, next := roles[0], roles[1]; was != next {
		s.Leave(socket.Room(was))
		s.Join(socket.Room(next))
	}
	for _, room := range forbidden {
		n.takeOut(s, sess, room, unsubscribed{Room: room, Code: "forbidden", Message: errForbidden.Error()})
	}
}

// verifyRefresh checks the token as for a connect.
func (n *Node) verifyRefresh(ctx context.Context, args []any) (auth.Identity, error) {
	token, err := tokenIn(args)
	if err != nil {
		return auth.Identity{}, err
	}
	id, err := n.deps.Verifier.Verify(ctx, token)
	if err != nil {
		return auth.Identity{}, err
	}
	err = n.deps.Revocations.Check(id)
	if errors.Is(err, auth.ErrUnavailable) {
		err = errUnavailable
	}
	return id, err
}

// tokenIn reads {token} from a request's first argument.
func tokenIn(args []any) (string, error) {
	if len(args) == 0 {
		return "", auth.ErrTokenMissing
	}
	request, ok := args[0].(map[string]any)
	if !ok {
		return "", auth.ErrTokenMissing
	}
	switch token := request["token"].(type) {
	case nil:
		return "", auth.ErrTokenMissing
	case string:
		return token, nil
	default:
		return "", auth.ErrTokenInvalid
	}
}

// mayFollow says whether a session may go on with next in the place of was. One that is older in any respect is a replay,
// which could bring back a role or a grant that the user has no more.
func mayFollow(was, next auth.Identity) error {
	switch {
	case next.User != was.User:
		return errForeignToken
	case next.IssuedAt.Before(was.IssuedAt), next.ExpiresAt.Before(was.ExpiresAt):
		return errOlderToken
	}
	return nil
}

// renew replaces the session's token, and has its user counted in the new role; rooms are the caller's.
func (n *Node) renew(s *socket.Socket, sess *session, next auth.Identity) error {
	sess.mu.Lock()
	defer sess.mu.Unlock()
	if sess.ended || sess.expired {
		return errTooLate
	}
	was := sess.identity
	if was.Role != next.Role {
		// Who comes before he goes is never away.
		n.deps.Presence.Connect(next.User, next.Role)
		n.deps.Presence.Disconnect(was.User, was.Role)
		for room := range sess.solicitudes {
			n.deps.Presence.Join(memberOf(room, next))
			n.deps.Presence.Leave(memberOf(room, was))
		}
	}
	sess.identity = next
	n.follow(s, sess)
	return nil
}

// replyRefresh answers by the ack; without one, only errors are told.
func (n *Node) replyRefresh(s *socket.Socket, sess *session, ack socket.Ack, err error) {
	var result refreshAnswer
	if err != nil {
		result.Error = wireErrorOf(err)
		n.log.Debug("token not refreshed", "code", result.Error.Code, "err", err)
	} else {
		id := sess.who()
		result = refreshAnswer{OK: true, ExpiresAt: id.ExpiresAt.UnixMilli(), Role: id.Role, Rooms: n.roomsOf(s, id)}
	}
	switch {
	case ack != nil:
		ack([]any{result}, nil)
	case err != nil:
		n.emit(s, "error", result.Error)
	}
}

// roomsOf lists the rooms of s as `connected` does: role, user, the others.
func (n *Node) roomsOf(s *socket.Socket, id auth.Identity) []string {
	rooms := []string{id.Role, UserRoom(id.User)}
	var others []string
	for _, room := range s.Rooms().Keys() {
		if name := string(room); name != string(s.Id()) && !slices.Contains(rooms, name) {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	return append(rooms, others...)
}
