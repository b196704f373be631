// Package ingress takes in what others publish by Redis pub/sub: the events of classic Socket.IO emitters and of
// python-socketio's managers, which become entries of the broadcast log, and those of plain channels, which become
// entries of the event stream.
//
// It owns the lease by which one node at a time listens, and the reading of those messages. It never delivers anything to
// a client, never takes more than plain data out of a pickle, and never sends an append again: a message is lost rather
// than repeated, as is usual with pub/sub. Who can publish on the channels can send any event to any room.
package ingress

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrRunning is returned by Run when it was called before.
var ErrRunning = errors.New("ingress: Run was called before")

// Ingress is one node's part. It is safe for concurrent use.
type Ingress struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	lease   lease
	encode  encoder
	count   counters
	started atomic.Bool
	// server is where to subscribe, and on a Redis Cluster its name.
	server func(context.Context) (redis.UniversalClient, string, error)
}

// New returns an ingress that works once Run does.
func New(cfg Config, deps Deps) (*Ingress, error) {
	if err := errors.Join(cfg.Validate(), deps.validate()); err != nil {
		return nil, err
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	g := &Ingress{
		cfg: cfg, deps: deps, log: deps.Logger.With("component", "ingress"),
		lease:  lease{rdb: deps.Redis, key: cfg.Prefix + ":ingress", identity: cfg.Identity, lasts: cfg.Lease},
		encode: encoder{uid: "ingress", namespace: cfg.Namespace, most: cfg.forClients()},
	}
	g.server = g.ofLease
	return g, nil
}

// Run contends for the lease and, while it holds it, listens, until ctx ends. Then it lets another node follow, for which
// there is Config.Lease and a half, and appends what it has received, for which there is a second. It survives every outage
// of Redis. It can be called once.
func (g *Ingress) Run(ctx context.Context) error {
	if !g.started.CompareAndSwap(false, true) {
		return ErrRunning
	}
	for ctx.Err() == nil {
		value, got, err := g.lease.take(ctx)
		switch {
		case got != nothing:
			g.hold(ctx, value, got)
		case err != nil:
			g.log.Debug("could not ask for the lease", "err", err)
			g.giveUp(value) // it may have been taken all the same
		}
		// A holder that could not listen lets others try first.
		pause(ctx, g.cfg.Lease/4+rand.N(g.cfg.Lease/8)) //nolint:gosec // jitter needs no cryptographic randomness
	}
	return nil
}

// hold is one term.
func (g *Ingress) hold(ctx context.Context, value string, got claim) {
	err := g.runTerm(ctx, value, got)
	g.giveUp(value)
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, errNotNext):
		g.log.Debug("did not come to listen to pub/sub for the cluster", "err", err)
	default:
		g.log.Warn("no longer listening to pub/sub for the cluster", "err", err)
	}
}

// giveUp releases the lease, whatever has ended.
func (g *Ingress) giveUp(value string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := g.lease.release(ctx, value); err != nil {
		g.log.Debug("could not release the lease", "err", err)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
