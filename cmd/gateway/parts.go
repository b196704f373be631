package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/teloo/realtime-gateway/adapter"
	"github.com/teloo/realtime-gateway/adapter/ingress"
	"github.com/teloo/realtime-gateway/api"
	"github.com/teloo/realtime-gateway/api/tracing"
	"github.com/teloo/realtime-gateway/node"
	"github.com/teloo/realtime-gateway/node/auth"
	"github.com/teloo/realtime-gateway/node/canary"
	"github.com/teloo/realtime-gateway/node/forward"
	"github.com/teloo/realtime-gateway/node/gossip"
	"github.com/teloo/realtime-gateway/node/limits"
	"github.com/teloo/realtime-gateway/presence"
	"github.com/teloo/realtime-gateway/streams"
)

// namespace is the one Socket.IO namespace that the gateway serves.
const namespace = "/"

var (
	_ node.Sessions = (*adapter.Cluster)(nil)
	_ node.Recovery = (*adapter.Recovery)(nil)
)

// parts are the pieces of one node. They know each other only through the functions given to them here.
type parts struct {
	cfg      Config
	identity string
	began    time.Time
	// base is handed on to parts that name their component themselves; log is the assembly's own.
	base, log *slog.Logger

	// commands runs commands and subscriptions; events and entries wait in blocking reads of the two streams.
	commands, events, entries redis.UniversalClient

	gossip     *gossip.Gossip // nil: a cluster without gossip
	verifier   *auth.Verifier
	revoked    *auth.Revocations
	grants     *auth.Grants
	withdrawn  *auth.Withdrawals
	cluster    *adapter.Cluster
	presence   *presence.Presence
	limits     *limits.Limits
	node       *node.Node
	consumer   *streams.Consumer
	canary     *canary.Canary     // nil: CANARY_INTERVAL is 0
	forward    *forward.Forwarder // nil: a cluster without gossip or CLUSTER_SECRET
	ingress    *ingress.Ingress   // nil: nothing is listened to
	router     *node.Router
	validation *validation // nil: VALIDATE_EVENTS is off
	redisUp    atomic.Bool
	stopping   atomic.Bool
	drain      chan struct{}   // asks runDrain
	tracer     *tracing.Tracer // nil: no spans
	observed   *instruments    // nil: METRICS=false
	level      *logLevel       // nil: it cannot be changed

	page *operatorsPage // nil: without a key there is none
}

// build makes the parts of a node and starts none. The caller closes the result.
func build(ctx context.Context, cfg Config, log *slog.Logger) (*parts, error) {
	began := time.Now()
	identity := cfg.identity(began)
	p := &parts{
		cfg: cfg, identity: identity, began: began, base: log, log: ofGateway(log),
		commands: cfg.newRedis(false), events: cfg.newRedis(true), entries: cfg.newRedis(true),
		router: node.NewRouter(cfg.JWTRoles), drain: make(chan struct{}, 1),
	}
	p.observe()
	for _, step := range []func(context.Context, *slog.Logger) error{
		p.buildTracer, p.buildGossip, p.buildVerifier, p.buildAdapter, p.buildPresence, p.buildNode, p.buildValidation, p.buildConsumer, p.buildCanary,
		p.buildForward, p.buildIngress,
	} {
		if err := step(ctx, log); err != nil {
			p.close()
			return nil, err
		}
	}
	return p, nil
}

// close ends what build opened and no Run has ended.
func (p *parts) close() {
	if p.gossip != nil {
		_ = p.gossip.Close()
	}
	if p.tracer != nil {
		p.tracer.Close()
	}
	if p.node != nil {
		p.node.Close()
	}
	for _, client := range []redis.UniversalClient{p.entries, p.events, p.commands} {
		_ = client.Close()
	}
}

func (p *parts) buildGossip(_ context.Context, log *slog.Logger) (err error) {
	if !p.cfg.gossips() {
		return nil
	}
	p.gossip, err = gossip.New(p.cfg.gossipConfig(p.identity), gossip.Deps{
		OnLeave: func(m gossip.Member) { p.nodeLeft(m.Identity) },
		Log:     log,
	})
	return err
}

