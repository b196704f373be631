package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/teloo/realtime-gateway/deploy/bench/load"
)

const (
	// busyRate events a second of busyBytes go to the room of all clients and the slow one.
	busyRate  = 25
	busyBytes = 8 << 10
	// closedIn is how long the slow client may last: what the kernel takes for it, and then StallTimeout or the queue.
	closedIn = 75 * time.Second
	// longest is how long the busy room is watched at most: nothing new comes of more.
	longest = 2 * time.Minute
	// queueMB is what may wait for one client, slackMB what the same events cost besides: the garbage of the moment.
	queueMB, slackMB = 1, 16
	slowLine         = "closing a session whose client does not keep up"
	slowUser         = "slow"
)

// slow lets one client of a busy room stop reading.
func slow(ctx context.Context, f settings) (*report, error) {
	r := &report{scenario: "slow"}
	f.duration, f.reference = min(f.duration, longest), min(f.reference, longest/4)
	// The heartbeat would end it, too, if what the kernel takes for it lasted that long.
	s, err := newStage(ctx, f, "PING_TIMEOUT=2m")
	defer s.close()
	if err != nil {
		return r, err
	}
	c, err := gather(ctx, s, f.clients)
	if err != nil {
		return r, err
	}
	defer c.leave()
	// All are advisors, and so in one room.
	c.writer = load.NewWriter(c.pub, func(_ uint64, at time.Time) load.Event {
		c.seqAll++
		stamp := load.Stamp{At: at.UnixMicro(), Kind: load.ToAll, Seq: c.seqAll}
		return load.Event{Name: "notificacion_ruido", Data: load.AppendData(nil, stamp, "role", "advisor", busyBytes)}
	})
	fleet, stop, err := runFleet(ctx, s, load.Config{
		Clients: 1, Token: func(int) string { return token(slowUser) }, Slow: func(int) bool { return true },
	})
	if err != nil {
		return r, err
	}
	defer stop()
	if err := waitReady(ctx, fleet, 1, 10*time.Second); err != nil {
		return r, err
	}
	f.progress("  %d clients and one that still reads, for %v", f.clients, f.reference)
	reading, err := c.duringAt(ctx, busyRate, f.reference, nothing)
	if err != nil {
		return r, err
	}
	r.tally("while all read", reading)
	f.progress("  one stops reading")
	fleet.Pause(0, true)
	return r, c.withSlow(ctx, f, s, r, reading)
}

// withSlow measures from the moment on in which the slow client reads nothing.
func (c *crowd) withSlow(ctx context.Context, f settings, s *stage, r *report, reading tally) error {
	before, err := s.node.usage()
	if err != nil {
		return err
	}
	most, began, lasted := before, time.Now(), time.Duration(-1)
	stalled, err := c.duringAt(ctx, busyRate, f.duration, func(ctx context.Context) error {
		return until(ctx, "the slow client is closed", max(f.duration, closedIn), func() error {
			u, err := s.node.usage()
			if err != nil {
				return err
			}
			if u.residentKB > most.residentKB {
				most = u
			}
			if n, _ := s.node.count(slowLine); n == 0 && time.Since(began) < closedIn {
				return errors.New("it is not")
			} else if n > 0 && lasted < 0 {
				lasted = time.Since(began)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	n, _ := s.node.count(slowLine)
	r.tally("while one does not", stalled)
	p99, was := stalled.latency.Quantile(quantile), reading.latency.Quantile(quantile)
	r.checkf(p99 <= worse*was, "p99 while one does not read / all do", "2", "%.2f", float64(p99)/float64(max(was, 1)))
	r.checkf(n == 1, "sessions closed as too slow", "1", "%d", n)
	r.checkf(lasted >= 0, "closed after", closedIn.String(), "%v", lasted.Round(100*time.Millisecond))
	written := float64(stalled.latency.Count()/uint64(f.clients)*busyBytes) / (1 << 20)
	grown := mb(most) - mb(before)
	r.checkf(grown <= queueMB+slackMB+written, "the node's growth, MB",
		fmt.Sprintf("%d queue + %d + %.1f kept for recovery", queueMB, slackMB, written), "%.1f", grown)
	connections, err := s.connections(ctx)
	r.checkf(err == nil && connections == f.clients, "connections in /stats afterwards", strconv.Itoa(f.clients), "%d", connections)
	r.checkf(s.node.running() && s.fault() == "", "panics, restarts", "none", "%.200s", s.fault())
	return nil
}
