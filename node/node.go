package node

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"
	"golang.org/x/sync/errgroup"

	"github.com/teloo/realtime-gateway/node/auth"
	"github.com/teloo/realtime-gateway/node/engine"
	"github.com/teloo/realtime-gateway/node/limits"
	"github.com/teloo/realtime-gateway/node/taskqueue"
	"github.com/teloo/realtime-gateway/presence"
)

// Verifier checks tokens.
type Verifier interface {
	// Verify returns whom the token speaks for, or one of auth's errors.
	Verify(ctx context.Context, token string) (auth.Identity, error)
}

// Presence is told of each socket and room membership; its methods never block.
type Presence interface {
	Connect(user, role string)
	Disconnect(user, role string)
	Join(member presence.Member)
	Leave(member presence.Member)
}

// Budget paces connects over the cluster.
type Budget interface {
	// Wait returns when the next connect may go on, or an error when it may not.
	Wait(ctx context.Context) error
	// Ready reports, taking nothing, whether Wait would let a connect go on; if not, when to come back.
	Ready() (retryAfter time.Duration, ok bool)
}

// Revocations knows whose token was revoked.
type Revocations interface {
	// Check returns nil, auth.ErrTokenRevoked, or auth.ErrUnavailable while that is not known. It does not block.
	Check(id auth.Identity) error
}

// Deps are the parts that a Node works with; all but Limits, Written and Now are required.
type Deps struct {
	Adapter     socket.AdapterConstructor
	Verifier    Verifier
	Revocations Revocations
	Grants      auth.Granter
	Policy      auth.Policy
	Presence    Presence
	Sessions    Sessions
	Budget      Budget
	// Limits bound what an address, a user and a socket may ask of this node; nil: nothing does.
	Limits *limits.Limits
	// Written is told of the marks that connections are given with NoteWritten, see engine.Session; nil: nobody is.
	Written func(mark int64)
	Log     *slog.Logger
	// Now is the clock by which tokens expire; nil: time.Now.
	Now func() time.Time
}

// Stats are a node's counters since its start and its current connections.
type Stats struct {
	Connections int64
	Connects    uint64
	Refused     uint64
	// Dismissed counts connects whose connection was closed for another attempt, since they could not be decided.
	Dismissed uint64
	// Revoked counts sockets that were closed because their token was revoked.
	Revoked uint64
	// Expired counts sockets that were closed because their token expired.
	Expired uint64
	Panics  uint64
	// Draining: no new sessions are taken. Drained counts the connections that were closed for it.
	Draining bool
	Drained  uint64
	// ConnectedBy counts Connects by role, RefusedBy Refused by code, Ended the sockets that have gone, by reason.
	ConnectedBy, RefusedBy, Ended map[string]uint64
}

// Node is the Socket.IO server of one process. Its methods are safe for concurrent use.
type Node struct {
	cfg  Config
	deps Deps
	log  *slog.Logger
	io   *socket.Server
	// engine carries the transports; run by Run.
	engine *engine.Server

	// ctx bounds the work of event handlers; cancelled by Close.
	ctx    context.Context
	cancel context.CancelFunc

	draining atomic.Bool
	drained  atomic.Uint64
	// drainTurn is held by the one call of Drain that closes connections.
	drainTurn chan struct{}
	// seats counts admitted sockets and those being admitted; seated holds the ids of their connections.
	seats    atomic.Int64
	seated   sync.Map
	open     atomic.Int64
	connects atomic.Uint64
	refused  atomic.Uint64
	// dismissed counts connects that were sent away without an answer.
	dismissed atomic.Uint64
	revoked   atomic.Uint64
	panics    atomic.Uint64

	connectedBy, refusedBy, ended tallies

	now      func() time.Time
	expiries expiries
	expired  atomic.Uint64
	// withdrawals counts the calls of Withdrawn.
	withdrawals atomic.Uint64
}

