package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/node/engine"
	"github.com/teloo/realtime-gateway/node/taskqueue"
)

// AnnexConfig is what an Annex is told. Node and MaxGuests are required.
type AnnexConfig struct {
	// Node is this node's name.
	Node string
	// MaxGuests bounds its sockets; as many connections and annexSpare may be about to get one. 1 to 10,000.
	MaxGuests int
}

const (
	annexSpare      = 16
	annexMaxPayload = 16 << 10 // bytes that a guest may send at once
)

// AnnexDeps decide on guests and serve them; all are required. Admit, Entered and Left have to be quick.
type AnnexDeps struct {
	// Admit decides on a connect by the client's auth. r has the peer's address and the headers. The refused is told the
	// error's text.
	Admit   func(r *http.Request, auth map[string]any) error
	Entered func(*Guest)
	Left    func(*Guest)
	// Requests are the events that a guest may send, each with an ack that gets what is returned. Those of one guest are
	// served one after the other.
	Requests map[string]func(ctx context.Context, args []any) any
	Log      *slog.Logger
}

// Annex is a Socket.IO server of its own beside the clients': for a few guests who are none of the cluster's clients, in
// no room and no figure. It is safe for concurrent use.
type Annex struct {
	deps   AnnexDeps
	log    *slog.Logger
	engine *engine.Server
	io     *socket.Server
	ctx    context.Context
	cancel context.CancelFunc

	mu    sync.Mutex
	most  int
	taken map[*engine.Session]struct{} // mu: connections that have, or are about to have, their one socket
}

// Guest is a connected socket of an Annex.
type Guest struct{ s *socket.Socket }

// Emit sends an event. It does not wait; to one who has gone it does nothing.
func (g *Guest) Emit(event string, value any) { _ = g.s.Emit(event, value) }

var errAnnexFull = errors.New("server_full")

// NewAnnex makes an annex; it serves while Run runs.
func NewAnnex(cfg AnnexConfig, deps AnnexDeps) (*Annex, error) {
	if cfg.MaxGuests < 1 || cfg.MaxGuests > 10_000 {
		return nil, fmt.Errorf("node: MaxGuests is %d, want 1 to 10000", cfg.MaxGuests)
	}
	if deps.Admit == nil || deps.Entered == nil || deps.Left == nil || deps.Log == nil {
		return nil, errors.New("node: a dependency of the annex is missing")
	}
	if err := taskqueue.Check(); err != nil {
		return nil, err
	}
	c := engine.DefaultConfig()
	c.NodeName, c.MaxSessions, c.MaxPayload, c.Writers = cfg.Node, 2*cfg.MaxGuests+annexSpare, annexMaxPayload, 1
	c.PingInterval, c.PingTimeout = 5*time.Second, 5*time.Second // a page has to notice soon that what it shows is old
	c.Final, c.Acceptable, c.AllowOrigin = Final, Acceptable, newOriginList(nil).allows
	own, err := engine.New(c, deps.Log)
	if err != nil {
		return nil, err
	}
	opts := socket.DefaultServerOptions()
	opts.SetServeClient(false)
	opts.SetConnectTimeout(5 * time.Second)
	a := &Annex{
		deps: deps, log: deps.Log.With("component", "annex"), engine: own, io: socket.NewServer(nil, opts),
		most: cfg.MaxGuests, taken: make(map[*engine.Session]struct{}),
	}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.io.Bind(own)
	a.io.Use(a.admit)
	return a, a.io.On("connection", a.onConnection)
}

// Handler serves the annex' Engine.IO, wherever it is mounted; pages of other origins than its own are refused.
func (a *Annex) Handler() http.Handler { return a.engine }

// Run carries the connections until ctx ends, and then ends them.
func (a *Annex) Run(ctx context.Context) error {
	defer a.io.Close(nil)
	defer context.AfterFunc(ctx, a.cancel)()
	return a.engine.Run(ctx)
}

// Close ends what Run has not; for an annex that was not run.
func (a *Annex) Close() {
	a.cancel()
	a.io.Close(nil)
}

// admit is the middleware that decides on a connect.
func (a *Annex) admit(s *socket.Socket, next func(*socket.ExtendedError)) {
	taskqueue.Take(s, func(fault any) { a.log.Error("panic", "in", "task", "panic", fault) })
	err := a.decide(s)
	forgetHandshake(s)
	if err != nil {
		next(socket.NewExtendedError(err.Error(), map[string]any{"code": err.Error()}))
	} else {
		next(nil)
	}
	taskqueue.Run(s)
	if errors.Is(err, errConnectTwice) {
		go s.Conn().Close(true)
	}
}

func (a *Annex) decide(s *socket.Socket) error {
	h := s.Handshake()
	header := make(http.Header, len(h.Headers))
	for name, values := range h.Headers {
		if lines, ok := values.([]string); ok {
			header[http.CanonicalHeaderKey(name)] = lines
		}
	}
	if err := a.deps.Admit(&http.Request{RemoteAddr: h.Address, Header: header}, h.Auth); err != nil {
		return err
	}
	return a.takeSeat(s)
}

// takeSeat makes the connection's end give its seat back.
func (a *Annex) takeSeat(s *socket.Socket) error {
	conn, ok := s.Conn().(*engine.Session)
	if !ok {
		return errAnnexFull
	}
	a.mu.Lock()
	_, twice := a.taken[conn]
	full := len(a.taken) >= a.most
	if !twice && !full {
		a.taken[conn] = struct{}{}
	}
	a.mu.Unlock()
	switch {
	case twice:
		return errConnectTwice
	case full:
		return errAnnexFull
	}
	onTransportClose(s, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.taken, conn)
	})
	return nil
}

// onConnection runs on the socket's own queue, before any of its events.
func (a *Annex) onConnection(args ...any) {
	s, ok := args[0].(*socket.Socket)
	if !ok {
		return
	}
	guest := &Guest{s}
	left := sync.OnceFunc(func() { a.deps.Left(guest) })
	_ = s.On("disconnect", func(...any) {
		left()
		closeTransport(s) // there is no other namespace that it could be of use for
	})
	_ = s.Conn().On("data", func(...any) { taskqueue.Run(s) }) // behind the library's own listener, which adds the tasks
	for event, serve := range a.deps.Requests {
		_ = s.On(event, func(args ...any) {
			args, ack := splitAck(args)
			if ack != nil {
				ack([]any{a.serve(event, serve, args)}, nil)
			}
		})
	}
	a.deps.Entered(guest)
	// A transport that closed while the library was still announcing the socket is never reported to it.
	if !s.Connected() || !transportOpen(s) {
		s.Disconnect(false)
		left()
	}
}

// serve costs one answer if it panics.
func (a *Annex) serve(event string, serve func(context.Context, []any) any, args []any) (answer any) {
	defer func() {
		if fault := recover(); fault != nil {
			a.log.Error("panic", "in", event, "panic", fault)
			answer = nil
		}
	}()
	return serve(a.ctx, args)
}
