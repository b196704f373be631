package adapter

import (
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// countTTL is how long the number of servers is believed.
const countTTL = time.Second

// nspAdapter is the adapter of one namespace. Its methods are safe for concurrent use; of its events, listeners are
// called by whoever caused them, with no lock held.
type nspAdapter struct {
	socket.Adapter

	c     *Cluster
	nsp   socket.Namespace
	name  string
	table *roomTable

	countMu sync.Mutex
	servers int64     // countMu
	counted time.Time // countMu
}

var _ socket.Adapter = (*nspAdapter)(nil)

func newNspAdapter(c *Cluster, nsp socket.Namespace) *nspAdapter {
	a := &nspAdapter{Adapter: socket.MakeAdapter(), c: c, nsp: nsp, name: nsp.Name(), table: newRoomTable()}
	a.Prototype(a)
	a.Construct(nsp)
	return a
}

// Init is called by the namespace: from here on, messages for it are delivered.
func (a *nspAdapter) Init() { a.c.register(a) }

// Close ends the delivery of messages.
func (a *nspAdapter) Close() { a.c.unregister(a) }

// AddAll puts a socket into rooms.
func (a *nspAdapter) AddAll(id socket.SocketId, rooms *types.Set[socket.Room]) {
	// The position is taken before the socket is in: an entry that is just being delivered may then be replayed although
	// it came a moment too early, but is not lost.
	changes := a.table.add(id, rooms.Keys(), a.c.joinPosition())
	for _, change := range changes {
		if change.whole {
			a.Emit("create-room", change.room)
		}
		a.Emit("join-room", change.room, id)
	}
	if len(changes) > 0 {
		a.c.sessions.local.touch(id)
	}
}

// Del takes a socket out of a room.
func (a *nspAdapter) Del(id socket.SocketId, room socket.Room) {
	if change, ok := a.table.remove(id, room); ok {
		a.left(id, change)
		a.c.sessions.local.touch(id)
	}
}

// DelAll takes a socket out of all its rooms and forgets it. If its session was not persisted before, it has ended; that
// of a connection which was lost while it was admitted goes on.
func (a *nspAdapter) DelAll(id socket.SocketId) {
	if m := a.table.member(id); m != nil {
		a.c.departed(m) // first, so that it is always known here or there
	}
	changes := a.table.removeAll(id)
	// Behind that, so that a session which is just being opened is noticed here, or its member's end there.
	a.c.sessions.leave(id)
	for _, change := range changes {
		a.left(id, change)
	}
}

func (a *nspAdapter) left(id socket.SocketId, change roomChange) {
	a.Emit("leave-room", change.room, id)
	if change.whole {
		a.Emit("delete-room", change.room)
	}
}

// Rooms returns a copy of this node's rooms and their sockets.
func (a *nspAdapter) Rooms() *types.Map[socket.Room, *types.Set[socket.SocketId]] {
	out := &types.Map[socket.Room, *types.Set[socket.SocketId]]{}
	for i := range a.table.rooms {
		s := &a.table.rooms[i]
		s.mu.RLock()
		for name, r := range s.byName {
			ids := types.NewSet[socket.SocketId]()
			for _, seat := range r.list {
				ids.Add(seat.m.id)
			}
			out.Store(name, ids)
		}
		s.mu.RUnlock()
	}
	return out
}

// Sids returns a copy of this node's sockets and their rooms.
func (a *nspAdapter) Sids() *types.Map[socket.SocketId, *types.Set[socket.Room]] {
	out := &types.Map[socket.SocketId, *types.Set[socket.Room]]{}
	a.table.walk(options{}, func(m *member) { out.Store(m.id, types.NewSet(m.roomSet()...)) })
	return out
}

// SocketRooms returns a copy of a socket's rooms, nil for a socket that is in none.
func (a *nspAdapter) SocketRooms(id socket.SocketId) *types.Set[socket.Room] {
	m := a.table.member(id)
	if m == nil {
		return nil
	}
	return types.NewSet(m.roomSet()...)
}

// Sockets returns the connected sockets of this node that are in any of the rooms.
func (a *nspAdapter) Sockets(rooms *types.Set[socket.Room]) *types.Set[socket.SocketId] {
	ids := types.NewSet[socket.SocketId]()
	for _, s := range a.localSockets(options{Rooms: roomNames(rooms)}) {
		ids.Add(s.Id())
	}
	return ids
}

func (a *nspAdapter) localSockets(o options) []*socket.Socket {
	var found []*socket.Socket
	for _, m := range a.table.selected(o) {
		if s := m.socketIn(a.nsp); s != nil && s.Connected() {
			found = append(found, s)
		}
	}
	return found
}

// Broadcast sends an event to all matching sockets of the cluster, through the log; with the local flag, and to one
// socket that is connected here, it sends it directly. What cannot be sent is counted and logged.
func (a *nspAdapter) Broadcast(packet *parser.Packet, opts *socket.BroadcastOptions) {
	o := optionsOf(opts)
	args, binary, err := frozenArgs(packet)
	if err != nil {
		a.unencodable(err)
		return
	}
	if o.Flags.Local || a.isOwnSocket(o) {
		body, err := bodyOf(args)
		if err != nil {
			a.unencodable(err)
			return
		}
		body.id = packet.Id
		a.deliver(delivery{frame: newFrame(a.name, body, o.Flags), opts: o})
		return
	}
	data, err := encodeBroadcastData(a.name, o, args, binary, packet.Id)
	if err != nil {
		a.unencodable(err)
		return
	}
	a.c.publisher.offer(logFields(a.c.cfg.UID, a.name, typeBroadcast, data))
}

// isOwnSocket reports whether a broadcast is for one socket only, and that is connected to this node.
func (a *nspAdapter) isOwnSocket(o options) bool {
	if len(o.Rooms) != 1 || len(o.Except) > 0 {
		return false
	}
	_, ok := a.nsp.Sockets().Load(socket.SocketId(o.Rooms[0]))
	return ok
}

func (a *nspAdapter) unencodable(err error) {
	a.c.count.encodeFailed.Add(1)
	a.c.warnf("encode", "broadcast dropped: its values cannot be encoded", "nsp", a.name, "err", err)
}

var errNotEvent = errors.New("only events can be broadcast")

// frozenArgs returns an event packet's name and arguments in a form that can be encoded more than once.
func frozenArgs(packet *parser.Packet) (args []any, binary bool, err error) {
	data, ok := packet.Data.([]any)
	if !ok || packet.Type != parser.EVENT && packet.Type != parser.BINARY_EVENT || len(data) == 0 {
		return nil, false, errNotEvent
	}
	frozen, binary, err := freezeSlice(data, 0)
	if err != nil {
		return nil, false, err
	}
	args, _ = frozen.([]any)
	return args, binary, nil
}

// encodeBroadcastData returns a broadcast's data field: JSON, or base64 of msgpack if it has binary.
func encodeBroadcastData(nsp string, o options, args []any, binary bool, id *uint64) (string, error) {
	body, err := bodyOf(args)
	if err != nil {
		return "", err
	}
	if binary {
		packed, err := packMsgpack(map[string]any{"opts": o.value(), "packet": packetValue(nsp, args, id)})
		return base64.StdEncoding.EncodeToString(packed), err
	}
	dst := make([]byte, 0, len(body.array)+192)
	dst = append(dst, `{"opts":`...)
	dst = o.append(dst)
	dst = append(dst, `,"packet":{"type":2,"data":`...)
	dst = append(dst, body.array...)
	if id != nil {
		dst = append(dst, `,"id":`...)
		dst = strconv.AppendUint(dst, *id, 10)
	}
	dst = append(dst, `,"nsp":`...)
	dst = append(appendQuoted(dst, nsp), `}}`...)
	return string(dst), nil
}

func packetValue(nsp string, args []any, id *uint64) map[string]any {
	packet := map[string]any{"type": int64(packetEvent), "data": args, "nsp": nsp}
	if id != nil {
		packet["id"] = *id
	}
	return packet
}

// AddSockets makes all matching sockets of the cluster join rooms, in the log's order.
func (a *nspAdapter) AddSockets(opts *socket.BroadcastOptions, rooms []socket.Room) {
	a.change(typeJoin, optionsOf(opts), rooms, false)
}

// DelSockets makes all matching sockets of the cluster leave rooms, in the log's order.
func (a *nspAdapter) DelSockets(opts *socket.BroadcastOptions, rooms []socket.Room) {
	a.change(typeLeave, optionsOf(opts), rooms, false)
}

// DisconnectSockets disconnects all matching sockets of the cluster, in the log's order.
func (a *nspAdapter) DisconnectSockets(opts *socket.BroadcastOptions, closeConn bool) {
	a.change(typeDisconnect, optionsOf(opts), nil, closeConn)
}

func (a *nspAdapter) change(kind messageType, o options, rooms []socket.Room, closeConn bool) {
	names := make([]string, len(rooms))
	for i, room := range rooms {
		names[i] = string(room)
	}
	if o.Flags.Local {
		a.apply(entry{kind: kind, opts: o, rooms: names, close: closeConn})
		return
	}
	a.c.publisher.offer(logFields(a.c.cfg.UID, a.name, kind, encodeChangeData(kind, o, names, closeConn)))
}

// apply carries out a join, leave or disconnect on this node. It calls listeners of the adapter's events.
func (a *nspAdapter) apply(e entry) {
	rooms := make([]socket.Room, len(e.rooms))
	for i, name := range e.rooms {
		rooms[i] = socket.Room(name)
	}
	for _, m := range a.concerned(e) {
		s := m.socketIn(a.nsp)
		if s == nil || !s.Connected() {
			continue
		}
		switch e.kind {
		case typeJoin:
			s.Join(rooms...)
		case typeLeave:
			for _, room := range rooms {
				s.Leave(room)
			}
		default:
			// Behind the packets that came before, and away from the log reader: it runs the application's listeners.
			a.post(m, s, job{do: func(s *socket.Socket) { s.Disconnect(e.close) }})
		}
	}
}

// concerned returns the members that an entry is about. What the log says of a client's earlier connection is not about
// its present one.
func (a *nspAdapter) concerned(e entry) []*member {
	if e.id.isZero() {
		return a.table.selected(e.opts)
	}
	a.c.deliverMu.Lock()
	defer a.c.deliverMu.Unlock()
	return slices.DeleteFunc(a.table.selected(e.opts), func(m *member) bool { return e.id.compare(m.floor) <= 0 })
}
