package presence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// view is what this node last read of the cluster. It is never changed once published.
type view struct {
	at      time.Time // when it was read
	now     int64     // the same by Redis' clock, ms
	calm    time.Time // since when nothing disturbed the reading
	nodes   map[string]entry
	leading bool
}

// Lead says that this node has the lowest live name (of those registered for HeartbeatDead, if there are any), and so
// does the cluster's chores. It is false while that isn't known. For a moment two nodes may both be told so: what a
// leader does has to bear it.
func (p *Presence) Lead() bool {
	v := p.view.Load()
	return v != nil && v.leading && time.Since(v.at) < p.cfg.HeartbeatDead/2
}

// Gone says that the node with this identity has ended: Redis says so, or a fresh list of nodes does not have it.
func (p *Presence) Gone(identity string) bool {
	return p.gone(p.view.Load(), identity)
}

// gone is Gone by one reading.
func (p *Presence) gone(v *view, identity string) bool {
	if v == nil || identity == p.cfg.Node || time.Since(v.at) > p.cfg.HeartbeatDead/2 {
		return false
	}
	if e, ok := v.nodes[identity]; ok {
		return e.Ended != 0
	}
	// Just emptied or just started, Redis doesn't have everyone yet; nor a node that is just starting.
	return v.at.Sub(v.calm) >= p.cfg.ReconnectGrace && v.now-incarnation(identity) > p.cfg.HeartbeatDead.Milliseconds()
}

// Expired says that the node with this identity ended longer than Config.Window ago.
func (p *Presence) Expired(identity string) bool {
	v := p.view.Load()
	if !p.gone(v, identity) {
		return false
	}
	e, ok := v.nodes[identity]
	return !ok || v.now-e.Ended > p.cfg.Window.Milliseconds()
}

// incarnation returns the start time in an identity, in ms, 0 if there is none.
func incarnation(identity string) int64 {
	ms, err := strconv.ParseInt(identity[strings.LastIndexByte(identity, ':')+1:], 10, 64)
	if err != nil {
		return 0
	}
	return ms
}

// watcher reads who lives, and marks who doesn't. One goroutine owns all its fields.
type watcher struct {
	p        *Presence
	verdicts chan verdict
	asking   sync.WaitGroup

	runID    string
	epoch    string
	lastRead time.Time
	lastNow  int64 // the same by Redis' clock, ms
	calm     time.Time
	live     []string            // the others, as last read
	unasked  bool                // one of them is new: its subscriber has not been asked for
	seen     map[string]bool     // subscribers seen on this run of Redis
	suspects map[string]*suspect // the others that may be dead
	told     map[string]int64    // end times that OnNodeDead was told of
	failing  bool
}

// suspect is a live entry whose node may be dead.
type suspect struct {
	absent     time.Time // since when its subscriber is absent; zero: it isn't
	absentBeat int64     // its heartbeat then
	asking     bool
	verdict    verdict // gossip's last, zero if there is none
}

// verdict is gossip's word on a node.
type verdict struct {
	about          *suspect
	answers, known bool
	at             time.Time
}

func newWatcher(p *Presence) *watcher {
	return &watcher{
		p: p, verdicts: make(chan verdict, 16), calm: time.Now(),
		seen: map[string]bool{}, suspects: map[string]*suspect{}, told: map[string]int64{},
	}
}

// run watches until ctx ends.
func (w *watcher) run(ctx context.Context) {
	asks, cancel := context.WithCancel(ctx)
	defer w.asking.Wait()
	defer cancel()
	calm := max(w.p.cfg.AbsentFor/5, time.Millisecond)
	alarmed := max(w.p.cfg.AbsentFor/20, time.Millisecond)
	tick := time.NewTicker(calm)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case v := <-w.verdicts:
			v.about.asking, v.about.verdict = false, v
			continue
		case <-w.p.look:
		case <-tick.C:
		}
		again, err := w.check(asks)
		if err == nil && again {
			_, err = w.check(asks)
		}
		if err != nil {
			w.calm = time.Now()
		}
		every := calm
		if len(w.suspects) > 0 || w.unasked {
			every = alarmed
		}
		tick.Reset(every)
		if (err != nil) != w.failing && ctx.Err() == nil {
			w.failing = err != nil
			w.p.log.Info("reading the list of nodes", "ok", err == nil, "err", err)
		}
	}
}

// reading is one look at Redis, all by one connection.
type reading struct {
	now         int64
	nodes       map[string]entry
	epoch       string
	runID       string
	subscribers map[string]int64 // by channel
}

