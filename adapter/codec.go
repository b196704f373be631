package adapter

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// messageType numbers the messages between the members of a cluster as Node's ClusterAdapter does.
type messageType int

const (
	typeBroadcast            messageType = 3
	typeJoin                 messageType = 4
	typeLeave                messageType = 5
	typeDisconnect           messageType = 6
	typeFetchSockets         messageType = 7
	typeFetchReply           messageType = 8
	typeServerSideEmit       messageType = 9
	typeServerSideReply      messageType = 10
	typeBroadcastCount       messageType = 11
	typeBroadcastAck         messageType = 12
	typeSessionTaken         messageType = 100 // not of Node's: between gateways alone, on a node's own channel
	typeInquiry              messageType = 101 // nor these; Node ignores them
	typeInquiryReply         messageType = 102
	packetEvent                          = 2
	fieldUID, fieldNsp                   = "uid", "nsp"
	fieldType, fieldData                 = "type", "data"
	fieldSrc                             = "src"
	fieldEventID, fieldTrace             = "eid", "traceparent"
	fieldOccurred                        = "oat"
	fieldReplayed                        = "replayed_from"
	maxNamespace                         = 512
	sourceReset                          = "0-0"
	defaultNamespace                     = "/"
)

// ErrInvalidBroadcast is wrapped by the errors for a broadcast that has no valid form on the wire.
var ErrInvalidBroadcast = errors.New("adapter: invalid broadcast")

// Broadcast is an event for the sockets of all nodes.
type Broadcast struct {
	// Nsp is the namespace; "" means "/".
	Nsp string
	// Rooms selects sockets that are in any of them; none means all sockets of the namespace.
	Rooms []string
	// Except excludes the sockets that are in any of these rooms.
	Except []string
	// Event is the event's name; not empty, and not one that Socket.IO reserves.
	Event string
	// Args are the event's arguments, each one JSON value in UTF-8, sent byte for byte.
	Args []json.RawMessage
	// Volatile lets a socket that cannot take the event at once go without it.
	Volatile bool

	// The rest is for those who look for the event afterwards. What is empty is not written.

	// EventID is the publisher's.
	EventID string
	// OccurredAt is written in ms.
	OccurredAt time.Time
	// ReplayedFrom is the id of the dead letter that the event was.
	ReplayedFrom string
	// TraceParent is the W3C trace context of which the deliveries are part.
	TraceParent string
}

// appendTo appends what else is known of the event to its entry.
func (b *Broadcast) appendTo(fields []string) []string {
	for _, f := range [...][2]string{
		{fieldEventID, b.EventID}, {fieldReplayed, b.ReplayedFrom}, {fieldTrace, b.TraceParent},
	} {
		if f[1] != "" {
			fields = append(fields, f[0], f[1])
		}
	}
	if !b.OccurredAt.IsZero() {
		fields = append(fields, fieldOccurred, strconv.FormatInt(b.OccurredAt.UnixMilli(), 10))
	}
	return fields
}

// EncodeBroadcast returns the field/value pairs of b's log entry, in the form of @socket.io/redis-streams-adapter 0.3.
// Its errors wrap ErrInvalidBroadcast. It is pure.
func EncodeBroadcast(uid string, b Broadcast) ([]string, error) {
	if b.Event == "" {
		return nil, fmt.Errorf("%w: no event name", ErrInvalidBroadcast)
	}
	if err := checkEvent(b.Event); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidBroadcast, err)
	}
	for _, list := range [2][]string{b.Rooms, b.Except} {
		for _, room := range list {
			if room == "" || !utf8.ValidString(room) {
				return nil, fmt.Errorf("%w: room %.64q", ErrInvalidBroadcast, room)
			}
		}
	}
	nsp := b.Nsp
	if nsp == "" {
		nsp = defaultNamespace
	}
	size := 128 + len(b.Event) + len(nsp)
	for _, arg := range b.Args {
		size += len(arg) + 1
	}
	for _, room := range b.Rooms {
		size += len(room) + 3
	}
	w := jsonWriter{dst: make([]byte, 0, size)}
	w.dst = append(w.dst, `{"opts":`...)
	w.dst = options{Rooms: b.Rooms, Except: b.Except, Flags: flags{Volatile: b.Volatile}}.append(w.dst)
	w.dst = append(w.dst, `,"packet":{"type":2,"data":[`...)
	w.dst = appendQuoted(w.dst, b.Event)
	for i, arg := range b.Args {
		w.dst = append(w.dst, ',')
		if err := w.raw(arg); err != nil {
			return nil, fmt.Errorf("%w: argument %d: %w", ErrInvalidBroadcast, i, err)
		}
	}
	w.dst = append(w.dst, `],"nsp":`...)
	w.dst = append(appendQuoted(w.dst, nsp), `}}`...)
	return b.appendTo(logFields(uid, nsp, typeBroadcast, string(w.dst))), nil
}

func logFields(uid, nsp string, kind messageType, data string) []string {
	return []string{
		fieldUID, uid, fieldNsp, nsp, fieldType, strconv.Itoa(int(kind)), fieldData, data,
	}
}

