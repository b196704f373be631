package adapter

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// ServerCount returns the number of servers in the cluster that have this namespace, this one included. It is cached
// for a second; while Redis does not answer, the last known number stands.
func (a *nspAdapter) ServerCount() int64 {
	a.countMu.Lock()
	defer a.countMu.Unlock()
	if time.Since(a.counted) < countTTL {
		return a.servers
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.c.cfg.RequestTimeout)
	defer cancel()
	n, err := a.c.subscribers(ctx, a.name)
	if err != nil {
		a.c.warnf("count", "could not count the servers", "err", err)
	} else {
		a.servers = n
	}
	a.servers = max(a.servers, 1)
	a.counted = time.Now()
	return a.servers
}

// members looks up the other nodes, and makes ServerCount agree with what was found: a broadcast with acknowledgements
// waits for as many answers as ServerCount says right afterwards.
func (a *nspAdapter) members(ctx context.Context) ([]string, error) {
	uids, err := a.c.members(ctx, a.name)
	if err != nil {
		return nil, err
	}
	a.countMu.Lock()
	a.servers, a.counted = int64(len(uids))+1, time.Now()
	a.countMu.Unlock()
	return uids, nil
}

func (a *nspAdapter) message(kind messageType, requestID string, data map[string]any) message {
	return message{uid: a.c.cfg.UID, nsp: a.name, kind: kind, requestID: requestID, data: data}
}

// FetchSockets returns a function that collects the matching sockets of all nodes and calls back once before it
// returns, on the caller's goroutine: with all of them, or with those of the nodes that answered and an error. It waits
// for the flags' timeout or RequestTimeout at most.
func (a *nspAdapter) FetchSockets(opts *socket.BroadcastOptions) func(func([]socket.SocketDetails, error)) {
	o := optionsOf(opts)
	return func(callback func([]socket.SocketDetails, error)) {
		found := make([]socket.SocketDetails, 0)
		for _, s := range a.localSockets(o) {
			found = append(found, s)
		}
		if o.Flags.Local {
			callback(found, nil)
			return
		}
		remote, err := a.fetchRemote(o)
		callback(append(found, remote...), err)
	}
}

func (a *nspAdapter) fetchRemote(o options) ([]socket.SocketDetails, error) {
	limit := o.Flags.timeout(a.c.cfg.RequestTimeout)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	members, err := a.members(ctx)
	if err != nil || len(members) == 0 {
		return nil, err
	}
	var mu sync.Mutex
	var found []socket.SocketDetails
	id := newRequestID()
	q := &request{each: func(m message) {
		details := detailsFrom(m.data["sockets"])
		mu.Lock()
		defer mu.Unlock()
		found = append(found, details...)
	}}
	a.c.peers.begin(id, members, q)
	if err := a.c.peers.ask(ctx, a.message(typeFetchSockets, id, map[string]any{"opts": o.value()})); err != nil {
		a.c.peers.end(id)
		return nil, err
	}
	err = a.c.peers.wait(id, q, remaining(ctx))
	mu.Lock()
	defer mu.Unlock()
	return slices.Clone(found), err
}

// remaining is what is left of a request's time after its members were looked up.
func remaining(ctx context.Context) time.Duration {
	deadline, _ := ctx.Deadline()
	return time.Until(deadline)
}

func (a *nspAdapter) answerFetch(m message) {
	o, err := optionsFrom(m.data["opts"])
	if err != nil {
		a.c.count.badMessages.Add(1)
		return
	}
	sockets := make([]any, 0)
	for _, s := range a.localSockets(o) {
		sockets = append(sockets, detailsValue(s))
	}
	a.c.inbox.respond(m, typeFetchReply, map[string]any{"sockets": sockets})
}

// detailsValue is a socket as the other nodes see it. What cannot be encoded of its data is left out.
func detailsValue(s *socket.Socket) map[string]any {
	rooms := make([]any, 0)
	for _, room := range s.Rooms().Keys() {
		rooms = append(rooms, string(room))
	}
	return map[string]any{
		"id": string(s.Id()), "handshake": handshakeValue(s.Handshake()), "rooms": rooms, "data": encodable(s.Data()),
	}
}

