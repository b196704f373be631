package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"
)

// command is one call of the library.
type command struct {
	// Call is emit, ask, fetch, join, leave, disconnect, tell or inquire (serverSideEmit without and with answers).
	Call string `json:"call"`
	Nsp  string `json:"nsp"`
	// To, Except, Local, Volatile, Compress and Timeout (ms) choose the sockets and say how.
	To       []string `json:"to"`
	Except   []string `json:"except"`
	Local    bool     `json:"local"`
	Volatile bool     `json:"volatile"`
	Compress *bool    `json:"compress"`
	Timeout  int64    `json:"timeout"`
	// From, a socket of this server, makes the call that socket's: to all but itself.
	From string `json:"from"`
	// Through makes the call that of the one socket that the options choose, wherever it is.
	Through bool `json:"through"`

	Event string   `json:"event"`
	Args  []any    `json:"args"`
	Rooms []string `json:"rooms"` // to join or leave
	Close bool     `json:"close"`
}

var errUnknownCall = errors.New("unknown call")

func roomsOf(names []string) []socket.Room {
	rooms := make([]socket.Room, len(names))
	for i, name := range names {
		rooms[i] = socket.Room(name)
	}
	return rooms
}

func (c command) name() string {
	if c.Nsp == "" {
		return "/"
	}
	return c.Nsp
}

// operator is what the call is made on.
func (m *member) operator(c command) (*socket.BroadcastOperator, error) {
	nsp := m.io.Of(c.name(), nil)
	op := nsp.To(roomsOf(c.To)...).Except(roomsOf(c.Except)...)
	if c.From != "" {
		s, ok := nsp.Sockets().Load(socket.SocketId(c.From))
		if !ok {
			return nil, fmt.Errorf("no socket %q", c.From)
		}
		op = s.To(roomsOf(c.To)...).Except(roomsOf(c.Except)...)
	}
	if c.Local {
		op = op.Local()
	}
	if c.Volatile {
		op = op.Volatile()
	}
	if c.Compress != nil {
		op = op.Compress(*c.Compress)
	}
	if c.Timeout > 0 {
		op = op.Timeout(time.Duration(c.Timeout) * time.Millisecond)
	}
	return op, nil
}

func (m *member) do(c command) (any, error) {
	args := make([]any, len(c.Args))
	for i, arg := range c.Args {
		args[i] = inward(arg)
	}
	nsp := m.io.Of(c.name(), nil)
	switch c.Call {
	case "tell":
		return nil, nsp.ServerSideEmit(c.Event, args...)
	case "inquire":
		return await(func(ack socket.Ack) error { return nsp.ServerSideEmitWithAck(c.Event, args...)(ack) })
	}
	op, err := m.operator(c)
	if err != nil {
		return nil, err
	}
	if c.Through {
		return through(op, c, args)
	}
	return on(op, c, args)
}

func on(op *socket.BroadcastOperator, c command, args []any) (any, error) {
	switch c.Call {
	case "emit":
		return nil, op.Emit(c.Event, args...)
	case "ask":
		return await(func(ack socket.Ack) error { op.EmitWithAck(c.Event, args...)(ack); return nil })
	case "fetch":
		return fetch(op)
	case "join":
		op.SocketsJoin(roomsOf(c.Rooms)...)
	case "leave":
		op.SocketsLeave(roomsOf(c.Rooms)...)
	case "disconnect":
		op.DisconnectSockets(c.Close)
	default:
		return nil, errUnknownCall
	}
	return nil, nil
}

// await returns what an acknowledgement brings.
func await(call func(socket.Ack) error) ([]any, error) {
	type outcome struct {
		values []any
		err    error
	}
	done := make(chan outcome, 1)
	if err := call(func(values []any, err error) { done <- outcome{values, err} }); err != nil {
		return nil, err
	}
	got := <-done
	return got.values, got.err
}

func sockets(op *socket.BroadcastOperator) (found []*socket.RemoteSocket, err error) {
	op.FetchSockets()(func(sockets []*socket.RemoteSocket, failed error) { found, err = sockets, failed })
	return found, err
}

func fetch(op *socket.BroadcastOperator) (any, error) {
	found, err := sockets(op)
	list := make([]any, len(found))
	for i, s := range found {
		rooms := make([]any, 0)
		for _, room := range s.Rooms().Keys() {
			rooms = append(rooms, string(room))
		}
		list[i] = map[string]any{
			"id": string(s.Id()), "rooms": rooms, "data": s.Data(), "handshake": map[string]any{
				"address": s.Handshake().Address, "auth": s.Handshake().Auth,
				"headers": s.Handshake().Headers, "query": s.Handshake().Query,
			},
		}
	}
	return list, err
}

// through makes the call that of a single socket of the cluster.
func through(op *socket.BroadcastOperator, c command, args []any) (any, error) {
	found, err := sockets(op)
	if err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%d sockets", len(found))
	}
	s := found[0]
	switch c.Call {
	case "emit":
		return nil, s.Emit(c.Event, args...)
	case "ask":
		return await(func(ack socket.Ack) error {
			s.Timeout(time.Duration(c.Timeout)*time.Millisecond).EmitWithAck(c.Event, args...)(ack)
			return nil
		})
	case "join":
		s.Join(roomsOf(c.Rooms)...)
	case "leave":
		for _, room := range roomsOf(c.Rooms) {
			s.Leave(room)
		}
	case "disconnect":
		s.Disconnect(c.Close)
	default:
		return nil, errUnknownCall
	}
	return nil, nil
}
