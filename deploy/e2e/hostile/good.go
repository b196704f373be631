package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/teloo/realtime-gateway/deploy/bench/load"
)

const (
	roomSize   = 50
	eventBytes = 200
	// eventRate is how many events a second the good clients are sent: of 60, two go to all, eight to a room of 50 and 50 to
	// one user.
	eventRate = 60
	quietIn   = 20 * time.Second
)

func userOf(i int) string { return "u" + strconv.Itoa(i) }

func roomOf(i int) string { return "R" + strconv.Itoa(i/roomSize) }

// crowd is the good clients of a node and the events for them. Its methods are for one goroutine.
type crowd struct {
	fleet   *load.Fleet
	clients int
	pub     *load.RedisPublisher
	writer  *load.Writer
	stop    func()
	// seq counts the events of each series: of all, by user, by room.
	seqAll           uint32
	seqUser, seqRoom []uint32
}

// gather connects good clients.
func gather(ctx context.Context, s *stage, clients int) (*crowd, error) {
	fleet, stop, err := runFleet(ctx, s, load.Config{
		Clients: clients, Token: func(i int) string { return token(userOf(i)) }, Room: roomOf,
	})
	if err != nil {
		return nil, err
	}
	c := &crowd{fleet: fleet, clients: clients, stop: stop, seqUser: make([]uint32, clients), seqRoom: make([]uint32, clients/roomSize+1)}
	if c.pub, err = load.DialPublisher(ctx, s.redisAddr, eventStream); err == nil {
		c.writer = load.NewWriter(c.pub, c.next)
		err = waitReady(ctx, fleet, clients, time.Minute)
	}
	if err != nil {
		c.leave()
		return nil, err
	}
	return c, nil
}

// runFleet starts clients; stop ends them.
func runFleet(ctx context.Context, s *stage, cfg load.Config) (fleet *load.Fleet, stop func(), err error) {
	cfg.URL, cfg.SourceAddrs = "ws://"+s.addr, 8
	if fleet, err = load.New(cfg); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = fleet.Run(ctx) // what it met is in its counters
	}()
	return fleet, func() {
		cancel()
		<-ended
	}, nil
}

func waitReady(ctx context.Context, fleet *load.Fleet, n int, within time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, errors.New("too slow"))
	defer cancel()
	return fleet.WaitReady(ctx, n)
}

func (c *crowd) leave() {
	c.stop()
	if c.pub != nil {
		_ = c.pub.Close()
	}
}

// next is the n-th event for the good clients.
func (c *crowd) next(n uint64, at time.Time) load.Event {
	stamp := load.Stamp{At: at.UnixMicro()}
	switch k := n % 60; {
	case k%30 == 0:
		c.seqAll++
		stamp.Kind, stamp.Seq = load.ToAll, c.seqAll
		return load.Event{Name: "notificacion_buena", Data: load.AppendData(nil, stamp, "role", "advisor", eventBytes)}
	case k%7 == 1 && k < 57:
		room := int(n/7) % (c.clients / roomSize)
		c.seqRoom[room]++
		stamp.Kind, stamp.Seq = load.ToRoom, c.seqRoom[room]
		return load.Event{Name: "solicitud_buena", Data: load.AppendData(nil, stamp, "solicitud_id", roomOf(room*roomSize), eventBytes)}
	default:
		i := int(n * 7919 % uint64(c.clients))
		c.seqUser[i]++
		stamp.Kind, stamp.Seq = load.ToUser, c.seqUser[i]
		return load.Event{Name: "notificacion_buena", Data: load.AppendData(nil, stamp, "user_id", userOf(i), eventBytes)}
	}
}

// tally is what the good clients had in a time.
type tally struct {
	latency                *load.Histogram
	lost, repeated, closed uint64
}

// during is duringAt the usual rate.
func (c *crowd) during(ctx context.Context, d time.Duration, other func(context.Context) error) (tally, error) {
	return c.duringAt(ctx, eventRate, d, other)
}

// duringAt sends events at a rate while other runs, at least for the time given, and says what the clients had.
func (c *crowd) duringAt(ctx context.Context, rate float64, d time.Duration, other func(context.Context) error) (tally, error) {
	c.fleet.TakeLatency()
	before := c.fleet.Stats()
	g, inner := errgroup.WithContext(ctx)
	busy, done := context.WithCancel(inner)
	g.Go(func() error {
		if err := c.writer.AtRate(inner, rate, d); err != nil {
			return err
		}
		for busy.Err() == nil { // other takes longer
			if err := c.writer.AtRate(busy, rate, time.Second); err != nil {
				return err
			}
		}
		return nil
	})
	g.Go(func() error {
		defer done()
		return other(inner)
	})
	if err := g.Wait(); err != nil {
		return tally{}, err
	}
	behind := c.quiesce(ctx)
	after := c.fleet.Stats()
	return tally{
		latency: c.fleet.TakeLatency(), lost: behind + after.Lost - before.Lost,
		repeated: after.Repeated - before.Repeated, closed: after.Closed - before.Closed,
	}, ctx.Err()
}

// quiesce waits until everything written has arrived and returns how many deliveries did not.
func (c *crowd) quiesce(ctx context.Context) uint64 {
	ctx, cancel := context.WithTimeout(ctx, quietIn)
	defer cancel()
	var behind uint64
	_ = until(ctx, "all has arrived", quietIn, func() error {
		behind = c.fleet.Behind(func(i int, k load.Kind) uint32 {
			switch k {
			case load.ToAll:
				return c.seqAll
			case load.ToUser:
				return c.seqUser[i]
			default:
				return c.seqRoom[i/roomSize]
			}
		})
		if behind > 0 {
			return fmt.Errorf("%d deliveries have not", behind)
		}
		return nil
	})
	return behind
}