// encodable returns v in a form that can be packed, nil if it has none.
func encodable(v any) any {
	frozen, _, err := freeze(v, 0)
	if err != nil {
		return nil
	}
	if _, err := packMsgpack(frozen); err != nil {
		return nil
	}
	return frozen
}

// remoteDetails is a socket of another node.
type remoteDetails struct {
	id        socket.SocketId
	handshake *socket.Handshake
	rooms     *types.Set[socket.Room]
	data      any
}

var _ socket.SocketDetails = (*remoteDetails)(nil)

// Id implements socket.SocketDetails.
func (d *remoteDetails) Id() socket.SocketId { return d.id }

// Handshake implements socket.SocketDetails.
func (d *remoteDetails) Handshake() *socket.Handshake { return d.handshake }

// Rooms implements socket.SocketDetails.
func (d *remoteDetails) Rooms() *types.Set[socket.Room] { return d.rooms }

// Data implements socket.SocketDetails.
func (d *remoteDetails) Data() any { return d.data }

// detailsFrom reads the sockets of an answer, leaving out what is not one.
func detailsFrom(v any) []socket.SocketDetails {
	list, _ := v.([]any)
	out := make([]socket.SocketDetails, 0, len(list))
	for _, item := range list {
		fields, _ := item.(map[string]any)
		id, ok := fields["id"].(string)
		if !ok {
			continue
		}
		d := &remoteDetails{
			id: socket.SocketId(id), handshake: handshakeFrom(fields["handshake"]),
			rooms: types.NewSet[socket.Room](), data: fields["data"],
		}
		names, _ := fields["rooms"].([]any)
		for _, name := range names {
			if room, err := roomFrom(name); err == nil {
				d.rooms.Add(socket.Room(room))
			}
		}
		out = append(out, d)
	}
	return out
}

var errNoEvent = errors.New("adapter: server-side event without a name")

// ServerSideEmit sends an event to the other servers of the cluster. If the last of packet is a socket.Ack, it is called
// later, on another goroutine, with one answer per server and possibly an error; else the error returned is all there
// is. Without it, nobody tells whether the servers received the event.
func (a *nspAdapter) ServerSideEmit(packet []any) error {
	if len(packet) == 0 {
		return errNoEvent
	}
	ack, withAck := packet[len(packet)-1].(socket.Ack)
	if withAck {
		packet = packet[:len(packet)-1]
	}
	frozen, _, err := freezeSlice(packet, 0)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.c.cfg.RequestTimeout)
	defer cancel()
	data := map[string]any{"packet": frozen}
	if !withAck {
		return a.c.peers.ask(ctx, a.message(typeServerSideEmit, "", data))
	}
	members, err := a.members(ctx)
	if err != nil {
		return err
	}
	if len(members) == 0 {
		a.c.tasks.spawn(func() { a.c.guard("acknowledgement", func() { ack([]any{}, nil) }) })
		return nil
	}
	return a.askServers(ctx, members, data, ack)
}

// answerServerSideEmit hands an event to the application. One that asks for an answer and has no listener here is
// answered with null, since the asker counts servers: without it, whoever asks a cluster in which only some listen would
// always time out.
func (a *nspAdapter) answerServerSideEmit(m message) {
	args, _ := m.data["packet"].([]any)
	event := ""
	if len(args) > 0 {
		event, _ = args[0].(string)
	}
	// The namespace's own events carry sockets, and its listeners rely on that.
	if event == "" || socket.NAMESPACE_RESERVED_EVENTS.Has(event) {
		a.c.count.badMessages.Add(1)
		return
	}
	if m.requestID == "" {
		a.nsp.OnServerSideEmit(args)
		return
	}
	if len(a.nsp.Listeners(event)) == 0 {
		a.c.inbox.respond(m, typeServerSideReply, map[string]any{"packet": nil})
		return
	}
	var once sync.Once
	ack := func(values []any, _ error) {
		once.Do(func() {
			a.c.inbox.respond(m, typeServerSideReply, map[string]any{"packet": encodable(firstOf(values))})
		})
	}
	a.nsp.OnServerSideEmit(append(args, ack))
}

func firstOf(values []any) any {
	if len(values) == 0 {
		return nil
	}
	return values[0]
}

