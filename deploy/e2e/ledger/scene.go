package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// Bounds of a run's stages.
const (
	runBound     = 8 * time.Minute
	connectBound = 2 * time.Minute
	backBound    = 60 * time.Second // for all clients to be connected again
	settleBound  = 30 * time.Second // for everybody to have the last event
	// What a node holds that another reclaims after 2 s idle would come within this.
	afterLast = 3 * time.Second
)

var (
	ordinaryLoad = load{rate: 30, pulse: 250 * time.Millisecond}
	// Enough for batches, and for the other nodes to wait for a dead one's entries; most events are for one user, since the
	// clients share the machine.
	heavyLoad = load{rate: 360, single: 340, burst: 12, pulse: 250 * time.Millisecond}
	// As a page would have them that wants to be back soon.
	ordinaryOptions = map[string]any{"reconnectionDelay": 200, "reconnectionDelayMax": 2000, "timeout": 20000}
)

// scene is one run of one fault.
type scene struct {
	*cluster

	about  about
	world  *world
	fleet  *fleet
	writer *writer
	set    settings

	skip    map[int]bool     // clients that the fault judges itself
	excused func(n int) bool // events that the fault took from Redis
	notes   []string         // for the report
	wrong   []string         // what the fault found while it was injected

	mu    sync.Mutex
	marks []mark // guarded by mu
}

// mark is a moment of harm.
type mark struct {
	at int64 // unix ms
	n  int   // events begun until then
}

func (s *scene) mark(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := mark{at: time.Now().UnixMilli(), n: s.writer.begun()}
	s.marks = append(s.marks, m)
	s.set.progress("  %s, before event %d", what, m.n)
}

func (s *scene) notef(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
	s.set.progress("  "+format, args...)
}

// wrongf fails the run, which goes on.
func (s *scene) wrongf(format string, args ...any) {
	s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
}

// settings are what the flags say.
type settings struct {
	gateway, haproxy, worker string // files
	clients, nodes           int
	target                   target // a cluster to attach to
	deliveries               int    // at least, a run
	progress                 func(format string, args ...any)
}

// play runs one fault once. The result names its directory, which is kept if anything failed.
func play(ctx context.Context, f fault, set settings, seed uint64) (r *result) {
	ctx, cancel := context.WithTimeoutCause(ctx, runBound, fmt.Errorf("the run took over %v", runBound))
	defer cancel()
	s := &scene{about: f.about(), set: set, skip: map[int]bool{}}
	r = &result{fault: s.about.name}
	dir, err := os.MkdirTemp("", "gateway-ledger-"+s.about.name+"-")
	if err != nil {
		r.failf("%v", err)
		return r
	}
	r.dir = dir
	defer func() {
		if err := s.end(); err != nil {
			r.failf("ending: %v", err)
		}
		if len(r.failures) == 0 {
			r.dir = ""
			_ = os.RemoveAll(dir)
		}
	}()
	if err := s.begin(ctx, dir, seed); err != nil {
		r.failf("setting up: %v", err)
		return r
	}
	if err := s.act(ctx, f); err != nil {
		r.failf("%v", err)
	}
	s.set.progress("  everything written, all clients at rest")
	s.judge(ctx, r)
	for _, failure := range append(s.wrong, f.check(ctx, s, r)...) {
		r.failf("%s", failure)
	}
	// Clients' troubles last: there may be many.
	r.notes = slices.Concat(s.notes, r.notes)
	return r
}

// begin starts everything and returns once every client is connected and subscribed.
func (s *scene) begin(ctx context.Context, dir string, seed uint64) error {
	clients := cmp.Or(s.about.clients, s.set.clients)
	s.world = newWorld(clients)
	if s.about.light {
		for i := range s.world.people {
			s.world.people[i].polling = false
		}
	}
	var err error
	if s.set.target.address != "" {
		s.cluster, err = attach(ctx, dir, s.set.target, s.world.people)
	} else {
		s.cluster, err = startCluster(ctx, clusterPlan{
			dir: dir, binary: s.set.gateway, haproxy: s.set.haproxy, nodes: s.set.nodes, people: s.world.people,
			relay: s.about.relay, logDelay: s.about.logDelay, redis: s.about.redis, env: s.about.environment(),
		})
	}
	if err != nil {
		return err
	}
	s.writer = newWriter(s.redis.direct, s.world, seed)
	s.writer.wait = s.about.wait
	if err := s.grant(ctx); err != nil {
		return err
	}
	if err := s.startClients(dir); err != nil {
		return err
	}
	if err := s.back(ctx, connectBound); err != nil {
		return err
	}
	s.set.progress("  %d clients connected and subscribed", clients)
	return nil
}

