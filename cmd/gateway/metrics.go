package main

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/teloo/realtime-gateway/adapter"
	"github.com/teloo/realtime-gateway/api/admin"
	"github.com/teloo/realtime-gateway/api/metrics"
	"github.com/teloo/realtime-gateway/node"
	"github.com/teloo/realtime-gateway/node/auth"
	"github.com/teloo/realtime-gateway/node/engine"
	"github.com/teloo/realtime-gateway/node/forward"
	"github.com/teloo/realtime-gateway/node/gossip"
	"github.com/teloo/realtime-gateway/node/limits"
	"github.com/teloo/realtime-gateway/presence"
	"github.com/teloo/realtime-gateway/streams"
)

// instruments are what observes while a node runs; nil with METRICS=false.
type instruments struct {
	registry *metrics.Registry
	redis    *metrics.Redis
	latency  latencies
	sampler  sampler
	began    time.Time // of this node
	// handed is when an event was handed over last, after began; of who delivers.
	handed time.Duration
}

func newInstruments(began time.Time) *instruments {
	r := metrics.New()
	o := &instruments{registry: r, redis: metrics.NewRedis(r), latency: newLatencies(r), began: began}
	o.sampler.start.Store(began.UnixNano()) // until Redis' clock is known
	return o
}

// figures are what the tables of metrics read from, taken at one moment.
type figures struct {
	*parts

	nodeStats    node.Stats
	engineStats  engine.Stats
	limitsStats  limits.Stats
	adapterStats adapter.Stats
	streamsStats streams.Stats
	counters     presence.Counters
	revocations  auth.RevocationStats
	gossipStats  gossip.Stats // Live is 1 without gossip
	forwardStats forward.Stats
	sampled      sample
}

func (p *parts) figures() figures {
	f := figures{
		parts:     p,
		nodeStats: p.node.Stats(), engineStats: p.node.EngineStats(), limitsStats: p.limits.Stats(),
		adapterStats: p.cluster.Stats(), streamsStats: p.consumer.Stats(), counters: p.presence.Counters(),
		revocations: p.revoked.Stats(), gossipStats: gossip.Stats{Live: p.live()}, sampled: p.observed.sampler.fresh(),
		forwardStats: p.forward.Stats(),
	}
	if p.gossip != nil {
		f.gossipStats = p.gossip.Stats()
	}
	return f
}

// observe makes the instruments that parts are given when they are built.
func (p *parts) observe() {
	if !p.cfg.Metrics {
		return
	}
	p.observed = newInstruments(p.began)
	for client, blocking := range map[redis.UniversalClient]bool{p.commands: false, p.events: true, p.entries: true} {
		p.observed.redis.Watch(client, blocking)
	}
	p.observed.tabulate(p.figures)
}

// tabulate adds the metrics that are read from the parts.
func (o *instruments) tabulate(snapshot func() figures) {
	for _, rows := range [][]row{
		nodeMetrics, clientMetrics, sendMetrics, logMetrics, eventMetrics, clusterMetrics, redisMetrics, sampledMetrics, canaryMetrics,
		validationMetrics, forwardMetrics, ingressMetrics,
	} {
		metrics.Table(o.registry, snapshot, rows)
	}
}

// metricsHandler answers /metrics; nil: nobody does. open says that whoever gets there may read it.
func (p *parts) metricsHandler(open bool) (http.Handler, error) {
	switch {
	case p.observed == nil:
		return nil, nil
	case open:
		return p.observed.registry.Handler(), nil
	case p.cfg.AdminAPIKey == "":
		return nil, nil
	}
	proxies := p.cfg.limitsConfig().TrustedProxies
	return admin.Keyed(p.cfg.adminConfig(), admin.Deps{
		ClientAddr: func(r *http.Request) netip.Addr { return limits.ClientAddr(r, proxies) }, Log: p.base,
	}, p.observed.registry.Handler())
}
