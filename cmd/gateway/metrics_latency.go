package main

import (
	"strconv"
	"time"

	"github.com/teloo/realtime-gateway/api/metrics"
	"github.com/teloo/realtime-gateway/streams"
)

// latencies are how long events take, from XADD by Redis' clock on, whose ids are exact to the millisecond.
type latencies struct {
	// delay is from an event's occurred_at to XADD, wait from ready to committed, commit from XADD to committed: of each
	// event, at the node that committed it.
	delay, wait, commit *metrics.Duration
	// delivery is from XADD until an event was handed to the connections of all its sockets, at each node that has some;
	// write until the kernel had taken it, for one of the last of these on a WebSocket. What a client that comes back is
	// sent of what it missed is in neither.
	delivery, write *metrics.Duration
	// forward is of POSTs that were another node's.
	forward *metrics.Duration
}

func newLatencies(r *metrics.Registry) latencies {
	return latencies{
		delay: metrics.NewDuration(r, "teloo_event_publish_delay_seconds",
			"From an event's `occurred_at` to its XADD, if it has one"),
		wait: metrics.NewDuration(r, "teloo_commit_wait_seconds",
			"How long events were ready before they were committed: their turn had to come, and Redis to answer"),
		commit: metrics.NewDuration(r, "teloo_event_commit_latency_seconds",
			"From an event's XADD to its commit to the log, at the node that committed it"),
		delivery: metrics.NewDuration(r, "teloo_event_delivery_latency_seconds",
			"From an event's XADD until it was handed to the connections of all its sockets at this node"),
		write: metrics.NewDuration(r, "teloo_event_write_latency_seconds",
			"From an event's XADD until the kernel had taken it for one of the last of these sockets, of WebSockets; one at a time for each connection"),
		forward: metrics.NewDuration(r, "teloo_forward_seconds",
			"How long a client's POST took that was passed on to another node, until its answer; polls wait on purpose"),
	}
}

// relayed notes when an event was committed.
func (o *instruments) relayed(t streams.Timing) {
	now := o.since(t.Committed)
	o.latency.commit.ObserveOf(now, o.age(now, t.Added.UnixMilli()), "event", func() string { return t.ID })
	o.latency.wait.Observe(t.Waited)
	if !t.Occurred.IsZero() {
		o.latency.delay.Observe(t.Added.Sub(t.Occurred))
	}
}

// delivered notes when an event was handed over; soon: as the last one was.
func (o *instruments) delivered(ms, seq uint64, soon bool) {
	if !soon {
		o.handed = time.Since(o.began)
	}
	now := o.handed
	o.latency.delivery.ObserveOf(now, o.age(now, int64(ms)), "event", func() string {
		return strconv.FormatUint(ms, 10) + "-" + strconv.FormatUint(seq, 10)
	})
}

// written notes when the kernel had taken an event.
func (o *instruments) written(ms int64) { o.latency.write.Observe(o.age(time.Since(o.began), ms)) }

// since is how long after the start of this node a moment was.
func (o *instruments) since(moment time.Time) time.Duration { return moment.Sub(o.began) }

// age is how long before now, counted from this node's start, something was added in ms of Redis' clock. Half of what a
// look at a clock costs is the time of day, which would be for nothing.
func (o *instruments) age(now time.Duration, ms int64) time.Duration {
	return now - time.Duration(ms*int64(time.Millisecond)-o.sampler.start.Load())
}