// errNoRooms refuses a message that does not say whom it is for: taken for an empty list, it would reach everybody.
var errNoRooms = errors.New("no opts with rooms")

// options select the sockets that a message is for.
type options struct {
	Rooms  []string
	Except []string
	Flags  flags
}

type flags struct {
	Volatile             bool
	Local                bool
	Broadcast            bool
	ExpectSingleResponse bool
	Compress             *bool
	Timeout              *float64 // milliseconds
}

// timeout is the flag's timeout, or otherwise.
func (f flags) timeout(otherwise time.Duration) time.Duration {
	if f.Timeout == nil || !(*f.Timeout > 0) || *f.Timeout > float64(time.Hour/time.Millisecond) {
		return otherwise
	}
	return time.Duration(*f.Timeout * float64(time.Millisecond))
}

// optionsOf converts the library's options; nil selects all sockets.
func optionsOf(o *socket.BroadcastOptions) options {
	if o == nil {
		return options{}
	}
	out := options{Rooms: roomNames(o.Rooms), Except: roomNames(o.Except)}
	if f := o.Flags; f != nil {
		out.Flags = flags{
			Volatile: f.Volatile, Local: f.Local, Broadcast: f.Broadcast,
			ExpectSingleResponse: f.ExpectSingleResponse, Compress: f.Compress,
		}
		if f.Timeout != nil {
			ms := float64(*f.Timeout) / float64(time.Millisecond)
			out.Flags.Timeout = &ms
		}
	}
	return out
}

func roomNames(set *types.Set[socket.Room]) []string {
	if set == nil {
		return nil
	}
	keys := set.Keys()
	if len(keys) == 0 {
		return nil
	}
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = string(key)
	}
	return names
}

func (o options) append(dst []byte) []byte {
	dst = append(dst, `{"rooms":`...)
	dst = appendQuotedList(dst, o.Rooms)
	dst = append(dst, `,"except":`...)
	dst = appendQuotedList(dst, o.Except)
	dst = append(dst, `,"flags":{`...)
	start := len(dst)
	for _, flag := range o.Flags.list() {
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, flag.name), ':')
		dst = append(dst, flag.json...)
	}
	return append(dst, `}}`...)
}

type namedFlag struct {
	name, json string
	value      any
}

// list holds the flags that are set only: to a Node member, even `volatile: false` means volatile.
func (f flags) list() []namedFlag {
	var set []namedFlag
	for _, flag := range [...]struct {
		name string
		on   bool
	}{
		{"volatile", f.Volatile},
		{"local", f.Local},
		{"broadcast", f.Broadcast},
		{"expectSingleResponse", f.ExpectSingleResponse},
	} {
		if flag.on {
			set = append(set, namedFlag{name: flag.name, json: "true", value: true})
		}
	}
	if f.Compress != nil {
		set = append(set, namedFlag{name: "compress", json: strconv.FormatBool(*f.Compress), value: *f.Compress})
	}
	if f.Timeout != nil {
		set = append(set, namedFlag{
			name: "timeout", json: strconv.FormatFloat(*f.Timeout, 'f', -1, 64), value: *f.Timeout,
		})
	}
	return set
}

// value is the options' form for msgpack.
func (o options) value() map[string]any {
	set := make(map[string]any, 2)
	for _, flag := range o.Flags.list() {
		set[flag.name] = flag.value
	}
	return map[string]any{"rooms": anyList(o.Rooms), "except": anyList(o.Except), "flags": set}
}

