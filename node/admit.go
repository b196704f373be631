package node

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/node/auth"
	"github.com/teloo/realtime-gateway/node/taskqueue"
)

var (
	// errConnectTwice is a second CONNECT on a connection that has a socket or is being admitted.
	errConnectTwice = errors.New("this connection has a socket already")
	// errTooManySockets is a connect of a user who has as many sockets as a user may.
	errTooManySockets = errors.New("the user has too many sockets")
)

// admit is the Socket.IO middleware that decides on a connect. It answers on its own goroutine, since keys or budget
// may be waited for, and always answers: a middleware that does not would hold the socket's memory for ever.
func (n *Node) admit(s *socket.Socket, next func(*socket.ExtendedError)) {
	taskqueue.Take(s, func(fault any) { n.panicked("task", fault) })
	answer := next
	next = func(err *socket.ExtendedError) {
		answer(err) // adds a task
		taskqueue.Run(s)
	}
	own, release, err := n.takeSeat(s)
	if err != nil {
		n.refuse(s, next, err)
		if errors.Is(err, errConnectTwice) {
			go s.Conn().Close(true)
		}
		return
	}
	hold(s)
	go func() {
		ctx, cancel := context.WithTimeout(n.ctx, n.cfg.AdmitTimeout)
		defer cancel()
		sess := &session{node: n.cfg.Name, seat: own, release: release}
		err := n.check(ctx, s, sess)
		switch {
		case errors.Is(err, errRetry):
			n.log.Debug("connect dismissed", "address", s.Handshake().Address, "err", err)
			n.dismiss(s, next)
		case err != nil:
			release()
			n.refuse(s, next, err)
			letGoOn(s)
		case n.draining.Load():
			n.dismiss(s, next)
		default:
			s.SetData(sess)
			forgetHandshake(s)
			next(nil)
		}
	}()
}

// forgetHandshake lets go of what nobody needs once it is decided who this is, the token above all. For sockets that
// nobody else knows yet.
func forgetHandshake(s *socket.Socket) {
	h := s.Handshake()
	h.Auth, h.Headers, h.Query = nil, nil, nil
}

// seat is the place of a connection's one socket.
type seat struct {
	taken atomic.Bool
	// user gives back the place among its user's, if it has one.
	user atomic.Pointer[func()]
}

// with makes release be called when the seat is free, which it may be already.
func (s *seat) with(release func()) {
	s.user.Store(&release)
	if !s.taken.Load() {
		s.withoutUser()
	}
}

func (s *seat) withoutUser() {
	if release := s.user.Swap(nil); release != nil {
		(*release)()
	}
}

// takeSeat reserves one of MaxConnections for the one socket of a connection. release gives it back, once however often
// it is called; the connection's end does, too. The error is errConnectTwice or auth.ErrServerFull.
func (n *Node) takeSeat(s *socket.Socket) (own *seat, release func(), err error) {
	conn := s.Conn().Id()
	known, found := n.seated.Load(conn)
	if !found {
		known, found = n.seated.LoadOrStore(conn, &seat{})
	}
	own = known.(*seat) //nolint:forcetypeassert // the map's own
	if !own.taken.CompareAndSwap(false, true) {
		return nil, nil, errConnectTwice
	}
	free := func() {
		if own.taken.CompareAndSwap(true, false) {
			n.seats.Add(-1)
			own.withoutUser()
		}
	}
	if n.seats.Add(1) > int64(n.cfg.MaxConnections) {
		err = auth.ErrServerFull
	}
	// One listener however often a client tries. It frees what is taken before the connection ends, and the look at its
	// state what is taken after.
	if !found {
		onTransportClose(s, func() {
			n.seated.Delete(conn)
			free()
		})
	}
	if err != nil || !transportOpen(s) {
		free()
	}
	return own, sync.OnceFunc(free), err
}

// dismiss closes the connection of a socket that this node cannot take now. Its middleware is answered only then, so
// that no connect_error is sent, after which the client would not reconnect.
func (n *Node) dismiss(s *socket.Socket, next func(*socket.ExtendedError)) {
	n.dismissed.Add(1)
	onTransportClose(s, sync.OnceFunc(func() { next(socket.NewExtendedError("try again", nil)) }))
	closeTransport(s)
	letGoOn(s) // the client answers the close, which else would wait, too
}

// check finds out who connects, and whether an earlier session goes on. A panic costs this one connect.
func (n *Node) check(ctx context.Context, s *socket.Socket, sess *session) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			n.panicked("connect", fault)
			err = auth.ErrTokenInvalid
		}
	}()
	if sess.identity, err = n.identify(ctx, s); err != nil {
		if errors.Is(err, auth.ErrTokenRevoked) {
			n.endSession(ctx, s, sess.identity)
		}
		return err
	}
	if err := n.mayConnect(ctx, sess); err != nil {
		return err
	}
	recovery, recovers := s.Data().(Recovery)
	if !recovers {
		return nil
	}
	sess.recovery = recovery
	return n.goOn(ctx, sess)
}

// mayConnect takes one of the user's places and waits for the connect budget.
func (n *Node) mayConnect(ctx context.Context, sess *session) error {
	release, ok := n.deps.Limits.TakeSocket(sess.identity.User)
	if !ok {
		return errors.Join(auth.ErrRateLimited, errTooManySockets)
	}
	sess.seat.with(release)
	if err := n.deps.Budget.Wait(ctx); err != nil {
		return errors.Join(auth.ErrRateLimited, err)
	}
	return nil
}

// identify checks the token. It tells whose token was revoked.
func (n *Node) identify(ctx context.Context, s *socket.Socket) (identity auth.Identity, err error) {
	token, err := tokenOf(s.Handshake(), s.Conn().Protocol() == 3)
	if err != nil {
		return auth.Identity{}, err
	}
	identity, err = n.deps.Verifier.Verify(ctx, token)
	if err != nil {
		return auth.Identity{}, err
	}
	return identity, n.notRevoked(identity)
}

// tokenOf takes the token from auth.token, else from the Authorization header; of old clients, which have no auth and in
// browsers no header either, from the query.
func tokenOf(h *socket.Handshake, old bool) (string, error) {
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
	if values, ok := h.Query["token"].([]string); old && ok && len(values) == 1 && values[0] != "" {
		return values[0], nil
	}
	return "", auth.ErrTokenMissing
}

// refuse answers with connect_error. Its data carries the code; the details go to the log alone.
func (n *Node) refuse(s *socket.Socket, next func(*socket.ExtendedError), err error) {
	code := auth.Code(err)
	if errors.Is(err, errConnectTwice) {
		code = auth.Code(auth.ErrRateLimited)
	}
	if errors.Is(err, errOtherUser) {
		code = auth.Code(auth.ErrTokenInvalid) // it is no token for this session; the next connect is a fresh one
	}
	n.refused.Add(1)
	n.refusedBy.note(code)
	n.log.Debug("connect refused", "code", code, "address", s.Handshake().Address, "err", err)
	next(socket.NewExtendedError(code, map[string]any{"code": code}))
}
