package dashboard

import (
	"context"
	"slices"
	"time"
)

// scene is what the collecting node remembers while somebody watches. It belongs to runCollect.
type scene struct {
	loaded bool
	points []point
	pasts  map[string][]sample // by identity
	before []turn              // the last few turns
	// redisDown is since when Redis does not answer, unix ms; 0: it does.
	redisDown int64
	cluster   Cluster // as last read
}

// turn is what the nodes said at once.
type turn struct {
	at    int64
	nodes map[string]Figures // by identity
}

// rateTurns is over how many turns rates are taken: one alone would show every gap between two events.
const rateTurns = 3

// runCollect asks all nodes every CollectEvery while somebody watches.
func (p *Page[W]) runCollect(ctx context.Context) error {
	tick := time.NewTicker(p.cfg.CollectEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-p.wake:
		}
		if !p.watched() {
			p.scene = scene{}
			continue
		}
		p.guarded("collect", func() { p.collect(ctx) })
	}
}

func (p *Page[W]) watched() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.watchers) > 0
}

// collect asks everybody and tells the watchers.
func (p *Page[W]) collect(ctx context.Context) {
	s := &p.scene
	now := time.Now()
	redis := p.readCluster(ctx, now)
	all := []Figures{p.figures()}
	if redis {
		all = append(all, decode[Figures](p.ask(ctx, QuestionNow))...) // who does not answer is shown as silent
	}
	if !s.loaded || redis && s.strangers(all) {
		p.load(ctx, redis)
	}
	p.mu.Lock()
	p.roster.heard(all, ms(now))
	if redis {
		p.roster.members(s.cluster.Members, ms(now))
	}
	nodes := p.roster.views(redis)
	known, living := p.roster.known()
	p.mu.Unlock()
	v := s.view(all, nodes, ms(now))
	v.Node, v.Deploy = p.cfg.Node, lastDeploy(living, s.pasts)
	v.count(known)
	s.remember(v.Point, all, p.cfg.Window)
	p.tell(v)
}

// ask gives every node AskTimeout. Redis' own slowness must not be taken from that.
func (p *Page[W]) ask(ctx context.Context, question string) [][]byte {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.AskTimeout)
	defer cancel()
	answers, _ := p.deps.Ask(ctx, question)
	return answers
}

// readCluster reads what Redis knows, or keeps what it knew.
func (p *Page[W]) readCluster(ctx context.Context, now time.Time) bool {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.AskTimeout)
	defer cancel()
	c, err := p.deps.Cluster(ctx)
	if err != nil {
		if p.scene.redisDown == 0 {
			p.scene.redisDown = ms(now)
		}
		return false
	}
	p.scene.redisDown, p.scene.cluster = 0, c
	return true
}

// strangers is whether a node answers that was not there before.
func (s *scene) strangers(all []Figures) bool {
	for _, f := range all {
		if _, known := s.pasts[f.Identity]; !known {
			return true
		}
	}
	return false
}

// load asks for the nodes' histories.
func (p *Page[W]) load(ctx context.Context, redis bool) {
	s := &p.scene
	pasts := []past{p.past()}
	if redis {
		pasts = append(pasts, decode[past](p.ask(ctx, QuestionPast))...) // a chart with a node less is better than none
	}
	s.pasts = make(map[string][]sample, len(pasts))
	for _, node := range pasts {
		s.pasts[node.Identity] = node.Samples
	}
	if !s.loaded {
		s.points = merged(pasts, p.cfg.SampleEvery)
		// While Redis is away the others' are still to come.
		s.loaded = redis
	}
}

// view puts together what the watchers are sent.
func (s *scene) view(all []Figures, nodes []nodeView, now int64) view {
	c := s.cluster
	v := view{
		At: now, RedisDownSince: s.redisDown, Nodes: nodes, Users: c.Users, Unread: c.Unread, Pending: c.Pending, Waiting: c.Waiting, Dead: c.DeadLetters,
		DeadLately: map[string]uint64{}, Refused: map[string]uint64{}, RefusedLately: map[string]uint64{},
		Point: point{At: now, Roles: make([]int64, len(Roles)), Events: make([]float64, len(Kinds))},
	}
	var earlier turn
	if len(s.before) > 0 {
		earlier = s.before[0]
	}
	for _, f := range all {
		shot := newSample(f, now)
		for r, n := range shot.Roles {
			v.Point.Roles[r] += n
		}
		v.Point.slowest(f.Latency)
		i := slices.IndexFunc(v.Nodes, func(n nodeView) bool { return n.Name == f.Name })
		if i >= 0 {
			v.Nodes[i].Lag = lagOf(f, c.LogEnd)
		}
		before, known := earlier.nodes[f.Identity]
		if !known || now <= earlier.at {
			continue
		}
		v.Point.rates(shot.Events, newSample(before, 0).Events, now-earlier.at)
		if i >= 0 && f.Deliveries > before.Deliveries {
			v.Nodes[i].Deliveries = float64(f.Deliveries-before.Deliveries) * 1000 / float64(now-earlier.at)
		}
	}
	return v
}

// count adds up what the nodes counted, those that do not answer as far as they told.
func (v *view) count(known []Figures) {
	for _, f := range known {
		sum(v.Refused, f.Refused)
		sum(v.RefusedLately, f.RefusedLately)
		sum(v.DeadLately, f.DeadLately)
	}
}

// remember keeps what the next turns are compared with, and the chart for who comes later.
func (s *scene) remember(p point, all []Figures, window time.Duration) {
	this := turn{at: p.At, nodes: make(map[string]Figures, len(all))}
	for _, f := range all {
		this.nodes[f.Identity] = f
	}
	if s.before = append(s.before, this); len(s.before) > rateTurns {
		s.before = s.before[1:]
	}
	old := 0
	for old < len(s.points) && s.points[old].At < p.At-window.Milliseconds() {
		old++
	}
	s.points = slices.Delete(s.points, 0, old)
	switch {
	case s.redisDown > 0: // a gap: this node alone is not the cluster
		s.points = append(s.points, point{At: p.At})
	case len(s.before) > 1: // the first has no rates
		s.points = append(s.points, p)
	}
}

// chart is what a watcher is sent first.
type chart struct {
	Roles  []string `json:"roles"`
	Kinds  []string `json:"kinds"`
	Window int64    `json:"window"` // ms
	Points []point  `json:"points"`
}

// tell sends the watchers the view, and those who have just come the chart before it.
func (p *Page[W]) tell(v view) {
	p.mu.Lock()
	told := make(map[W]bool, len(p.watchers))
	for w, had := range p.watchers {
		told[w] = had
		p.watchers[w] = had || p.scene.loaded
	}
	p.mu.Unlock()
	c := chart{Roles: Roles, Kinds: Kinds, Window: p.cfg.Window.Milliseconds(), Points: slices.Clone(p.scene.points)}
	for w, had := range told {
		if !had {
			w.Emit("history", c)
		}
		w.Emit("figures", v)
	}
}
