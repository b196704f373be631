package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/teloo/realtime-gateway/deploy/bench/load"
)

// metrics are the figures of one scenario, by the names in report.go.
type metrics map[string]float64

// population is the clients that scenarios share, so that each server is started and filled as seldom as possible.
type population struct {
	size  func(options) int
	rooms bool
	// cases are run in this order.
	cases []scenario
}

type scenario struct {
	name string
	run  func(context.Context, *stage, metrics) error
}

var populations = []population{
	{size: func(options) int { return 0 }, cases: []scenario{{"connect", connects}}},
	{size: func(o options) int { return o.big }, cases: []scenario{{"idle", idle}, {"fanout-big", fanout}}},
	{size: func(o options) int { return o.sockets }, rooms: true, cases: []scenario{
		{"fanout", fanout},
		{"targeted", targeted},
		{"rooms", rooms},
		{"latency-targeted", latencyTargeted},
		{"latency-fanout", latencyFanout},
		{"slow", slowReader},
	}},
}

func scenarioNames() []string {
	var names []string
	for _, p := range populations {
		for _, c := range p.cases {
			names = append(names, c.name)
		}
	}
	return names
}

// runPopulation runs the wanted scenarios of p against one server. Figures go to record.
func runPopulation(ctx context.Context, opt options, pop population, who peer, record func(string, metrics)) error {
	cases := slices.DeleteFunc(slices.Clone(pop.cases), func(c scenario) bool { return !slices.Contains(opt.scenarios, c.name) })
	if len(cases) == 0 {
		return nil
	}
	s, err := newStage(ctx, opt, who)
	if err != nil {
		return err
	}
	defer s.close()
	base, err := residentKB(s.server.pid())
	if err != nil {
		return err
	}
	if n := pop.size(opt); n > 0 {
		if err := s.populate(ctx, n, pop.rooms); err != nil {
			return err
		}
	}
	for _, c := range cases {
		m := metrics{"base_kb": base}
		var before load.Stats
		if s.fleet != nil {
			before = s.fleet.Stats()
		}
		if err := c.run(ctx, s, m); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if s.fleet != nil {
			after := s.fleet.Stats()
			m["lost"] = m["behind"] + float64(after.Lost-before.Lost)
			m["repeated"] = float64(after.Repeated - before.Repeated)
			m["dropped"] = float64(after.Closed - before.Closed)
			delete(m, "behind")
		}
		delete(m, "base_kb")
		record(c.name, m)
	}
	return nil
}

// connects measures how many clients a second can come.
func connects(ctx context.Context, s *stage, m metrics) error {
	n := s.opt.connects
	cfg := load.Config{Clients: n, Token: func(i int) string { return s.opt.tokens[i] }, Opening: s.opt.opening}
	var fleet *load.Fleet
	var stop func()
	defer func() {
		if stop != nil {
			stop()
		}
	}()
	u, err := s.measure(func() (err error) {
		if fleet, stop, err = s.runFleet(ctx, cfg); err != nil {
			return err
		}
		return s.waitReady(ctx, fleet, n)
	})
	if err != nil {
		return err
	}
	u.shares(m)
	times := fleet.TakeConnectTimes()
	m["per_second"] = float64(n) / u.took.Seconds()
	m["per_cpu_second"] = float64(n) / max(u.server, clockTick).Seconds()
	m["p50_ms"], m["p99_ms"] = ms(times.Quantile(0.5)), ms(times.Quantile(0.99))
	m["failed"] = float64(fleet.Stats().Failed)
	return nil
}

// idle measures what clients cost that do nothing.
func idle(ctx context.Context, s *stage, m metrics) error {
	if err := pause(ctx, s.opt.settle); err != nil {
		return err
	}
	u, err := s.measure(func() error { return pause(ctx, s.opt.duration) })
	if err != nil {
		return err
	}
	kb, err := residentKB(s.server.pid())
	if err != nil {
		return err
	}
	u.shares(m)
	m["kb_per_socket"] = (kb - m["base_kb"]) / float64(s.sockets)
	m["resident_mb"] = kb / 1024
	return nil
}

// napOf is how long the load rests between reads while capacity is measured: an eighth of the time that a window would take
// at a million deliveries a second, so that it never holds the closed loop up.
func napOf(window, fanout int) time.Duration {
	return time.Duration(window*fanout) * time.Microsecond / 8
}

// capacity runs a closed loop, after a shorter one to warm up, and returns the events a second.
func (s *stage) capacity(ctx context.Context, m metrics, target load.Target, window, fanout int) (float64, error) {
	s.fleet.SetNap(napOf(window, fanout))
	defer s.fleet.SetNap(0)
	w := load.NewWriter(s.pub, target)
	win := load.Window{Events: window, Fanout: fanout, Delivered: s.fleet.Delivered, Progress: s.fleet.Progress()}
	if err := w.Closed(ctx, win, s.opt.duration/3); err != nil {
		return 0, err
	}
	m["behind"] = float64(s.quiesce(ctx))
	s.fleet.TakeLatency()
	u, err := s.measure(func() error { return w.Closed(ctx, win, s.opt.duration) })
	if err != nil {
		return 0, err
	}
	m["behind"] = float64(s.quiesce(ctx))
	if u.deliveries == 0 {
		return 0, errors.New("nothing was delivered")
	}
	u.shares(m)
	m["deliveries_per_second"] = u.deliveries / u.took.Seconds()
	m["events_per_second"] = u.deliveries / u.took.Seconds() / float64(fanout)
	m["deliveries_per_cpu_second"] = u.deliveries / max(u.server, clockTick).Seconds()
	m["events_per_cpu_second"] = m["deliveries_per_cpu_second"] / float64(fanout)
	return m["events_per_second"], nil
}

