package main

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/teloo/realtime-gateway/api/dashboard"
	"github.com/teloo/realtime-gateway/api/metrics"
	"github.com/teloo/realtime-gateway/api/web"
	"github.com/teloo/realtime-gateway/node"
	"github.com/teloo/realtime-gateway/node/canary"
	"github.com/teloo/realtime-gateway/node/limits"
	"github.com/teloo/realtime-gateway/presence"
	"github.com/teloo/realtime-gateway/streams"
)

// operatorsPage is the page at /dashboard and the Socket.IO server that it lives by.
type operatorsPage struct {
	page    *dashboard.Page[*node.Guest]
	annex   *node.Annex
	handler http.Handler
	// leave is for when the node turns its clients away: run then tells the other nodes.
	leave   func()
	leaving <-chan struct{}
	tell    func() error
	// lastMinute is of the deliveries.
	lastMinute lastMinute
	// kinds counts the events that this node routed, canaries excluded, which nobody has written: by dashboard.Kinds.
	kinds [4]atomic.Uint64
}

// operatorsPage makes the operators' page; nil without a key.
func (p *parts) operatorsPage() (*operatorsPage, error) {
	if p.cfg.AdminAPIKey == "" {
		return nil, nil
	}
	proxies := p.cfg.limitsConfig().TrustedProxies
	page, err := dashboard.New[*node.Guest](p.cfg.dashboardConfig(), dashboard.Deps{
		Figures: p.ownFigures, Ask: p.node.Ask, Members: p.clusterMembers, Cluster: p.clusterFigures,
		Dead: shownLetters{streams.NewDeadLetters(p.commands, p.cfg.RedisPrefix)}, Assets: web.Dashboard,
		ClientAddr: func(r *http.Request) netip.Addr { return limits.ClientAddr(r, proxies) },
		Log:        p.base,
	})
	if err != nil {
		return nil, err
	}
	for _, question := range []string{dashboard.QuestionNow, dashboard.QuestionPast} {
		if err := p.node.Answer(question, func() []byte { return page.Answer(question) }); err != nil {
			return nil, err
		}
	}
	if err := p.node.Hear(dashboard.NewsLeaving, page.Leaving); err != nil {
		return nil, err
	}
	annex, err := node.NewAnnex(node.AnnexConfig{Node: p.cfg.NodeName, MaxGuests: dashboard.MaxWatchers}, node.AnnexDeps{
		Admit: page.Admit, Entered: page.Entered, Left: page.Left, Requests: page.Requests(), Log: p.base,
	})
	if err != nil {
		return nil, err
	}
	// Whoever has no key yet is bound by the rate of addresses as clients are.
	sockets := p.limits.Guard(annex.Handler(), limits.GuardConfig{Log: p.base})
	leaving := make(chan struct{})
	return &operatorsPage{
		page: page, annex: annex, handler: page.Handler(sockets),
		leave: sync.OnceFunc(func() { close(leaving) }), leaving: leaving,
		tell: func() error { return p.node.Tell(dashboard.NewsLeaving, p.identity) },
	}, nil
}

// dashboardConfig is of use with a key.
func (c Config) dashboardConfig() dashboard.Config {
	d := dashboard.DefaultConfig()
	d.Key = string(c.AdminAPIKey)
	d.Node = c.NodeName
	return d
}

// run serves the page until ctx ends.
func (o *operatorsPage) run(ctx context.Context) error {
	if o == nil {
		<-ctx.Done()
		return nil
	}
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return o.page.Run(ctx) })
	all.Go(func() error { return o.annex.Run(ctx) })
	all.Go(func() error {
		select {
		case <-ctx.Done():
		case <-o.leaving:
			_ = o.tell() // unheard, it is shown as lost
		}
		return nil
	})
	return all.Wait()
}

// ownFigures are this node's, for the operators' page.
func (p *parts) ownFigures() dashboard.Figures {
	ready, reasons := p.ready()
	cluster, consumer := p.cluster.Stats(), p.consumer.Stats()
	f := dashboard.Figures{
		Name: p.cfg.NodeName, Identity: p.identity, Version: buildVersion(), Started: p.began.UnixMilli(),
		Ready: ready, Reasons: reasons, Draining: p.stopping.Load(),
		Connections: make(map[string]int64), Events: p.page.byKind(), Deliveries: cluster.Writes,
		Position: timeOfID(cluster.Position), Backlog: consumer.Backlog, Refused: p.refusals(),
		Dead: consumer.Dead, Recovered: cluster.Recovered, NotRecovered: cluster.NotRecovered + cluster.RecoveryFailed,
	}
	for group, n := range p.node.Census() {
		f.Connections[group.Role] += int64(n)
		if group.Transport == "websocket" {
			f.WebSocket += n
		} else {
			f.Polling += n
		}
	}
	if p.observed != nil {
		f.Latency = p.page.lastMinute.of(p.observed.latency.delivery, time.Now())
	}
	return f
}

