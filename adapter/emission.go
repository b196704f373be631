package adapter

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/teloo/realtime-gateway/streams/jsonscan"
)

// errEmission is what the errors about a classic emitter's message wrap.
var errEmission = errors.New("adapter: not an emitter's message")

// Emission is an event for the sockets of all nodes, as other software emits it.
type Emission struct {
	// Nsp is the namespace; "" means "/".
	Nsp string
	// Rooms selects sockets that are in any of them; none means all sockets of the namespace.
	Rooms []string
	// Except excludes the sockets that are in any of these rooms.
	Except []string
	// Event is the event's name.
	Event string
	// Args are its arguments, each a value of JSON, json.RawMessage, or []byte, or made of these.
	Args []any
	// Volatile lets a socket that cannot take the event at once go without it.
	Volatile bool
	// MaxBytes bounds what a client is sent of it, in bytes. 0: nothing does.
	MaxBytes int
}

// DecodeEmission reads what @socket.io/redis-emitter and socket.io-emitter publish: msgpack of [uid, packet, opts]. It is
// pure, and bounded by the payload's size.
func DecodeEmission(payload []byte) (Emission, error) {
	v, err := unpackMsgpack(payload, true)
	if err != nil {
		return Emission{}, fmt.Errorf("%w: %w", errEmission, err)
	}
	parts, ok := v.([]any)
	if !ok || len(parts) < 3 {
		return Emission{}, fmt.Errorf("%w: not a list of three", errEmission)
	}
	packet, ok := parts[1].(object)
	if !ok {
		return Emission{}, fmt.Errorf("%w: no packet", errEmission)
	}
	// 5 is BINARY_EVENT, which old emitters write.
	if kind, ok := packet.get("type").(int64); !ok || kind != packetEvent && kind != 5 {
		return Emission{}, fmt.Errorf("%w: not an event packet", errEmission)
	}
	data, _ := packet.get("data").([]any)
	if len(data) == 0 {
		return Emission{}, fmt.Errorf("%w: no packet data", errEmission)
	}
	event, ok := data[0].(string)
	if !ok {
		return Emission{}, fmt.Errorf("%w: the event's name is not a string", errEmission)
	}
	o, err := optionsFrom(parts[2])
	if err != nil {
		return Emission{}, fmt.Errorf("%w: %w", errEmission, err)
	}
	e := Emission{Rooms: o.Rooms, Except: o.Except, Event: event, Args: data[1:], Volatile: o.Flags.Volatile}
	e.Nsp, _ = packet.get("nsp").(string)
	return e, nil
}

// ErrEmissionTooLarge is wrapped by the errors for an emission of more than its MaxBytes.
var ErrEmissionTooLarge = errors.New("adapter: emission too large")

// EncodeEmission returns the field/value pairs of e's log entry, in the form of @socket.io/redis-streams-adapter 0.3. Its
// errors wrap ErrInvalidBroadcast, or ErrEmissionTooLarge. It is pure.
func EncodeEmission(uid string, e Emission) ([]string, error) {
	if err := checkEmission(e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidBroadcast, err)
	}
	frozen, binary, err := freezeSlice(append([]any{e.Event}, e.Args...), 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidBroadcast, err)
	}
	args, _ := frozen.([]any)
	body, err := bodyOf(args)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidBroadcast, err)
	}
	if err := checkBody(body, e.MaxBytes); err != nil {
		return nil, err
	}
	nsp := e.Nsp
	if nsp == "" {
		nsp = defaultNamespace
	}
	o := options{Rooms: e.Rooms, Except: e.Except}
	// A client takes any event's last argument for its offset if that is a string. A volatile event has none to follow.
	o.Flags.Volatile = e.Volatile && !endsInText(body.array)
	data, err := encodeBroadcastData(nsp, o, args, binary, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidBroadcast, err)
	}
	return logFields(uid, nsp, typeBroadcast, data), nil
}

// checkBody refuses what clients, or this node, would not take.
func checkBody(body packetBody, most int) error {
	size := len(body.array)
	for _, attachment := range body.attachments {
		size += len(attachment)
	}
	if most > 0 && size > most {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrEmissionTooLarge, size, most)
	}
	if !jsonscan.Valid(body.array) { // nested more deeply than a client's reader would like
		return fmt.Errorf("%w: %w", ErrInvalidBroadcast, errJSON)
	}
	return nil
}

func checkEmission(e Emission) error {
	if e.Event == "" {
		return errors.New("no event name")
	}
	if err := checkEvent(e.Event); err != nil {
		return err
	}
	return checkRooms(e.Rooms, e.Except)
}

func checkRooms(lists ...[]string) error {
	for _, list := range lists {
		for _, room := range list {
			if room == "" || !utf8.ValidString(room) {
				return fmt.Errorf("room %.64q", room)
			}
		}
	}
	return nil
}

// Change is what happens to the sockets of all nodes that Rooms and Except select, as with Emission.
type Change struct {
	Kind   ChangeKind
	Nsp    string
	Rooms  []string
	Except []string
	// Names are the rooms that they join or leave.
	Names []string
	// Close closes their connections when they are disconnected, not this namespace alone.
	Close bool
}

// ChangeKind says what happens.
type ChangeKind messageType

// Kinds of Change.
const (
	Join       = ChangeKind(typeJoin)
	Leave      = ChangeKind(typeLeave)
	Disconnect = ChangeKind(typeDisconnect)
)

// EncodeChange returns the field/value pairs of ch's log entry, as EncodeEmission does.
func EncodeChange(uid string, ch Change) ([]string, error) {
	if err := checkRooms(ch.Rooms, ch.Except, ch.Names); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidBroadcast, err)
	}
	nsp := ch.Nsp
	if nsp == "" {
		nsp = defaultNamespace
	}
	data := encodeChangeData(messageType(ch.Kind), options{Rooms: ch.Rooms, Except: ch.Except}, ch.Names, ch.Close)
	return logFields(uid, nsp, messageType(ch.Kind), data), nil
}

// encodeChangeData returns the data field of a join, leave or disconnect.
func encodeChangeData(kind messageType, o options, names []string, closeConn bool) string {
	dst := append(make([]byte, 0, 256), `{"opts":`...)
	dst = o.append(dst)
	if kind == typeDisconnect {
		dst = strconv.AppendBool(append(dst, `,"close":`...), closeConn)
	} else {
		dst = appendQuotedList(append(dst, `,"rooms":`...), names)
	}
	return string(append(dst, '}'))
}
