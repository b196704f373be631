package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/teloo/realtime-gateway/api/dashboard"
	"github.com/teloo/realtime-gateway/api/web"
	"github.com/teloo/realtime-gateway/node"
	"github.com/teloo/realtime-gateway/node/limits"
	"github.com/teloo/realtime-gateway/presence"
	"github.com/teloo/realtime-gateway/streams"
)

// operatorsPage is the page at /dashboard and the Socket.IO server that it lives by.
type operatorsPage struct {
	page    *dashboard.Page[*node.Guest]
	annex   *node.Annex
	handler http.Handler
}

// operatorsPage makes the operators' page; nil without a key.
func (p *parts) operatorsPage() (*operatorsPage, error) {
	if p.cfg.AdminAPIKey == "" {
		return nil, nil
	}
	proxies := p.cfg.limitsConfig().TrustedProxies
	page, err := dashboard.New[*node.Guest](p.cfg.dashboardConfig(), dashboard.Deps{
		Figures: p.figures, Ask: p.node.Ask, Members: p.clusterMembers, Cluster: p.clusterFigures,
		Dead: deadLetters{streams.NewDeadLetters(p.commands, p.cfg.RedisPrefix)}, Assets: web.Dashboard,
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
	annex, err := node.NewAnnex(node.AnnexConfig{Node: p.cfg.NodeName, MaxGuests: dashboard.MaxWatchers}, node.AnnexDeps{
		Admit: page.Admit, Entered: page.Entered, Left: page.Left, Requests: page.Requests(), Log: p.base,
	})
	if err != nil {
		return nil, err
	}
	return &operatorsPage{page: page, annex: annex, handler: page.Handler(annex.Handler())}, nil
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
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return o.page.Run(ctx) })
	both.Go(func() error { return o.annex.Run(ctx) })
	return both.Wait()
}

// figures are this node's, for the operators' page.
func (p *parts) figures() dashboard.Figures {
	ready, reasons := p.ready()
	own, engine, limited, cluster, consumer := p.node.Stats(), p.node.EngineStats(), p.limits.Stats(), p.cluster.Stats(), p.consumer.Stats()
	return dashboard.Figures{
		Name: p.cfg.NodeName, Identity: p.identity, Version: buildVersion(), Started: p.began.UnixMilli(),
		Ready: ready, Reasons: reasons, Draining: p.stopping.Load(),
		Connections: p.node.ByRole(), Polling: engine.Polling, WebSocket: engine.WebSocket,
		Events: p.kinds.counts(), Deliveries: cluster.Writes,
		Position: timeOfID(cluster.Position), Backlog: consumer.Backlog,
		Refused: map[string]uint64{
			"connect_refused":     own.Refused - min(own.Refused, limited.SocketsRefused),
			"too_many_sockets":    limited.SocketsRefused,
			"address_rate":        limited.HandshakesRefused,
			"connect_budget":      limited.BudgetRefused,
			"bad_request":         engine.Refused,
			"event_rate":          limited.EventsRefused,
			"event_flood":         limited.EventFloods,
			"slow_consumer":       engine.SlowConsumers + cluster.SlowSockets,
			"token_revoked_after": own.Revoked,
			"token_expired_after": own.Expired,
		},
		Dead: consumer.Dead, Recovered: cluster.Recovered, NotRecovered: cluster.NotRecovered + cluster.RecoveryFailed,
	}
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
	s, err := p.presence.Stats(ctx)
	if err != nil {
		return dashboard.Cluster{}, err
	}
	last, err := p.commands.XRevRangeN(ctx, p.cfg.RedisPrefix+":log", "+", "-", 1).Result()
	if err != nil {
		return dashboard.Cluster{}, fmt.Errorf("the log's end: %w", err)
	}
	dead, err := p.commands.XLen(ctx, p.cfg.RedisPrefix+":dead").Result()
	if err != nil {
		return dashboard.Cluster{}, err
	}
	c := dashboard.Cluster{Users: s.ByRole, Members: membersOf(s), DeadLetters: dead, Unread: -1}
	if len(last) > 0 {
		c.LogEnd = timeOfID(last[0].ID)
	}
	return c, nil
}

// eventKinds counts the events that were routed here, by the first word of their names.
type eventKinds [4]atomic.Uint64

func (k *eventKinds) count(event string) {
	kind, _, _ := strings.Cut(event, "_")
	for i, known := range dashboard.Kinds {
		if kind == known {
			k[i].Add(1)
			return
		}
	}
}

func (k *eventKinds) counts() map[string]uint64 {
	counts := make(map[string]uint64, len(k))
	for i, kind := range dashboard.Kinds {
		counts[kind] = k[i].Load()
	}
	return counts
}

// deadLetters shows the dead letters to the operators' page.
type deadLetters struct{ letters *streams.DeadLetters }

var _ dashboard.DeadLetters = deadLetters{}

// List implements dashboard.DeadLetters.
func (d deadLetters) List(ctx context.Context, reason, after string, limit int) ([]dashboard.Letter, string, error) {
	page, next, err := d.letters.List(ctx, streams.Filter{Reason: reason, After: after, Limit: limit, Newest: true})
	if errors.Is(err, streams.ErrSelection) {
		return nil, "", fmt.Errorf("%w: %w", dashboard.ErrNoLetter, err)
	}
	letters := make([]dashboard.Letter, 0, len(page))
	for _, l := range page {
		letters = append(letters, shownLetter(l))
	}
	return letters, next, err
}

// Get implements dashboard.DeadLetters.
func (d deadLetters) Get(ctx context.Context, id string) (dashboard.Letter, error) {
	l, err := d.letters.Get(ctx, id)
	if err != nil {
		return dashboard.Letter{}, shownError(err)
	}
	shown := shownLetter(l)
	for _, f := range l.Fields {
		shown.Fields = append(shown.Fields, dashboard.Field{Name: f.Name, Value: f.Value})
	}
	return shown, nil
}

// Replay implements dashboard.DeadLetters.
func (d deadLetters) Replay(ctx context.Context, id string) error {
	done, err := d.letters.Replay(ctx, streams.Selection{IDs: []string{id}}, nil)
	switch {
	case err != nil:
		return shownError(err)
	case done.Refused > 0:
		return dashboard.ErrCut
	case done.Relayed > 0:
		return dashboard.ErrRelayed
	case done.Replayed == 0:
		return dashboard.ErrNoLetter
	}
	return nil
}

// Drop implements dashboard.DeadLetters.
func (d deadLetters) Drop(ctx context.Context, id string) error {
	done, err := d.letters.Drop(ctx, streams.Selection{IDs: []string{id}}, nil)
	if err == nil && done.Dropped == 0 {
		return dashboard.ErrNoLetter
	}
	return shownError(err)
}

func shownError(err error) error {
	if errors.Is(err, streams.ErrNoLetter) || errors.Is(err, streams.ErrSelection) {
		return fmt.Errorf("%w: %w", dashboard.ErrNoLetter, err)
	}
	return err
}

func shownLetter(l streams.Letter) dashboard.Letter {
	return dashboard.Letter{
		ID: l.ID, At: l.At.UnixMilli(), Reason: l.Reason, Detail: l.Detail, Event: l.Event, EventID: l.EventID, SourceID: l.SourceID,
		Node: l.Node, Deliveries: l.Deliveries, Cut: !l.Whole(),
	}
}