func anyList(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// packetBody is an event ready to be framed: its JSON array, which ends with its bracket and must not be changed, and the
// binary that the array's placeholders stand for.
type packetBody struct {
	// offset is appended as the last argument, for the client to recover from; zero: it is not.
	offset      streamID
	id          *uint64
	array       []byte
	attachments [][]byte
}

// entry is a decoded log entry.
type entry struct {
	// id is zero for what is not of the log.
	id       streamID
	uid, nsp string
	kind     messageType
	opts     options
	packet   packetBody
	rooms    []string
	close    bool
	told     string // the data of a server-side event, not decoded
}

// entryBody is the JSON of an entry's data field.
type entryBody struct {
	Opts      any             `json:"opts"`
	Packet    *entryPacket    `json:"packet"`
	Rooms     any             `json:"rooms"`
	Close     any             `json:"close"`
	RequestID json.RawMessage `json:"requestId"`
}

type entryPacket struct {
	Type int             `json:"type"`
	Data json.RawMessage `json:"data"`
	ID   *uint64         `json:"id"`
}

// decodeEntry decodes a log entry that has an nsp field.
func decodeEntry(raw *rawEntry) (entry, error) {
	e := entry{uid: raw.uid, nsp: raw.nsp}
	if len(e.uid) > maxIdentity || len(e.nsp) > maxNamespace {
		return entry{}, errors.New("uid or nsp is too long")
	}
	kind, err := strconv.Atoi(raw.kind)
	if err != nil {
		return entry{}, fmt.Errorf("message type: %w", err)
	}
	e.kind = messageType(kind)
	if (e.kind < typeBroadcast || e.kind > typeDisconnect) && e.kind != typeServerSideEmit {
		return entry{}, fmt.Errorf("message type %d does not belong in the log", kind)
	}
	data := raw.data
	if data == "" {
		return entry{}, errors.New("no data")
	}
	switch {
	case e.kind == typeServerSideEmit:
		e.told = data
		return e, nil
	case data[0] == '{':
		return e.fromJSON(data)
	default:
		return e.fromMsgpack(data)
	}
}

func (e entry) fromJSON(data string) (entry, error) {
	if !utf8.ValidString(data) {
		return entry{}, errJSON
	}
	if e.kind == typeBroadcast {
		if opts, array, ok := fastEvent(data); ok {
			e.opts, e.packet = opts, packetBody{array: array}
			return e, checkEventArray(array)
		}
	}
	var body entryBody
	if err := json.Unmarshal([]byte(data), &body); err != nil {
		return entry{}, err
	}
	e, err := e.with(body.Opts, body.Rooms, body.Close)
	if err != nil {
		return entry{}, err
	}
	if e.kind != typeBroadcast {
		return e, nil
	}
	if body.RequestID != nil || body.Packet == nil || body.Packet.Type != packetEvent {
		return entry{}, errors.New("not an event packet")
	}
	e.packet = packetBody{id: body.Packet.ID, array: body.Packet.Data}
	return e, checkEventArray(e.packet.array)
}

func (e entry) fromMsgpack(data string) (entry, error) {
	packed, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return entry{}, err
	}
	v, err := unpackMsgpack(packed, true)
	if err != nil {
		return entry{}, err
	}
	body, ok := v.(object)
	if !ok {
		return entry{}, errors.New("data is not a map")
	}
	if e, err = e.with(body.get("opts"), body.get("rooms"), body.get("close")); err != nil {
		return entry{}, err
	}
	if e.kind != typeBroadcast {
		return e, nil
	}
	e.packet, err = packetFrom(body.get("packet"))
	return e, err
}

// with is e with what entries of all kinds have.
func (e entry) with(opts, rooms, end any) (_ entry, err error) {
	if e.opts, err = optionsFrom(opts); err != nil {
		return entry{}, err
	}
	e.close, _ = end.(bool)
	e.rooms, err = roomsFrom(rooms)
	return e, err
}

func (o object) get(key string) any {
	for i, k := range o.keys {
		if k == key {
			return o.values[i]
		}
	}
	return nil
}

// packetFrom turns a decoded packet into its framing parts.
func packetFrom(v any) (packetBody, error) {
	packet, ok := v.(object)
	if !ok {
		return packetBody{}, errors.New("no packet")
	}
	kind, ok := packet.get("type").(int64)
	if !ok || kind != packetEvent {
		return packetBody{}, errors.New("not an event packet")
	}
	args, ok := packet.get("data").([]any)
	if !ok {
		return packetBody{}, errors.New("packet data is not an array")
	}
	body, err := bodyOf(args)
	if err != nil {
		return packetBody{}, err
	}
	if id, ok := packet.get("id").(int64); ok && id >= 0 {
		n := uint64(id)
		body.id = &n
	}
	return body, nil
}

// bodyOf encodes frozen event arguments, the first of which is the event's name. What a client's parser would end its
// connection for is refused: sent again to who comes back, it would do so again.
func bodyOf(args []any) (packetBody, error) {
	w := jsonWriter{dst: make([]byte, 0, 256)}
	if err := w.array(args, 0); err != nil {
		return packetBody{}, err
	}
	switch {
	case len(w.attachments) > maxAttachments:
		return packetBody{}, errTooMuchBinary
	case len(w.attachments) > 0 && hasPlaceholder(args): // among real ones a client takes any for one
		return packetBody{}, errPlaceholder
	}
	// Marshalled values are UTF-8 by construction, strings within decoded ones were quoted: only valid text gets here.
	if err := checkEventArray(w.dst); err != nil {
		return packetBody{}, err
	}
	return packetBody{array: w.dst, attachments: w.attachments}, nil
}

// optionsFrom reads options, from ordered maps or plain ones. Node passes flags on as the application set them: one of a
// kind that is none counts as not set.
func optionsFrom(v any) (options, error) {
	o, ok := asObject(v)
	if !ok {
		return options{}, errNoRooms
	}
	var out options
	var err error
	if out.Rooms, err = roomsFrom(o.get("rooms")); err != nil {
		return options{}, err
	}
	if out.Rooms == nil {
		return options{}, errNoRooms
	}
	if out.Except, err = roomsFrom(o.get("except")); err != nil {
		return options{}, err
	}
	set, _ := asObject(o.get("flags"))
	on := func(name string) bool { b, _ := set.get(name).(bool); return b }
	out.Flags = flags{
		Volatile: on("volatile"), Local: on("local"), Broadcast: on("broadcast"),
		ExpectSingleResponse: on("expectSingleResponse"),
	}
	if compress, ok := set.get("compress").(bool); ok {
		out.Flags.Compress = &compress
	}
	if ms, ok := number(set.get("timeout")); ok {
		out.Flags.Timeout = &ms
	}
	return out, nil
}