// New makes a node; it serves while Run runs.
func New(cfg Config, deps Deps) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Adapter == nil || deps.Verifier == nil || deps.Revocations == nil || deps.Grants == nil || deps.Presence == nil ||
		deps.Sessions == nil || deps.Budget == nil || deps.Log == nil {
		return nil, errors.New("node: a dependency is missing")
	}
	if err := taskqueue.Check(); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, deps: deps, log: deps.Log.With("component", "node"), now: deps.Now, drainTurn: make(chan struct{}, 1)}
	if n.now == nil {
		n.now = time.Now
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	var err error
	if n.engine, err = newEngine(cfg, deps); err != nil {
		return nil, err
	}
	n.io = newServer(cfg, deps.Adapter, n.engine)
	n.io.Use(n.admit)
	if err := n.io.On("connection", n.onConnection); err != nil {
		return nil, err
	}
	return n, nil
}

// Run carries the connections, and follows their tokens' expiry, until ctx ends, and then ends those that are left.
func (n *Node) Run(ctx context.Context) error {
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return n.engine.Run(ctx) })
	both.Go(func() error { return n.runExpiries(ctx) })
	return both.Wait()
}

// Handler serves Config.Path; without Run it refuses. What it refuses because of draining or limits costs next to
// nothing.
func (n *Node) Handler() http.Handler {
	limited := n.deps.Limits.Guard(n.engine, limits.GuardConfig{
		Budget: n.deps.Budget, AllowOrigin: newOriginList(n.cfg.Origins).allows, Log: n.deps.Log,
	})
	return guard(limited, n.draining.Load)
}

// OwnSession reports whether an Engine.IO session's id names this node, SessionOwner whose it is; false for an id that no
// node of the cluster has made.
func (n *Node) OwnSession(sid string) bool { return n.engine.Own(sid) }

// SessionOwner is described with OwnSession.
func (n *Node) SessionOwner(sid string) (engine.Tag, bool) { return n.engine.Owner(sid) }

// AnswerPoll has a polling client ask anew; see engine.Server.
func (n *Node) AnswerPoll(sid string) { n.engine.AnswerPoll(sid) }

// EngineStats returns the figures of the transports.
func (n *Node) EngineStats() engine.Stats { return n.engine.Stats() }

// Stats returns the current figures.
func (n *Node) Stats() Stats {
	return Stats{
		Connections: n.open.Load(),
		Connects:    n.connects.Load(),
		Refused:     n.refused.Load(),
		Dismissed:   n.dismissed.Load(),
		Revoked:     n.revoked.Load(),
		Expired:     n.expired.Load(),
		Panics:      n.panics.Load(),
		Draining:    n.draining.Load(),
		Drained:     n.drained.Load(),
		ConnectedBy: n.connectedBy.all(), RefusedBy: n.refusedBy.all(), Ended: n.ended.all(),
	}
}

// CloseAll closes every socket's connection at once, so that the clients reconnect: for a node that has missed events.
func (n *Node) CloseAll() {
	for _, s := range n.sockets() {
		noteEnding(s, endedGap)
		n.sendAway(s)
	}
}

// sendAway closes a socket's connection so that its client comes back to its session, here or elsewhere.
func (n *Node) sendAway(s *socket.Socket) {
	if n.draining.Load() {
		noteEnding(s, endedDrain)
	}
	noteEnding(s, endedSentAway)
	n.deps.Sessions.Lost(s)
	closeTransport(s)
}

func (n *Node) sockets() []*socket.Socket {
	var sockets []*socket.Socket
	n.io.Sockets().Sockets().Range(func(_ socket.SocketId, s *socket.Socket) bool {
		sockets = append(sockets, s)
		return true
	})
	return sockets
}

// Close ends the server and every socket that is left.
func (n *Node) Close() {
	n.draining.Store(true)
	n.cancel()
	n.io.Close(nil)
}
