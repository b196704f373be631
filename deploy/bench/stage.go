package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/teloo/realtime-gateway/deploy/bench/load"
)

// Cores of the two sides. Redis shares the load's.
const (
	serverCore = 0
	loadCore   = 1
)

const (
	eventStream   = "{teloo}:events"
	eventBytes    = 200
	roomSize      = 50
	sourceAddrs   = 8
	connectWithin = 3 * time.Minute
	quietWithin   = 20 * time.Second
)

// stage is one server with its Redis and its clients.
type stage struct {
	opt    options
	peer   peer
	redis  *process
	server *process
	// redisAddr and addr are host:port.
	redisAddr, addr string
	fleet           *load.Fleet
	sockets         int
	pub             *load.RedisPublisher
	stopFleet       func()
	// seq counts the events of each series: of all, by user, by room.
	seqAll           uint32
	seqUser, seqRoom []uint32
}

// newStage starts Redis and the server, without clients.
func newStage(ctx context.Context, opt options, p peer) (s *stage, err error) {
	s = &stage{opt: opt, peer: p, stopFleet: func() {}}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.redis, s.redisAddr, err = startRedis(ctx, opt.tmp, loadCore); err != nil {
		return s, err
	}
	if s.server, s.addr, err = startPeer(ctx, p, opt.tmp, s.redisAddr, serverCore); err != nil {
		return s, err
	}
	s.pub, err = load.DialPublisher(ctx, s.redisAddr, eventStream)
	return s, err
}

func (s *stage) close() {
	s.stopFleet()
	if s.pub != nil {
		_ = s.pub.Close()
	}
	if s.server != nil {
		s.server.stop()
	}
	if s.redis != nil {
		s.redis.stop()
	}
}

// populate connects n clients, each in its own room, all in the advisors' room and, if rooms is set, 50 each in a
// solicitud's room.
func (s *stage) populate(ctx context.Context, n int, rooms bool) error {
	cfg := load.Config{Clients: n, Token: func(i int) string { return s.opt.tokens[i] }}
	if rooms {
		cfg.Room = roomOf
	}
	fleet, stop, err := s.runFleet(ctx, cfg)
	if err != nil {
		return err
	}
	s.fleet, s.sockets, s.stopFleet = fleet, n, stop
	s.seqAll, s.seqUser, s.seqRoom = 0, make([]uint32, n), make([]uint32, n/roomSize+1)
	return s.waitReady(ctx, fleet, n)
}

func (s *stage) waitReady(ctx context.Context, fleet *load.Fleet, n int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, connectWithin, errors.New("too slow"))
	defer cancel()
	if err := fleet.WaitReady(ctx, n); err != nil {
		return fmt.Errorf("%w; %s wrote:\n%s", err, s.peer.name, tail(s.server.log))
	}
	return nil
}

// runFleet starts a fleet against the server; stop ends it.
func (s *stage) runFleet(ctx context.Context, cfg load.Config) (fleet *load.Fleet, stop func(), err error) {
	cfg.URL, cfg.Protocol, cfg.SourceAddrs = "ws://"+s.addr, s.peer.protocol, sourceAddrs
	if fleet, err = load.New(cfg); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- fleet.Run(ctx) }()
	return fleet, func() {
		cancel()
		if err := <-ended; err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}, nil
}

func roomOf(i int) string { return "R" + strconv.Itoa(i/roomSize) }

func userOf(i int) string { return "u" + strconv.Itoa(i) }

// toAll is an event for every client.
func (s *stage) toAll(_ uint64, at time.Time) load.Event {
	s.seqAll++
	stamp := load.Stamp{At: at.UnixMicro(), Kind: load.ToAll, Seq: s.seqAll}
	return load.Event{Name: "notificacion_bench", Data: load.AppendData(nil, stamp, "role", "advisor", eventBytes)}
}

// toUser is an event for one client after the other. The step is coprime to the usual numbers of sockets, so that
// neighbours in time are not neighbours in any table.
func (s *stage) toUser(n uint64, at time.Time) load.Event {
	i := int(n * 7919 % uint64(s.sockets))
	s.seqUser[i]++
	stamp := load.Stamp{At: at.UnixMicro(), Kind: load.ToUser, Seq: s.seqUser[i]}
	return load.Event{Name: "notificacion_bench", Data: load.AppendData(nil, stamp, "user_id", userOf(i), eventBytes)}
}

// toRoom is an event for one room of 50 after the other.
func (s *stage) toRoom(n uint64, at time.Time) load.Event {
	i := int(n % uint64(s.sockets/roomSize))
	s.seqRoom[i]++
	stamp := load.Stamp{At: at.UnixMicro(), Kind: load.ToRoom, Seq: s.seqRoom[i]}
	return load.Event{Name: "solicitud_bench", Data: load.AppendData(nil, stamp, "solicitud_id", "R"+strconv.Itoa(i), eventBytes)}
}

// quiesce waits until everything written has arrived and returns how many deliveries did not.
func (s *stage) quiesce(ctx context.Context) uint64 {
	ctx, cancel := context.WithTimeout(ctx, quietWithin)
	defer cancel()
	want := func(i int, k load.Kind) uint32 {
		switch k {
		case load.ToAll:
			return s.seqAll
		case load.ToUser:
			return s.seqUser[i]
		default:
			return s.seqRoom[i/roomSize]
		}
	}
	behind := s.fleet.Behind(want)
	for behind > 0 {
		select {
		case <-ctx.Done():
			return behind
		case <-s.fleet.Progress():
		case <-time.After(10 * time.Millisecond):
		}
		behind = s.fleet.Behind(want)
	}
	return 0
}

// usage is what the three processes used in a time.
type usage struct {
	took                time.Duration
	server, load, redis time.Duration
	deliveries          float64
}

// measure runs f and says what it cost.
func (s *stage) measure(f func() error) (usage, error) {
	read := func() (u usage, err error) {
		var errs [3]error
		u.server, errs[0] = cpuTime(s.server.pid())
		u.redis, errs[1] = cpuTime(s.redis.pid())
		u.load, errs[2] = cpuTime(os.Getpid())
		if s.fleet != nil {
			u.deliveries = float64(s.fleet.Delivered())
		}
		return u, errors.Join(errs[:]...)
	}
	before, err := read()
	if err != nil {
		return before, err
	}
	start := time.Now()
	if err := f(); err != nil {
		return usage{}, fmt.Errorf("%w; %s wrote:\n%s", err, s.peer.name, tail(s.server.log))
	}
	after, err := read()
	return usage{
		took: time.Since(start), server: after.server - before.server, load: after.load - before.load,
		redis: after.redis - before.redis, deliveries: after.deliveries - before.deliveries,
	}, err
}

// shares are the processes' parts of their cores, in percent.
func (u usage) shares(m metrics) {
	percent := func(d time.Duration) float64 { return 100 * d.Seconds() / u.took.Seconds() }
	m["server_cpu"], m["load_cpu"], m["redis_cpu"] = percent(u.server), percent(u.load), percent(u.redis)
}