func (p *parts) buildVerifier(ctx context.Context, log *slog.Logger) (err error) {
	if p.verifier, err = auth.New(ctx, p.cfg.authConfig(), log); err != nil {
		return err
	}
	cfg := p.cfg.revocationsConfig()
	cfg.OnChange = func() { p.node.CloseRevoked() }
	if p.revoked, err = auth.NewRevocations(cfg, p.commands, log); err != nil {
		return err
	}
	p.grants = auth.NewGrants(p.commands, p.cfg.RedisPrefix, log)
	withdrawals := p.cfg.withdrawalsConfig()
	withdrawals.OnWithdrawn = func(ctx context.Context, list []auth.Withdrawal) error { return p.node.Withdrawn(ctx, list) }
	p.withdrawn, err = auth.NewWithdrawals(withdrawals, p.commands, log)
	return err
}

func (p *parts) buildAdapter(_ context.Context, log *slog.Logger) (err error) {
	var delivered func(ms, seq uint64, soon bool)
	if p.observed != nil {
		delivered = p.observed.delivered
	}
	p.cluster, err = adapter.New(p.cfg.adapterConfig(p.identity), adapter.Deps{
		Delivered: delivered, Traced: p.deliveredSpan(),
		Redis: p.commands, Blocking: p.entries, Lead: p.lead, Log: log,
		Expired: func(identity string) bool { return p.presence.Expired(identity) },
		OnGap: func(reason string) {
			p.log.Error("events were missed; closing all sockets", "reason", reason)
			p.node.CloseAll()
		},
	})
	return err
}

func (p *parts) buildPresence(_ context.Context, log *slog.Logger) (err error) {
	deps := presence.Deps{Redis: p.commands, Announce: p.announce, OnNodeDead: p.nodeLeft, Log: log}
	if p.gossip != nil {
		deps.Answers = p.gossip.Answers
	}
	p.presence, err = presence.New(p.cfg.presenceConfig(p.identity), deps)
	return err
}

func (p *parts) buildNode(_ context.Context, log *slog.Logger) error {
	budget, err := gossip.NewBudget(p.cfg.budgetConfig(), p.live)
	if err != nil {
		return err
	}
	if p.limits, err = limits.New(p.cfg.limitsConfig()); err != nil {
		return err
	}
	var written func(int64)
	if p.observed != nil {
		written = p.observed.written
	}
	p.node, err = node.New(p.cfg.nodeConfig(), node.Deps{
		Adapter: p.cluster, Verifier: p.verifier, Revocations: p.revoked, Grants: p.grants, Policy: p.cfg.subscribePolicy(), Presence: p.presence,
		Sessions: p.cluster, Budget: budget, Limits: p.limits, Written: written, Log: log,
	})
	return err
}

func (p *parts) buildConsumer(_ context.Context, log *slog.Logger) (err error) {
	var relayed func(streams.Timing)
	if p.observed != nil {
		relayed = p.observed.relayed
	}
	p.consumer, err = streams.New(p.cfg.streamsConfig(p.identity), streams.Deps{
		Relayed: relayed, Redis: p.commands, Blocking: p.events, Handle: p.relay, Gone: p.presence.Gone, Lead: p.lead, Log: log,
	})
	return err
}

// nodeLeft passes on that a process has gone, so that its work is taken over and nobody waits for it.
func (p *parts) nodeLeft(identity string) {
	p.consumer.Reclaim(identity)
	p.cluster.NodeLeft(identity)
}

func (p *parts) lead() bool { return p.presence.Lead() }

func (p *parts) live() int {
	if p.gossip == nil {
		return 1
	}
	return p.gossip.Live()
}

// relay turns an event of the Core API into its entry of the log.
func (p *parts) relay(ev streams.Event) (streams.Relay, error) {
	journey := p.consumeSpan(ev)
	rooms, grants, err := p.router.Route(ev)
	if err == nil {
		err = p.validation.check(ev)
	}
	journey.Routed(len(rooms), reasonOf(err))
	if err != nil {
		return streams.Relay{}, err
	}
	p.page.routed(ev.Name)
	entry, err := adapter.EncodeBroadcast(p.identity, adapter.Broadcast{
		Nsp: namespace, Rooms: rooms, Event: ev.Name, Args: []json.RawMessage{ev.Data},
		EventID: ev.EventID, OccurredAt: ev.OccurredAt, ReplayedFrom: ev.ReplayedFrom, TraceParent: cmp.Or(journey.Commit(), ev.TraceParent),
	})
	if err != nil {
		journey.Settled("dead")
	}
	return streams.Relay{Log: entry, Grants: grants, Settled: settledSpan(journey)}, err
}

