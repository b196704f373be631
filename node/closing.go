package node

import (
	"bytes"
	"net/http"
	"sync"
	"time"

	"github.com/zishang520/socket.io/parsers/engine/v3/packet"
	"github.com/zishang520/socket.io/servers/engine/v3"
	"github.com/zishang520/socket.io/servers/engine/v3/transports"
	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// closeGrace is how long the queued packets of a connection that is being closed may take.
const closeGrace = 2 * time.Second

// awaitTaken waits until the connection has taken all that was written to it, for at most closeGrace; nothing may be
// written meanwhile. A polling client that finds events and the close in one response counts the events as received only
// once it is connected again, and would get them twice (socket.io-client 4.8 emits them a tick later).
func awaitTaken(s *socket.Socket) {
	const quiet = 3 // looks in a row, for one write may be under way
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(closeGrace)
	for taken := 0; taken < quiet && transportOpen(s) && time.Now().Before(deadline); {
		<-tick.C
		if s.Conn().Transport().Writable() {
			taken++
		} else {
			taken = 0
		}
	}
}

// polls knows the open requests of the polling clients.
type polls struct{ open sync.Map } // by session id: a channel that is closed when the request is answered

// serve hands a request to the server, and keeps it in the list meanwhile if it waits for events.
func (p *polls) serve(server engine.Server, w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	sid := q.Get("sid")
	if sid == "" || r.Method != http.MethodGet || q.Get("transport") != transports.POLLING {
		server.ServeHTTP(w, r)
		return
	}
	answered := make(chan struct{})
	p.open.Store(sid, answered)
	defer func() {
		close(answered)
		p.open.CompareAndDelete(sid, answered)
	}()
	held := &heldAnswer{ResponseWriter: w}
	ctx := types.NewHttpContext(held, r)
	forgotten := make(chan struct{})
	_ = ctx.Once("close", func(...any) { close(forgotten) })
	server.HandleRequest(ctx)
	// The library forgets an answered request a moment after it lets go of it, and with it the next one if that is here
	// by then. So the client gets its answer, and with it the occasion for the next request, only afterwards.
	select {
	case <-forgotten:
		held.release()
	case <-r.Context().Done():
	}
}

// heldAnswer keeps an answer back.
type heldAnswer struct {
	http.ResponseWriter

	status int
	body   bytes.Buffer
}

func (h *heldAnswer) WriteHeader(status int)         { h.status = status }
func (h *heldAnswer) Write(data []byte) (int, error) { return h.body.Write(data) }
func (h *heldAnswer) Unwrap() http.ResponseWriter    { return h.ResponseWriter }

// release sends the answer.
func (h *heldAnswer) release() {
	if h.status != 0 {
		h.ResponseWriter.WriteHeader(h.status)
	}
	_, _ = h.ResponseWriter.Write(h.body.Bytes()) // a client that has gone needs no answer
}

// end answers the open request of a polling client with the close, which the library would leave open for ever. It
// reports whether there was one.
func (p *polls) end(s *socket.Socket) bool {
	t := s.Conn().Transport()
	if t.Name() != transports.POLLING || !t.Writable() {
		return false
	}
	found, _ := p.open.Load(s.Conn().Id())
	answered, open := found.(chan struct{})
	if !open {
		return false
	}
	t.Send([]*packet.Packet{{Type: packet.CLOSE}})
	select {
	case <-answered:
	case <-time.After(closeGrace):
	}
	return true
}

// closeTransport ends the connection of s so that its client reconnects by itself, which it does not after a
// DISCONNECT packet. It waits for what is queued at most for closeGrace, since the library can hang in an orderly close.
func (n *Node) closeTransport(s *socket.Socket) {
	closed := make(chan struct{})
	var once sync.Once
	onTransportClose(s, func() { once.Do(func() { close(closed) }) })
	if n.polls.end(s) {
		s.Conn().Close(true)
		return
	}
	go s.Conn().Close(false)
	select {
	case <-closed:
	case <-time.After(closeGrace):
		s.Conn().Close(true)
	}
}
