package node

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/zishang520/socket.io/servers/socket/v3"
	"golang.org/x/sync/errgroup"

	"github.com/teloo/realtime-gateway/node/auth"
)

// Hello makes the first event of a connected socket.
type Hello = func() (event string, payload any)

// Sessions is who sends sockets their rooms' events, and keeps of each socket what its client can come back to.
type Sessions interface {
	// Open makes a connected socket of user join rooms and sends it hello, whose last argument becomes the position from
	// which on it is sent what the rooms get. After an error the connection has to be closed.
	Open(s *socket.Socket, user string, rooms []string, hello Hello) error
	// Saved calls done, which must not block, when the socket's present rooms outlive this node, or cannot be saved.
	Saved(s *socket.Socket, done func(error))
	// Lost tells that the connection of s was lost, when the server will not, or is about to be closed: its client can
	// come back to its session, and is sent nothing more before.
	Lost(s *socket.Socket)
	// End makes that the client of s cannot come back to its session.
	End(s *socket.Socket)
}

// Recovery is the earlier session that a connecting socket wants to go on with; the socket's data until it is admitted.
type Recovery interface {
	// Session returns whose it is and its rooms; an error means that this cannot be found out at the moment.
	Session() (user string, rooms []string, err error)
	// Take makes it this connection's. After an error it isn't, and the client has to try again.
	Take(ctx context.Context) error
	// Discard ends it, on every node when it returns, unless ctx ends before.
	Discard(ctx context.Context)
	// Resume is Open, with the events that were missed in rooms following hello.
	Resume(s *socket.Socket, rooms []string, hello Hello) error
}

var (
	// errOtherUser is a connect with another user's session.
	errOtherUser = errors.New("the session is another user's")
	// errRetry is a connect that cannot be decided now.
	errRetry = errors.New("the session cannot be taken now")
)

// goOn prepares a recovery whose client has proved who it is: rooms are granted afresh, and the session is taken over. The
// errors are errOtherUser and errRetry.
func (n *Node) goOn(ctx context.Context, sess *session) error {
	user, rooms, err := sess.recovery.Session()
	if err != nil {
		return errors.Join(errRetry, err)
	}
	if user != sess.identity.User {
		sess.recovery.Discard(ctx)
		return errOtherUser
	}
	sess.seen = n.withdrawals.Load()
	if sess.earlier, err = n.regrant(ctx, sess.identity, rooms); err != nil {
		return errors.Join(errRetry, err)
	}
	if err := sess.recovery.Take(ctx); err != nil {
		return errors.Join(errRetry, err)
	}
	return nil
}

// grantsAtOnce is how many rooms of one connect are looked up at the same time.
const grantsAtOnce = 32

// regrant returns those of the rooms that the token's bearer may be in.
func (n *Node) regrant(ctx context.Context, id auth.Identity, rooms []string) ([]string, error) {
	granted := make([]bool, len(rooms))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(grantsAtOnce)
	for i, room := range rooms {
		group.Go(func() (err error) {
			granted[i], err = n.stillGranted(ctx, id, room)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var kept []string
	for i, room := range rooms {
		if granted[i] {
			kept = append(kept, room)
		}
	}
	return kept, nil
}

// stillGranted decides on a room that a session was in. The rooms of user and role follow from the token; a solicitud's
// is subject to the policy; what else there is, a server has put the socket into.
func (n *Node) stillGranted(ctx context.Context, id auth.Identity, room string) (bool, error) {
	solicitud, is := strings.CutPrefix(room, SolicitudRoom(""))
	switch {
	case is && solicitud != "":
		return n.deps.Policy.MaySubscribe(ctx, id, solicitud, n.deps.Grants)
	case strings.HasPrefix(room, UserRoom("")), slices.Contains([]string{RoleAdmin, RoleAdvisor, RoleClient}, room):
		return false, nil
	}
	return true, nil
}

// start serves a connected socket: with its earlier session, or a fresh one.
func (n *Node) start(s *socket.Socket, sess *session) error {
	recovers := sess.recovery != nil
	id := sess.who()
	rooms := []string{id.Role, UserRoom(id.User)}
	for _, room := range sess.earlier {
		if strings.HasPrefix(room, SolicitudRoom("")) {
			if err := sess.enter(n.deps.Presence, room, n.cfg.MaxRooms); err != nil {
				continue // the limit is lower than when the session subscribed
			}
			sess.confirm(room)
		}
		rooms = append(rooms, room)
	}
	hello := func() (string, any) {
		return "connected", connectedEvent{
			UserID: id.User, Role: id.Role, Rooms: rooms, Node: n.cfg.Name, Recovered: recovers,
		}
	}
	recovery, earlier := sess.recovery, sess.earlier
	sess.recovery, sess.earlier = nil, nil
	if recovery == nil {
		return n.deps.Sessions.Open(s, id.User, rooms, hello)
	}
	if err := recovery.Resume(s, rooms, hello); err != nil {
		return err
	}
	if n.withdrawals.Load() == sess.seen {
		return nil
	}
	return n.recheck(n.ctx, s, sess, earlier) // Withdrawn may not have seen it in its rooms
}
