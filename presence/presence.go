// Package presence owns the truth about who is connected: which users in which roles, and which of them are in which
// room, over all nodes. A node counts its own sockets in memory and writes the changed counts, in batches and as absolute
// values, to its hashes in Redis; scripts apply the difference to the totals. One node, the lowest live name, subtracts
// what dead nodes held. It never looks at sockets, never sends to clients other than by appending to the log, and never
// decides who may join what.
package presence

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrNoRedis says that New was given no client.
var ErrNoRedis = errors.New("presence: Deps.Redis is nil")

// Member is one user's membership of a room, in the role it joined with.
type Member struct{ Room, User, Role string }

// Deps is what presence stands on. All functions have to be safe for concurrent use.
type Deps struct {
	// Redis is the caller's, without retries of its own (MaxRetries -1).
	Redis redis.UniversalClient
	// Answers is gossip's word on whether a node answers; known is false where gossip can't tell. Nil: it never can.
	Answers func(ctx context.Context, identity string) (answers, known bool)
	// Announce makes the log entry's field/value pairs for user_joined and user_left. Nil, or an empty result: no entry.
	Announce func(joined bool, m Member) []string
	// OnNodeDead is told of every node that was reaped, by whichever node, or was seen to have left. It must not block.
	OnNodeDead func(identity string)
	Log        *slog.Logger // nil: slog.Default
}

// Presence is one node's presence. Its methods are safe for concurrent use.
type Presence struct {
	cfg  Config
	deps Deps
	keys keys
	log  *slog.Logger

	users, rooms *table
	count        counts

	wake     chan struct{} // to the writer: look at once
	reapNow  chan struct{} // to the reaper: the same
	look     chan struct{} // to the watcher: the same
	resync   atomic.Bool   // the writer has to write the whole state again
	seq      atomic.Int64  // number of the last call that carried one; the writer's, and after it the leave's
	view     atomic.Pointer[view]
	lastBeat atomic.Int64 // when the last successful heartbeat was sent, as time since born
	written  atomic.Bool  // the whole state was written at least once
	// beatFailed is when the last heartbeat failed, as time since born; 0: never.
	beatFailed atomic.Int64
	born       time.Time
	// subscribed is the run of Redis on which this node's channel was seen subscribed; nil: not seen on the present one.
	subscribed atomic.Pointer[string]
	last       atomic.Pointer[Stats]

	hooks hooks
}

// hooks let a test end a node as a crash would. They are set before Run.
type hooks struct {
	crashed   func() bool                 // true when Run ends: no leave
	written   func()                      // after the whole state was written
	flushed   func(rooms bool)            // after each call that wrote counts of users, or of room members
	afterReap func(identity string) error // after each reaping call; an error ends the reaping as a crash would
}

// New checks cfg and returns a presence that does nothing until Run; Connect and Join already count.
func New(cfg Config, deps Deps) (*Presence, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Redis == nil {
		return nil, ErrNoRedis
	}
	if deps.Log == nil {
		deps.Log = slog.Default()
	}
	p := &Presence{
		cfg:     cfg,
		deps:    deps,
		keys:    newKeys(cfg.Prefix, cfg.LogKey),
		log:     deps.Log.With("component", "presence"),
		wake:    make(chan struct{}, 1),
		reapNow: make(chan struct{}, 1),
		look:    make(chan struct{}, 1),
		born:    time.Now(),
	}
	p.users = newTable(0, &p.count.underflows)
	p.rooms = newTable(cfg.grace(), &p.count.underflows)
	p.rooms.hold = cfg.hold()
	return p, nil
}

// Run writes, watches and, on the leading node, reaps, until ctx ends. Then it subtracts this node, within
// Config.StopTimeout and at most one of the client's read timeouts, and returns nil. Redis' absence never ends it.
func (p *Presence) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	w, s := newWriter(p), newWatcher(p)
	for _, part := range []func(context.Context){w.run, s.run, p.subscribe, p.chores} {
		wg.Go(func() { part(ctx) })
	}
	wg.Wait()
	if p.hooks.crashed != nil && p.hooks.crashed() {
		return nil
	}
	lctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.StopTimeout)
	defer cancel()
	if err := p.leave(lctx); err != nil {
		p.log.Warn("presence not left; another node will subtract this one", "err", err)
	}
	return nil
}

// Connect counts one more socket of user in role. It only touches memory.
func (p *Presence) Connect(user, role string) { p.users.add(key{role: role, user: user}, 1) }

// Disconnect undoes one Connect. One too many is counted and ignored.
func (p *Presence) Disconnect(user, role string) { p.users.add(key{role: role, user: user}, -1) }

// Join counts one more socket of a member in a room. It only touches memory.
func (p *Presence) Join(m Member) { p.rooms.add(key{room: m.Room, role: m.Role, user: m.User}, 1) }

// Leave undoes one Join. One too many is counted and ignored.
func (p *Presence) Leave(m Member) { p.rooms.add(key{room: m.Room, role: m.Role, user: m.User}, -1) }

// Ready says that the whole state has been written and that the heartbeat is fresh.
func (p *Presence) Ready() bool {
	return p.written.Load() && time.Since(p.born)-time.Duration(p.lastBeat.Load()) < p.cfg.HeartbeatDead/2
}

// poke wakes the goroutine behind c, which may be awake already.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
