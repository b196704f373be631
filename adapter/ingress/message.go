package ingress

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/teloo/realtime-gateway/adapter"
)

// Bounds of what a message may say.
const (
	maxEventName = 128 // bytes
	maxRoomName  = 512 // bytes
	maxRooms     = 1000
)

// Why a message is not passed on. Each is an Outcome, too.
var (
	errInvalid     = errors.New("not a message of its kind")
	errReserved    = errors.New("the event's name has a meaning of its own")
	errNamespace   = errors.New("another namespace")
	errUnsupported = errors.New("a message that has no meaning here")
	errPickle      = errors.New("a pickle of more than plain data, or of a protocol before 2")
	errIgnored     = errors.New("a message for others")
	errPanic       = errors.New("its reading panicked")
)

// reserved are the names of events that clients take for Socket.IO's own, or for the gateway's.
var reserved = map[string]struct{}{
	"connect": {}, "connect_error": {}, "disconnect": {}, "disconnecting": {}, "newListener": {}, "removeListener": {},
	"connected": {}, "sync": {}, "error": {}, "ping": {}, "pong": {}, "token_expiring": {}, "token_expired": {}, "unsubscribed": {},
	"user_joined": {}, "user_left": {},
}

// encoder makes log entries of messages; it is pure.
type encoder struct {
	uid       string // the sender's, in the log
	namespace string // the one that is served
	most      int    // bytes that a client may be sent of an event
}

// emission is the entry of an event.
func (c encoder) emission(e adapter.Emission) ([]string, error) {
	if e.Nsp == "" {
		e.Nsp = "/"
	}
	if e.Nsp != c.namespace {
		return nil, errNamespace
	}
	if _, is := reserved[e.Event]; is {
		return nil, errReserved
	}
	if !validText(e.Event, maxEventName) {
		return nil, fmt.Errorf("%w: event name", errInvalid)
	}
	if err := validRooms(e.Rooms, e.Except); err != nil {
		return nil, err
	}
	e.MaxBytes = c.most
	fields, err := adapter.EncodeEmission(c.uid, e)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInvalid, err)
	}
	return fields, nil
}

// change is the entry of a join, leave or disconnect.
func (c encoder) change(ch adapter.Change) ([]string, error) {
	if ch.Nsp == "" {
		ch.Nsp = "/"
	}
	if ch.Nsp != c.namespace {
		return nil, errNamespace
	}
	if err := validRooms(ch.Rooms, ch.Except, ch.Names); err != nil {
		return nil, err
	}
	if ch.Kind != adapter.Disconnect && len(ch.Names) == 0 {
		return nil, fmt.Errorf("%w: no rooms", errInvalid)
	}
	fields, err := adapter.EncodeChange(c.uid, ch)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInvalid, err)
	}
	return fields, nil
}

func validRooms(lists ...[]string) error {
	for _, list := range lists {
		if len(list) > maxRooms {
			return fmt.Errorf("%w: %d rooms", errInvalid, len(list))
		}
		for _, room := range list {
			if room == "" || len(room) > maxRoomName || !utf8.ValidString(room) {
				return fmt.Errorf("%w: room", errInvalid)
			}
		}
	}
	return nil
}

// validText tells whether s is 1 to most bytes of UTF-8 without control characters.
func validText(s string, most int) bool {
	return s != "" && len(s) <= most && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