// BroadcastWithAck sends an event that its receivers acknowledge, to all matching sockets of the cluster and not through
// the log. clientCount is called once per server, ack once per socket that answers, both possibly on other goroutines.
// A server that leaves before it has said its count counts as one without sockets.
func (a *nspAdapter) BroadcastWithAck(
	packet *parser.Packet, opts *socket.BroadcastOptions, clientCount func(uint64), ack socket.Ack,
) {
	o := optionsOf(opts)
	args, _, err := frozenArgs(packet)
	if err != nil {
		a.unencodable(err)
		return
	}
	single := singleAck(ack, o.Flags.ExpectSingleResponse)
	// The library's timer reads the packet's id without a lock, to clean up by it; so it gets none, and cleaning up is
	// done here.
	id := a.nsp.Ids()
	if !o.Flags.Local {
		a.askSockets(args, o, clientCount, single)
	}
	count, err := a.broadcastLocally(args, o, id, single)
	if err != nil {
		a.unencodable(err)
		return
	}
	clientCount(count)
}

// singleAck makes one value of each socket's answer, as the broadcast's collector counts values: the first argument, or
// null. Where the caller expects a single answer, the collector takes that value for a list of arguments.
func singleAck(ack socket.Ack, expectSingle bool) func(value any) {
	return func(value any) {
		if expectSingle {
			value = []any{value}
		}
		ack([]any{value}, nil)
	}
}

func (a *nspAdapter) askSockets(args []any, o options, clientCount func(uint64), ack func(any)) {
	limit := o.Flags.timeout(a.c.cfg.RequestTimeout)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	members, err := a.members(ctx)
	if err != nil {
		a.c.warnf("request", "broadcast with acknowledgements reached this node only", "err", err)
		return
	}
	if len(members) == 0 {
		return
	}
	id := newRequestID()
	// The callbacks end in the application's, which may wait for anything: not on the goroutine that reads answers.
	call := func(fn func()) { a.c.tasks.spawn(func() { a.c.guard("acknowledgement", fn) }) }
	a.c.peers.begin(id, members, &request{
		left: func() { call(func() { clientCount(0) }) },
		each: func(m message) {
			if m.kind == typeBroadcastAck {
				call(func() { ack(m.data["packet"]) })
				return
			}
			n, _ := number(m.data["clientCount"])
			call(func() { clientCount(uint64(max(n, 0))) })
		},
	})
	time.AfterFunc(limit, func() {
		if a.c.peers.end(id) > 0 {
			a.c.count.requestTimeouts.Add(1)
		}
	})
	data := map[string]any{"opts": o.value(), "packet": packetValue(a.name, args, nil)}
	if err := a.c.peers.ask(ctx, a.message(typeBroadcast, id, data)); err != nil {
		a.c.peers.end(id)
		a.c.warnf("request", "broadcast with acknowledgements reached this node only", "err", err)
	}
}

// broadcastLocally sends an event to the matching sockets of this node and has their answers go to ack.
func (a *nspAdapter) broadcastLocally(args []any, o options, id uint64, ack func(any)) (uint64, error) {
	body, err := bodyOf(args)
	if err != nil {
		return 0, err
	}
	body.id = &id
	var asked []*socket.Socket
	count := a.deliver(delivery{frame: newFrame(a.name, body, o.Flags), opts: o, prepare: func(s *socket.Socket) {
		asked = append(asked, s)
		s.Acks().Store(id, func(values []any, _ error) { ack(firstOf(values)) })
	}})
	time.AfterFunc(o.Flags.timeout(a.c.cfg.RequestTimeout), func() {
		for _, s := range asked {
			s.Acks().Delete(id)
		}
	})
	return count, nil
}

func (a *nspAdapter) answerBroadcast(m message) {
	o, err := optionsFrom(m.data["opts"])
	packet, _ := m.data["packet"].(map[string]any)
	args, ok := packet["data"].([]any)
	if err != nil || !ok || len(args) == 0 || m.requestID == "" {
		a.c.count.badMessages.Add(1)
		return
	}
	count, err := a.broadcastLocally(args, o, a.nsp.Ids(), func(value any) {
		a.c.inbox.respond(m, typeBroadcastAck, map[string]any{"packet": encodable(value)})
	})
	if err != nil {
		a.c.count.badMessages.Add(1)
		return
	}
	a.c.inbox.respond(m, typeBroadcastCount, map[string]any{"clientCount": int64(count)})
}
