package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/teloo/realtime-gateway/adapter"
	"github.com/teloo/realtime-gateway/api/metrics"
	"github.com/teloo/realtime-gateway/presence"
	"github.com/teloo/realtime-gateway/streams"
)

const (
	// sampleEvery is how often a node asks Redis for what no part of its own knows: three calls, whose work does not grow
	// with what they tell.
	sampleEvery = 5 * time.Second
	// sampleTimeout bounds each of them, sampleKeeps says how long what they told is shown.
	sampleTimeout = 3 * time.Second
	sampleKeeps   = 3 * sampleEvery
	// clockPatience is how long an answer may take for its clock to be believed.
	clockPatience = 100 * time.Millisecond
)

// sample is what Redis told last; nil: it did not.
type sample struct {
	lag     *streams.Lag
	log     *adapter.Behind
	cluster *presence.Stats
}

// sampler keeps the latest sample. It is safe for concurrent use.
type sampler struct {
	last atomic.Pointer[sample]
	at   atomic.Int64 // when it was taken, in unix nanoseconds
	// start is the start of this node in nanoseconds of Redis' clock, as far as is known.
	start atomic.Int64
}

// fresh is the latest sample; an empty one if that is old.
func (s *sampler) fresh() sample {
	last := s.last.Load()
	if last == nil || time.Since(time.Unix(0, s.at.Load())) > sampleKeeps {
		return sample{}
	}
	return *last
}

// runSampler samples until ctx ends.
func (p *parts) runSampler(ctx context.Context) error {
	if p.observed == nil {
		return nil
	}
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		p.takeSample(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (p *parts) takeSample(ctx context.Context) {
	s := &p.observed.sampler
	var got sample
	ask := func(what string, question func(context.Context) error) {
		ctx, cancel := context.WithTimeout(ctx, sampleTimeout)
		defer cancel()
		if err := question(ctx); err != nil && ctx.Err() == nil {
			p.log.Debug("a figure could not be read", "figure", what, "err", err)
		}
	}
	ask("events", func(ctx context.Context) error {
		asked := time.Since(p.observed.began)
		lag, err := p.consumer.Lag(ctx)
		if err != nil {
			return err
		}
		got.lag = &lag
		if took := time.Since(p.observed.began) - asked; took < clockPatience {
			s.start.Store(lag.At.UnixNano() - int64(asked+took/2))
		}
		return nil
	})
	ask("log", func(ctx context.Context) error {
		behind, err := p.cluster.Behind(ctx)
		if err == nil {
			got.log = &behind
		}
		return err
	})
	ask("presence", func(ctx context.Context) error {
		all, err := p.presence.Stats(ctx)
		if err == nil {
			got.cluster = &all
		}
		return err
	})
	s.last.Store(&got)
	s.at.Store(time.Now().UnixNano())
}

// sampledMetrics are of what Redis tells. Each node asks, so that they do not depend on one that may be the one at fault:
// of nodes that differ, the greatest is the latest.
var sampledMetrics = []row{
	ofLag("teloo_group_lag_events", "Events that no node has read yet; missing while Redis does not know", func(l *streams.Lag) (float64, bool) {
		return float64(l.Undelivered), l.Undelivered >= 0
	}),
	ofLag("teloo_group_lag_seconds", "How long the oldest of them has waited", func(l *streams.Lag) (float64, bool) { return l.Waiting.Seconds(), true }),
	ofLag("teloo_group_pending_events", "Events that were read and are not committed", func(l *streams.Lag) (float64, bool) { return float64(l.Pending), true }),
	ofLag("teloo_group_oldest_pending_seconds", "How long ago the oldest of them was written", func(l *streams.Lag) (float64, bool) { return l.Oldest.Seconds(), true }),
	ofLag("teloo_event_stream_entries", "Entries of the event stream, settled ones included until they are trimmed", func(l *streams.Lag) (float64, bool) { return float64(l.Length), true }),
	ofLag("teloo_dead_letters", "Dead letters that there are", func(l *streams.Lag) (float64, bool) { return float64(l.Dead), true }),
	{
		Name: "teloo_log_entries", Kind: metrics.Gauge, Help: "Entries of the log",
		Values: func(f *figures, emit emit) {
			if f.sampled.log != nil {
				emit(float64(f.sampled.log.Length))
			}
		},
	},
	{
		Name: "teloo_log_lag_seconds", Kind: metrics.Gauge, Help: "How long the oldest entry of the log has waited for this node to deliver it; 0: it has delivered all",
		Values: func(f *figures, emit emit) {
			if log := f.sampled.log; log != nil && log.Waiting.IsZero() {
				emit(0)
			} else if log != nil {
				emit(max(f.observed.age(time.Since(f.observed.began), log.Waiting.UnixMilli()), 0).Seconds())
			}
		},
	},
	ofCluster("teloo_cluster_nodes", "Live nodes by presence in Redis", nil, func(s *presence.Stats, emit emit) { emit(float64(len(s.Nodes))) }),
	ofCluster("teloo_cluster_connections", "Sockets in the cluster by presence", nil, func(s *presence.Stats, emit emit) { emit(float64(s.Connections)) }),
	ofCluster("teloo_cluster_users", "Distinct users in the cluster by presence, of each role", []string{"role"}, func(s *presence.Stats, emit emit) {
		for role, n := range s.ByRole {
			emit(float64(n), role)
		}
	}),
	{
		Name: "teloo_redis_clock_ahead_seconds", Kind: metrics.Gauge, Help: "By how much Redis' clock is ahead of this node's; latencies allow for it",
		Values: func(f *figures, emit emit) {
			if f.sampled.lag != nil {
				emit(time.Duration(f.observed.sampler.start.Load() - time.Now().Add(-time.Since(f.observed.began)).UnixNano()).Seconds())
			}
		},
	},
}

func ofLag(name, help string, value func(*streams.Lag) (float64, bool)) row {
	return row{Name: name, Kind: metrics.Gauge, Help: help, Values: func(f *figures, emit emit) {
		if f.sampled.lag == nil {
			return
		}
		if v, known := value(f.sampled.lag); known {
			emit(v)
		}
	}}
}

func ofCluster(name, help string, labels []string, values func(*presence.Stats, emit)) row {
	return row{Name: name, Kind: metrics.Gauge, Help: help, Labels: labels, Values: func(f *figures, emit emit) {
		if f.sampled.cluster != nil {
			values(f.sampled.cluster, emit)
		}
	}}
}