func (w *watcher) read(ctx context.Context) (r reading, err error) {
	ctx, cancel := w.p.callContext(ctx)
	defer cancel()
	c, err := w.p.owner(ctx)
	if err != nil {
		return r, err
	}
	channels := make([]string, 0, 1+len(w.live))
	channels = append(channels, w.p.keys.aliveAt(w.p.cfg.Node))
	for _, id := range w.live {
		channels = append(channels, w.p.keys.aliveAt(id))
	}
	pipe := c.Pipeline()
	now := pipe.Time(ctx)
	nodes := pipe.HGetAll(ctx, w.p.keys.nodes)
	epoch := pipe.Get(ctx, w.p.keys.epoch)
	info := pipe.Info(ctx, "server")
	var subs *redis.MapStringIntCmd
	if w.p.cfg.Sharded {
		subs = pipe.PubSubShardNumSub(ctx, channels...)
	} else {
		subs = pipe.PubSubNumSub(ctx, channels...)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	if err := cmp.Or(now.Err(), nodes.Err(), notMissing(epoch.Err()), notRefused(info.Err()), subs.Err()); err != nil {
		return r, fmt.Errorf("reading the list of nodes: %w", err)
	}
	return reading{
		now: now.Val().UnixMilli(), nodes: parseNodes(nodes.Val()), epoch: epoch.Val(),
		runID: runID(info.Val()), subscribers: subs.Val(),
	}, nil
}

func notMissing(err error) error {
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}

// notRefused forgives a server that has no such section; its run is then taken for one.
func notRefused(err error) error {
	if refusal := redis.Error(nil); errors.As(err, &refusal) {
		return nil
	}
	return err
}

func runID(info string) string {
	const label = "run_id:"
	for line := range strings.Lines(info) {
		if strings.HasPrefix(line, label) {
			return strings.TrimSpace(line[len(label):])
		}
	}
	return ""
}

// check looks once. It returns true if it marked a node, so that the list has changed.
func (w *watcher) check(ctx context.Context) (marked bool, err error) {
	r, err := w.read(ctx)
	if err != nil {
		return false, err
	}
	now := time.Now()
	w.notice(r, now)
	w.suspect(ctx, r, now)
	lead := w.leader(r, now) == w.p.cfg.Node
	if lead && now.Sub(w.calm) >= w.p.cfg.ReconnectGrace {
		marked, err = w.mark(ctx, r, now)
	}
	w.tell(r)
	w.p.view.Store(&view{at: now, now: r.now, calm: w.calm, nodes: r.nodes, leading: lead})
	if marked {
		poke(w.p.reapNow)
	}
	return marked, err
}

// notice compares a reading with the last one: what disturbs us says nothing of the others.
func (w *watcher) notice(r reading, now time.Time) {
	// The time between two readings, and by how much one clock went further than the other in it: a stall of this
	// process, of its host or of Redis, or a clock that was set. It may have kept the others from writing, too.
	gap := now.Sub(w.lastRead)
	gap = max(gap, (gap - time.Duration(r.now-w.lastNow)*time.Millisecond).Abs())
	if gap > w.p.cfg.HeartbeatDead/2 || r.runID != w.runID || r.epoch != w.epoch {
		w.calm = now
	}
	// Half of HeartbeatDead makes no living node's heartbeat too old, but absence has to be seen without a gap.
	if gap > w.p.cfg.AbsentFor || r.runID != w.runID {
		for _, s := range w.suspects {
			s.absent = time.Time{}
		}
	}
	if failed := w.p.beatFailed.Load(); failed != 0 && w.p.born.Add(time.Duration(failed)).After(w.calm) {
		w.calm = w.p.born.Add(time.Duration(failed))
	}
	if r.runID != w.runID {
		if w.runID != "" {
			// A restarted or promoted server may have lost writes that were confirmed.
			w.p.resync.Store(true)
		}
		clear(w.seen)
	}
	w.confirm(r)
	w.lastRead, w.lastNow, w.runID, w.epoch = now, r.now, r.runID, r.epoch
	if own, ok := r.nodes[w.p.cfg.Node]; !ok || own.Ended != 0 {
		poke(w.p.wake)
	}
}

// confirm has this node's entry say on which run of Redis its channel was seen subscribed. So a node that ends before
// another has seen its subscriber is known by its closed connection, too.
func (w *watcher) confirm(r reading) {
	run := w.p.subscribed.Load()
	switch {
	case run != nil && *run == r.runID:
	case r.subscribers[w.p.keys.aliveAt(w.p.cfg.Node)] > 0:
		on := r.runID
		w.p.subscribed.Store(&on)
		poke(w.p.wake)
	case run != nil:
		w.p.subscribed.Store(nil)
	}
}

// suspect keeps the list of suspects, and asks gossip about them.
func (w *watcher) suspect(ctx context.Context, r reading, now time.Time) {
	asked := make(map[string]bool, len(w.live))
	for _, id := range w.live {
		asked[id] = true
	}
	w.live, w.unasked = w.live[:0], false
	for id, e := range r.nodes {
		if id == w.p.cfg.Node || e.Ended != 0 {
			continue
		}
		w.live = append(w.live, id)
		w.unasked = w.unasked || !asked[id]
		present := r.subscribers[w.p.keys.aliveAt(id)] > 0
		if present || (e.Run != "" && e.Run == r.runID) {
			w.seen[id] = true
		}
		absent := asked[id] && !present && w.seen[id]
		if !absent && !w.stale(r, e) {
			delete(w.suspects, id)
			continue
		}
		w.note(id, absent, e.Beat, now)
		w.ask(ctx, id, now)
	}
	for id := range w.suspects {
		if e, ok := r.nodes[id]; !ok || e.Ended != 0 {
			delete(w.suspects, id)
		}
	}
	for id := range w.seen {
		if e, ok := r.nodes[id]; !ok || e.Ended != 0 {
			delete(w.seen, id)
		}
	}
}

func (w *watcher) note(id string, absent bool, beat int64, now time.Time) {
	s := w.suspects[id]
	if s == nil {
		s = &suspect{}
		w.suspects[id] = s
	}
	switch {
	case !absent:
		s.absent = time.Time{}
	case s.absent.IsZero() || s.absentBeat != beat: // who still writes heartbeats has only lost its subscription
		s.absent, s.absentBeat = now, beat
	}
}

func (w *watcher) stale(r reading, e entry) bool {
	return r.now-e.Beat > w.p.cfg.HeartbeatDead.Milliseconds()
}

// gone says that a suspect's subscriber was absent for long enough.
func (w *watcher) gone(id string, now time.Time) bool {
	s := w.suspects[id]
	return s != nil && !s.absent.IsZero() && now.Sub(s.absent) >= w.p.cfg.AbsentFor
}

// ask asks gossip about a suspect, unless its word is still good.
func (w *watcher) ask(ctx context.Context, id string, now time.Time) {
	s := w.suspects[id]
	good := 3 * w.p.cfg.AbsentFor
	if s.verdict.answers {
		good = w.p.cfg.AbsentFor
	}
	if w.p.deps.Answers == nil || s.asking || (!s.verdict.at.IsZero() && now.Sub(s.verdict.at) < good) {
		return
	}
	s.asking = true
	w.asking.Go(func() {
		actx, cancel := context.WithTimeout(ctx, w.p.cfg.AbsentFor*4/5)
		defer cancel()
		v := verdict{about: s}
		v.answers, v.known = w.p.deps.Answers(actx, id)
		v.at = time.Now()
		select {
		case w.verdicts <- v:
		case <-ctx.Done():
		}
	})
}

// agreed says that gossip agrees that a suspect is dead, or can't tell.
func (w *watcher) agreed(id string) bool {
	if w.p.deps.Answers == nil {
		return true
	}
	s := w.suspects[id]
	return s != nil && !s.asking && !s.verdict.at.IsZero() && (!s.verdict.known || !s.verdict.answers)
}

// leader returns the identity with the lowest name among those that seem to be alive and well. A newcomer waits its
// turn, since it hasn't seen those that died just before it came: its own former self, above all.
func (w *watcher) leader(r reading, now time.Time) string {
	dead := w.p.cfg.HeartbeatDead.Milliseconds()
	var lowest string
	for id, e := range r.nodes {
		if e.Ended != 0 || r.now-e.Beat > dead/2 || w.gone(id, now) {
			continue
		}
		l := r.nodes[lowest]
		before := cmp.Or(newcomer(r.now-e.Since < dead)-newcomer(r.now-l.Since < dead),
			strings.Compare(e.Name, l.Name), strings.Compare(id, lowest))
		if lowest == "" || before < 0 {
			lowest = id
		}
	}
	return lowest
}

func newcomer(is bool) int {
	if is {
		return 1
	}
	return 0
}

// mark marks the dead, of whom all that is known has to agree.
func (w *watcher) mark(ctx context.Context, r reading, now time.Time) (marked bool, err error) {
	for id := range w.suspects {
		e := r.nodes[id]
		absent := w.gone(id, now)
		age := w.p.cfg.HeartbeatDead
		if absent {
			// A live node has written a heartbeat since.
			age = w.p.cfg.HeartbeatEvery * 5 / 4
		}
		if r.now-e.Beat < age.Milliseconds() || !w.agreed(id) {
			continue
		}
		cctx, cancel := w.p.callContext(ctx)
		dead, err := markScript.Run(cctx, w.p.deps.Redis, []string{w.p.keys.nodes}, id, e.Beat, age.Milliseconds()).Int64()
		cancel()
		if err != nil {
			return marked, fmt.Errorf("marking a dead node: %w", err)
		}
		if dead == 1 {
			marked = true
			w.p.count.reaped.Add(1)
			w.p.log.Warn("node is dead", "node", id, "disconnected", absent, "heartbeat_age_ms", r.now-e.Beat)
		}
	}
	return marked, nil
}

// tell tells of each end once.
func (w *watcher) tell(r reading) {
	for id, e := range r.nodes {
		if e.Ended == 0 || w.told[id] == e.Ended || id == w.p.cfg.Node {
			continue
		}
		w.told[id] = e.Ended
		if w.p.deps.OnNodeDead != nil {
			w.p.deps.OnNodeDead(id)
		}
	}
	for id := range w.told {
		if _, ok := r.nodes[id]; !ok {
			delete(w.told, id)
		}
	}
}