func (s *scene) startClients(dir string) error {
	plan := fleetPlan{
		dir: dir, script: s.set.worker, people: s.world.people, perWorker: 100,
		url:     func(id int) string { return "http://" + s.edge.addr(id) },
		options: maps.Clone(ordinaryOptions), begun: s.writer.begun,
		spread: max(2*time.Second, time.Duration(len(s.world.people))*5*time.Millisecond),
	}
	maps.Copy(plan.options, s.about.options)
	start := startFleet
	if s.about.light {
		plan.url = func(int) string { return "http://" + s.edge.upstream }
		start = startLight
	}
	var err error
	s.fleet, err = start(plan)
	return err
}

// grant lets those enter their solicitudes whose tokens don't say so, as the Core API would.
func (s *scene) grant(ctx context.Context) error {
	expiry := float64(time.Now().Add(time.Hour).UnixMilli())
	pipe := s.redis.direct.Pipeline()
	for _, p := range s.world.people {
		if roleRooms[p.role] != "client" || p.claimed {
			continue
		}
		for _, id := range p.solicitudes {
			pipe.ZAdd(ctx, "{teloo}:grants:"+id, redis.Z{Score: expiry, Member: p.user})
		}
	}
	_, err := pipe.Exec(ctx)
	return err
}

// act writes events throughout the fault and until all is well again.
func (s *scene) act(ctx context.Context, f fault) error {
	writing, stop := context.WithCancel(ctx)
	var written error
	done := make(chan struct{})
	go func() {
		defer close(done)
		written = s.writer.write(writing, s.load())
	}()
	err := s.harm(ctx, f)
	stop()
	<-done
	if err == nil {
		err = written
	}
	if err != nil {
		return err
	}
	if err := s.writer.last(ctx); err != nil {
		return err
	}
	return s.settle(ctx)
}

func (s *scene) load() load {
	if s.about.load == (load{}) {
		return ordinaryLoad
	}
	return s.about.load
}

func (s *scene) harm(ctx context.Context, f fault) error {
	if err := pause(ctx, 2*time.Second); err != nil {
		return err
	}
	if err := f.inject(ctx, s); err != nil {
		return fmt.Errorf("injecting: %w", err)
	}
	if err := s.back(ctx, backBound); err != nil {
		return err
	}
	if err := pause(ctx, 2*time.Second); err != nil {
		return err
	}
	return until(ctx, "enough delivered", runBound, func() error {
		delivered := 0
		s.fleet.look(func(records []*record) {
			for _, r := range records {
				delivered += len(r.receipts)
			}
		})
		if delivered < s.set.deliveries {
			return fmt.Errorf("%w: %d of %d", errUnwell, delivered, s.set.deliveries)
		}
		return nil
	})
}

// back waits until every client is connected and in its rooms.
func (s *scene) back(ctx context.Context, bound time.Duration) error {
	long := time.Now().Add(bound / 4)
	err := until(ctx, "all clients connected", bound, func() error {
		away := s.fleet.away()
		if away == 0 {
			return nil
		}
		if time.Now().After(long) {
			s.notef("%d clients are still away: %s", away, s.fleet.complaints())
			long = time.Now().Add(bound)
		}
		return fmt.Errorf("%w: %d are not", errUnwell, away)
	})
	if err != nil {
		return fmt.Errorf("%w; %s", err, s.fleet.complaints())
	}
	return nil
}

// well waits until all nodes are ready and know each other, and notes how long that took.
func (s *scene) well(ctx context.Context) error {
	began := time.Now()
	if err := s.ready(ctx); err != nil {
		return err
	}
	s.notef("all nodes ready, %v after the last step", time.Since(began).Round(time.Millisecond))
	return nil
}

// settle waits until everybody has the last event, and a little more for what should not come.
func (s *scene) settle(ctx context.Context) error {
	last := s.writer.begun() - 1
	err := until(ctx, "everybody has the last event", settleBound, func() error {
		without := 0
		s.fleet.look(func(records []*record) {
			for _, r := range records {
				if !r.has(last) {
					without++
				}
			}
		})
		if without > 0 {
			return fmt.Errorf("%w: %d clients have not", errUnwell, without)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return pause(ctx, afterLast)
}

// has looks among the newest receipts, where the last event must be.
func (r *record) has(n int) bool {
	for i := len(r.receipts) - 1; i >= max(0, len(r.receipts)-100); i-- {
		if r.receipts[i].n == n {
			return true
		}
	}
	return false
}

// killed ends a node without warning.
func (s *scene) killed(n *gateway) error {
	s.mark("kill -9 " + n.name)
	return n.end(syscall.SIGKILL, 10*time.Second)
}

// relaunch starts ended nodes again and waits until they are part of the cluster.
func (s *scene) relaunch(ctx context.Context, nodes ...*gateway) error {
	for _, n := range nodes {
		if err := s.launch(n); err != nil {
			return err
		}
	}
	return s.well(ctx)
}

func (s *scene) end() error {
	var err error
	if s.fleet != nil {
		err = s.fleet.stop()
	}
	if s.cluster != nil {
		if other := s.cluster.stop(); err == nil { //nolint:staticcheck // beside the fleet's, the name says whose
			err = other
		}
	}
	return err
}
