package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/node/taskqueue"
)

// Faults of a client's request. answerOf maps each to its code.
var (
	errBadRequest   = errors.New("solicitud_id must be a string or an integer of at most 128 bytes")
	errForbidden    = errors.New("you have no access to this solicitud")
	errTooManyRooms = errors.New("too many subscriptions on this connection")
	errUnavailable  = errors.New("access cannot be checked at the moment, try again")
	errRateLimited  = errors.New("too many events on this connection, this one was not handled")
	errEventFlood   = errors.New("too many events on this connection for too long")
)

// grantTimeout bounds the look-up of one grant.
const grantTimeout = 3 * time.Second

// answer is the ack of a subscription request.
type answer struct {
	OK    bool       `json:"ok"`
	Room  string     `json:"room,omitempty"`
	Error *wireError `json:"error,omitempty"`
}

// wireError is an error as clients see it, in acks and in the `error` event.
type wireError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// answerOf maps an error to what the client is told.
func answerOf(err error) *wireError {
	for _, known := range []struct {
		err  error
		code string
	}{
		{errBadRequest, "bad_request"},
		{errForbidden, "forbidden"},
		{errTooManyRooms, "too_many_rooms"},
		{errUnavailable, "unavailable"},
		{errRateLimited, "rate_limited"},
		{errEventFlood, "event_flood"},
	} {
		if errors.Is(err, known.err) {
			return &wireError{Code: known.code, Message: known.err.Error()}
		}
	}
	return &wireError{Code: "internal", Message: "the request failed"}
}

// listen registers the client events of the contract. The library runs the handlers of one socket one at a time.
func (n *Node) listen(s *socket.Socket, sess *session) {
	n.limitEvents(s)
	on := func(event string, handle func(args []any, ack socket.Ack)) {
		_ = s.On(event, func(args ...any) {
			defer n.recovered(event)
			args, ack := splitAck(args)
			handle(args, ack)
		})
	}
	on("ping", func(_ []any, ack socket.Ack) { n.pong(s, ack) })
	on("refresh_token", func(args []any, ack socket.Ack) { n.refresh(s, sess, args, ack) })
	on("subscribe_solicitud", func(args []any, ack socket.Ack) {
		room, err := n.subscribe(s, sess, args)
		if err != nil {
			n.reply(s, ack, "", err)
			return
		}
		// The client may rely on an answer, so what it says has to outlive this node.
		n.whenSaved(s, sess, func(err error) {
			if err != nil && !sess.confirmed(room) {
				n.leave(s, sess, room)
			}
			if err != nil || !sess.confirm(room) {
				n.reply(s, ack, "", errors.Join(errUnavailable, err))
				return
			}
			n.reply(s, ack, room, nil)
		})
	})
	on("unsubscribe_solicitud", func(args []any, ack socket.Ack) {
		room, err := n.unsubscribe(s, sess, args)
		if err != nil {
			n.reply(s, ack, "", err)
			return
		}
		n.whenSaved(s, sess, func(err error) {
			if err != nil {
				// It is left here, but would be entered again by a recovery.
				n.reply(s, ack, "", errors.Join(errUnavailable, err))
				return
			}
			n.reply(s, ack, room, nil)
		})
	})
}

// unsavedAtLeast of a socket's requests may wait for its session to be written, or as many as it may have rooms.
const unsavedAtLeast = 64

// whenSaved calls then on the socket's own queue, behind what it is busy with; at once with errUnavailable if too many wait.
func (n *Node) whenSaved(s *socket.Socket, sess *session, then func(error)) {
	if int(sess.unsaved.Add(1)) > max(n.cfg.MaxRooms, unsavedAtLeast) {
		sess.unsaved.Add(-1)
		then(errUnavailable)
		return
	}
	n.deps.Sessions.Saved(s, func(err error) {
		sess.unsaved.Add(-1)
		taskqueue.Enqueue(s, func() {
			defer n.recovered("saved")
			then(err)
		})
	})
}

// splitAck takes the ack callback off the arguments, if the client asked for one.
func splitAck(args []any) ([]any, socket.Ack) {
	if len(args) == 0 {
		return args, nil
	}
	ack, ok := args[len(args)-1].(socket.Ack)
	if !ok {
		return args, nil
	}
	return args[:len(args)-1], ack
}

func (n *Node) pong(s *socket.Socket, ack socket.Ack) {
	payload := map[string]any{"timestamp": time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00")}
	n.emit(s, "pong", payload)
	if ack != nil {
		ack([]any{payload}, nil)
	}
}

// reply answers a request by its ack; without one, only errors are told.
func (n *Node) reply(s *socket.Socket, ack socket.Ack, room string, err error) {
	result := answer{OK: err == nil, Room: room}
	if err != nil {
		result = answer{Error: answerOf(err)}
		n.log.Debug("request refused", "code", result.Error.Code, "err", err)
	}
	switch {
	case ack != nil:
		ack([]any{result}, nil)
	case err != nil:
		n.emit(s, "error", result.Error)
	}
}

func (n *Node) subscribe(s *socket.Socket, sess *session, args []any) (string, error) {
	solicitud, err := solicitudOf(args)
	if err != nil {
		return "", err
	}
	seen := n.withdrawals.Load()
	if err := n.mayRead(sess, solicitud); err != nil {
		return "", err
	}
	room := SolicitudRoom(solicitud)
	if err := sess.enter(n.deps.Presence, room, n.cfg.MaxRooms); err != nil {
		return "", err
	}
	s.Join(socket.Room(room))
	if n.withdrawals.Load() == seen {
		return room, nil
	}
	if err := n.mayRead(sess, solicitud); err != nil { // Withdrawn may not have seen the socket in the room
		n.leave(s, sess, room)
		return "", err
	}
	return room, sess.enter(n.deps.Presence, room, n.cfg.MaxRooms) // or it has, and the grant was given again
}

func (n *Node) unsubscribe(s *socket.Socket, sess *session, args []any) (string, error) {
	solicitud, err := solicitudOf(args)
	if err != nil {
		return "", err
	}
	room := SolicitudRoom(solicitud)
	n.leave(s, sess, room)
	return room, nil
}

func (n *Node) leave(s *socket.Socket, sess *session, room string) {
	sess.exit(n.deps.Presence, room)
	s.Leave(socket.Room(room))
}

// mayRead applies the subscription policy of the session's role.
func (n *Node) mayRead(sess *session, solicitud string) error {
	ctx, cancel := context.WithTimeout(n.ctx, grantTimeout)
	defer cancel()
	allowed, err := n.deps.Policy.MaySubscribe(ctx, sess.who(), solicitud, n.deps.Grants)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errUnavailable, err)
	case !allowed:
		return errForbidden
	}
	return nil
}

// solicitudOf reads {solicitud_id} from a request's first argument.
func solicitudOf(args []any) (string, error) {
	if len(args) == 0 {
		return "", errBadRequest
	}
	request, ok := args[0].(map[string]any)
	if !ok {
		return "", errBadRequest
	}
	raw, err := json.Marshal(request["solicitud_id"])
	if err != nil {
		return "", errBadRequest
	}
	id, err := parseID(raw)
	if err != nil || id == "" {
		return "", errBadRequest
	}
	return id, nil
}