// announce makes the log entry of user_joined or user_left; none when that fails, which only a fault could cause.
func (p *parts) announce(joined bool, m presence.Member) []string {
	a, err := node.MemberAnnouncement(joined, m)
	if err != nil {
		p.log.Error("announcement not encoded", "err", err)
		return nil
	}
	entry, err := adapter.EncodeBroadcast(p.identity, adapter.Broadcast{
		Nsp: namespace, Rooms: a.Rooms, Except: a.Except, Event: a.Event, Args: []json.RawMessage{a.Data},
	})
	if err != nil {
		p.log.Error("announcement not encoded", "err", err)
	}
	return entry
}

// runAccess keeps what decides on access fresh: keys, revocations, and grants that expire or are withdrawn.
func (p *parts) runAccess(ctx context.Context) error {
	all, ctx := errgroup.WithContext(ctx)
	if p.tracer != nil {
		all.Go(func() error { return p.tracer.Run(ctx) }) // here, since this ends behind all that makes spans
	}
	for _, run := range []func(context.Context) error{p.verifier.Run, p.revoked.Run, p.grants.Run, p.withdrawn.Run} {
		all.Go(func() error { return run(ctx) })
	}
	return all.Wait()
}

// watchRedis keeps redisUp and says in the log when Redis goes and comes.
func (p *parts) watchRedis(ctx context.Context) error {
	const every, patience = 500 * time.Millisecond, 2 * time.Second
	waiting := false
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		ping, cancel := context.WithTimeout(ctx, patience)
		err := p.pingRedis(ping)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		p.redisUp.Store(err == nil)
		switch {
		case err != nil && !waiting:
			p.log.Warn("waiting for Redis", "redis", p.cfg.redisPlace(), "err", err)
		case err == nil && waiting:
			p.log.Info("Redis answers", "redis", p.cfg.redisPlace())
		}
		waiting = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sources are what the HTTP API asks.
func (p *parts) sources() api.Sources {
	return api.Sources{
		Stats:  p.stats,
		Health: p.health,
		Ready:  p.ready,
		Uptime: func() time.Duration { return time.Since(p.began) },
	}
}

func (p *parts) stats(ctx context.Context) (api.Stats, error) {
	s, err := p.presence.Stats(ctx)
	if err != nil {
		return api.Stats{}, fmt.Errorf("presence: %w", err)
	}
	out := api.Stats{
		ConnectedUsers:    s.ConnectedUsers,
		AdminsConnected:   s.ByRole[node.RoleAdmin],
		AdvisorsConnected: s.ByRole[node.RoleAdvisor],
		ClientsConnected:  s.ByRole[node.RoleClient],
		Connections:       s.Connections,
		AsOf:              s.AsOf,
	}
	for _, n := range s.Nodes {
		out.Nodes = append(out.Nodes, api.NodeStats{
			Name: n.Name, Connections: n.Connections, Version: n.Version, LastHeartbeat: n.LastHeartbeat,
		})
	}
	return out, nil
}

func (p *parts) health(context.Context) api.Health {
	h := api.Health{Redis: api.StateDown, Gossip: api.StateOff, Consumer: p.consumer.State()}
	if p.redisUp.Load() {
		h.Redis = api.StateOK
	}
	if p.gossip != nil {
		h.Gossip = api.StateDown
		if p.gossip.Healthy() {
			h.Gossip = api.StateOK
		}
	}
	return h
}

// ready says whether clients should be sent here: everything that an event passes on its way to them works.
func (p *parts) ready() (bool, []string) {
	var reasons []string
	for _, c := range []struct {
		ok  bool
		why string
	}{
		{!p.stopping.Load(), "draining"},
		{p.redisUp.Load(), "redis"},
		{p.cluster.Ready(), "log"},
		{p.presence.Ready(), "presence"},
		{p.verifier.Ready(), "keys"},
		{p.revoked.Ready(), "revocations"},
		{!p.deaf(), "deaf"},
	} {
		if !c.ok {
			reasons = append(reasons, c.why)
		}
	}
	return len(reasons) == 0, reasons
}