// refusals are what this node refused, and whom it closed for something they did, by names that the page has words for.
func (p *parts) refusals() map[string]uint64 {
	own, limited := p.node.Stats(), p.limits.Stats()
	all := map[string]uint64{
		"handshake.rate_limited": limited.HandshakesRefused,
		"handshake.budget":       limited.BudgetRefused,
		"event.rate_limited":     limited.EventsRefused,
	}
	for code, n := range own.RefusedBy {
		all["connect."+code] = n
	}
	for reason, n := range p.node.EngineStats().RefusedBy {
		all["request."+reason] = n
	}
	for _, reason := range []string{"slow_consumer", "token_expired", "token_revoked", "event_flood", "gap"} {
		all["closed."+reason] = own.Ended[reason]
	}
	return all
}

// timeOfID is the time in a stream's id, unix ms; 0 if it has none.
func timeOfID(id string) int64 {
	head, _, _ := strings.Cut(id, "-")
	at, _ := strconv.ParseInt(head, 10, 64)
	return at
}

// clusterMembers are the nodes that count as living.
func (p *parts) clusterMembers(ctx context.Context) ([]dashboard.Member, error) {
	s, err := p.presence.Stats(ctx)
	if err != nil {
		return nil, err
	}
	return membersOf(s), nil
}

func membersOf(s presence.Stats) []dashboard.Member {
	members := make([]dashboard.Member, 0, len(s.Nodes))
	for _, n := range s.Nodes {
		members = append(members, dashboard.Member{Name: n.Name, Identity: n.Identity, Version: n.Version})
	}
	return members
}

// clusterFigures is what only Redis knows.
func (p *parts) clusterFigures(ctx context.Context) (dashboard.Cluster, error) {
	end, err := p.cluster.LogEnd(ctx)
	if err != nil {
		return dashboard.Cluster{}, err
	}
	s, err := p.presence.Stats(ctx)
	if err != nil {
		return dashboard.Cluster{}, err
	}
	lag, err := p.consumer.Lag(ctx)
	if err != nil {
		return dashboard.Cluster{}, err
	}
	return dashboard.Cluster{
		Users: s.ByRole, Members: membersOf(s), Unread: lag.Undelivered, Pending: lag.Pending,
		Waiting: max(lag.Waiting, lag.Oldest).Milliseconds(), LogEnd: timeOfID(end), DeadLetters: lag.Dead,
	}, nil
}

// routed counts an event.
func (o *operatorsPage) routed(event string) {
	kind, _, _ := strings.Cut(event, "_")
	if i := slices.Index(dashboard.Kinds, kind); o != nil && i >= 0 && event != canary.EventName {
		o.kinds[i].Add(1)
	}
}

func (o *operatorsPage) byKind() map[string]uint64 {
	counts := make(map[string]uint64, len(o.kinds))
	for i, kind := range dashboard.Kinds {
		counts[kind] = o.kinds[i].Load()
	}
	return counts
}

// lastMinute is a histogram's last minute. It is safe for concurrent use.
type lastMinute struct {
	mu    sync.Mutex
	shots []latencyShot // mu: the oldest first, a few seconds apart
}

type latencyShot struct {
	at   time.Time
	held *metrics.Snapshot
}

const (
	latencySpan = time.Minute
	latencyStep = 5 * time.Second
)

// of tells what d has held for the last minute.
func (l *lastMinute) of(d *metrics.Duration, now time.Time) dashboard.Latency {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := d.Snapshot()
	for len(l.shots) > 1 && now.Sub(l.shots[1].at) >= latencySpan {
		l.shots = l.shots[1:]
	}
	if len(l.shots) == 0 || now.Sub(l.shots[len(l.shots)-1].at) >= latencyStep {
		l.shots = append(slices.Clone(l.shots), latencyShot{now, held})
	}
	held = held.Since(l.shots[0].held)
	ms := func(q float64) float64 { return float64(held.Quantile(q)) / float64(time.Millisecond) }
	return dashboard.Latency{Count: held.Count, P50: ms(0.5), P95: ms(0.95), P99: ms(0.99)}
}