func fanout(ctx context.Context, s *stage, m metrics) error {
	_, err := s.capacity(ctx, m, s.toAll, s.opt.fanoutWindow, s.sockets)
	return err
}

func targeted(ctx context.Context, s *stage, m metrics) error {
	_, err := s.capacity(ctx, m, s.toUser, s.opt.targetWindow, 1)
	return err
}

func rooms(ctx context.Context, s *stage, m metrics) error {
	if s.sockets%roomSize != 0 {
		return fmt.Errorf("-sockets must be a multiple of %d", roomSize)
	}
	_, err := s.capacity(ctx, m, s.toRoom, s.opt.targetWindow, roomSize)
	return err
}

func latencyTargeted(ctx context.Context, s *stage, m metrics) error {
	own, err := s.capacity(ctx, metrics{}, s.toUser, s.opt.targetWindow, 1)
	if err != nil {
		return err
	}
	return s.latencies(ctx, m, s.toUser, own)
}

func latencyFanout(ctx context.Context, s *stage, m metrics) error {
	own, err := s.capacity(ctx, metrics{}, s.toAll, s.opt.fanoutWindow, s.sockets)
	if err != nil {
		return err
	}
	return s.latencies(ctx, m, s.toAll, own)
}

// latencies measures the way from XADD to the client at shares of the server's own capacity.
func (s *stage) latencies(ctx context.Context, m metrics, target load.Target, own float64) error {
	m["capacity"] = own
	w := load.NewWriter(s.pub, target)
	for _, percent := range []int{10, 50, 80} {
		rate := own * float64(percent) / 100
		if err := w.AtRate(ctx, rate, s.opt.duration/4); err != nil {
			return err
		}
		m["behind"] = float64(s.quiesce(ctx))
		s.fleet.TakeLatency()
		u, err := s.measure(func() error { return w.AtRate(ctx, rate, s.opt.duration) })
		if err != nil {
			return err
		}
		m["behind"] = float64(s.quiesce(ctx))
		h := s.fleet.TakeLatency()
		at := fmt.Sprintf("_at_%d", percent)
		m["p50_ms"+at], m["p99_ms"+at], m["p999_ms"+at] = ms(h.Quantile(0.5)), ms(h.Quantile(0.99)), ms(h.Quantile(0.999))
		if percent == 50 {
			u.shares(m)
		}
	}
	return nil
}

// flood is what the slow reader is sent besides the others' events, so that any buffer fills within seconds.
const (
	floodRate  = 200
	floodBytes = 8 << 10
	slowUser   = "slow"
)

// slowReader compares the others' latency while one more client reads, and while it does not.
func slowReader(ctx context.Context, s *stage, m metrics) error {
	own, err := s.capacity(ctx, metrics{}, s.toAll, s.opt.fanoutWindow, s.sockets)
	if err != nil {
		return err
	}
	filesBefore, err := openFiles(s.server.pid())
	if err != nil {
		return err
	}
	slow, stop, err := s.runFleet(ctx, load.Config{
		Clients: 1, Token: func(int) string { return s.opt.slowToken }, Slow: func(int) bool { return true },
	})
	if err != nil {
		return err
	}
	defer stop()
	if err := s.waitReady(ctx, slow, 1); err != nil {
		return err
	}
	var resident [2]float64
	for phase, paused := range []bool{false, true} {
		slow.Pause(0, paused)
		h, err := s.flooded(ctx, own/2, m)
		if err != nil {
			return err
		}
		m[[]string{"p99_ms_without", "p99_ms_with"}[phase]] = ms(h.Quantile(0.99))
		if resident[phase], err = residentKB(s.server.pid()); err != nil {
			return err
		}
	}
	filesAfter, err := openFiles(s.server.pid())
	if err != nil {
		return err
	}
	if filesAfter <= filesBefore {
		m["slow_closed"] = 1
	} else {
		m["slow_closed"] = 0
	}
	m["p99_ratio"] = m["p99_ms_with"] / max(m["p99_ms_without"], 0.001)
	m["growth_mb"] = (resident[1] - resident[0]) / 1024
	return nil
}

// flooded writes events for all at a rate, beside the flood for one, and returns the latencies of the fleet.
func (s *stage) flooded(ctx context.Context, rate float64, m metrics) (*load.Histogram, error) {
	pub, err := load.DialPublisher(ctx, s.redisAddr, eventStream)
	if err != nil {
		return nil, err
	}
	defer func() { _ = pub.Close() }()
	flood := load.NewWriter(pub, func(n uint64, at time.Time) load.Event {
		stamp := load.Stamp{At: at.UnixMicro(), Kind: load.ToUser, Seq: uint32(n + 1)}
		return load.Event{Name: "notificacion_bench", Data: load.AppendData(nil, stamp, "user_id", slowUser, floodBytes)}
	})
	others := load.NewWriter(s.pub, s.toAll)
	s.quiesce(ctx)
	s.fleet.TakeLatency()
	u, err := s.measure(func() error {
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return flood.AtRate(ctx, floodRate, s.opt.duration) })
		g.Go(func() error { return others.AtRate(ctx, rate, s.opt.duration) })
		return g.Wait()
	})
	if err != nil {
		return nil, err
	}
	u.shares(m)
	m["behind"] = float64(s.quiesce(ctx))
	return s.fleet.TakeLatency(), nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
