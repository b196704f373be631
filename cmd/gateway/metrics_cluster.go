package main

import (
	"github.com/redis/go-redis/v9"

	"github.com/teloo/realtime-gateway/api/metrics"
)

// clusterMetrics are of the nodes and what they tell each other.
var clusterMetrics = []row{
	metrics.Level("teloo_gossip_members", "Live nodes by gossip, this one included", func(f *figures) int { return f.gossipStats.Live }),
	metrics.Count("teloo_gossip_joins_total", "Nodes that joined", func(f *figures) uint64 { return f.gossipStats.Joins }),
	metrics.Count("teloo_gossip_leaves_total", "Nodes that left or died", func(f *figures) uint64 { return f.gossipStats.Leaves }),
	metrics.Count("teloo_gossip_bad_metadata_total", "Nodes' metadata that could not be read", func(f *figures) uint64 { return f.gossipStats.BadMeta }),
	metrics.Level("teloo_gossip_health", "0 while this node keeps up with gossip, up to 3 when it is too slow for it", func(f *figures) int { return f.gossipStats.Health }),
	metrics.Count("teloo_presence_flushes_total", "Calls that wrote presence", func(f *figures) uint64 { return f.counters.Flushes }),
	metrics.Count("teloo_presence_fields_written_total", "Counts that they wrote", func(f *figures) uint64 { return f.counters.FlushedFields }),
	metrics.Count("teloo_presence_errors_total", "Calls that failed, heartbeats included; each is tried again", func(f *figures) uint64 { return f.counters.FlushErrors }),
	metrics.Count("teloo_presence_rewrites_total", "Times that the whole presence was written, since this node was found reaped or Redis emptied", func(f *figures) uint64 { return f.counters.Resyncs }),
	metrics.Count("teloo_presence_reaped_nodes_total", "Nodes that this one found dead", func(f *figures) uint64 { return f.counters.Reaped }),
	metrics.Count("teloo_presence_reaped_fields_total", "Counts of dead nodes that this one subtracted", func(f *figures) uint64 { return f.counters.ReapedFields }),
	metrics.Count("teloo_presence_joined_total", "`user_joined` that this node announced", func(f *figures) uint64 { return f.counters.Joined }),
	metrics.Count("teloo_presence_left_total", "`user_left` that this node announced", func(f *figures) uint64 { return f.counters.Left }),
	metrics.Count("teloo_presence_underflows_total", "Departures without an arrival, which only a fault can cause", func(f *figures) uint64 { return f.counters.Underflows }),
	metrics.Count("teloo_requests_total", "Requests sent to the other nodes", func(f *figures) uint64 { return f.adapterStats.Requests }),
	{
		Name: "teloo_request_failures_total", Kind: metrics.Counter, Labels: []string{"reason"}, Help: "Requests and answers that came to nothing",
		Values: func(f *figures, emit emit) {
			emit(float64(f.adapterStats.RequestTimeouts), "timeout")
			emit(float64(f.adapterStats.RequestFailed), "refused")
			emit(float64(f.adapterStats.BadMessages), "undecodable")
			emit(float64(f.adapterStats.MessagesDropped), "queue_full")
		},
	},
}

// redisMetrics are of the connections to Redis; its calls have instruments.
var redisMetrics = []row{
	{
		Name: "teloo_redis_up", Kind: metrics.Gauge, Help: "1 while Redis answers",
		Values: func(f *figures, emit emit) { emit(metrics.Bool(f.redisUp.Load())) },
	},
	{
		Name: "teloo_redis_pool_connections", Kind: metrics.Gauge, Labels: []string{"client", "state"},
		Help: "Connections to Redis: for `commands`, and for blocking reads of `events` and of the log's `entries`",
		Values: func(f *figures, emit emit) {
			f.pools(func(client string, s *redis.PoolStats) {
				emit(float64(s.IdleConns), client, "idle")
				emit(float64(s.TotalConns-s.IdleConns), client, "used")
			})
		},
	},
	{
		Name: "teloo_redis_pool_timeouts_total", Kind: metrics.Counter, Labels: []string{"client"}, Help: "Calls that got no connection in time",
		Values: func(f *figures, emit emit) {
			f.pools(func(client string, s *redis.PoolStats) { emit(float64(s.Timeouts), client) })
		},
	},
}

func (p *parts) pools(each func(client string, s *redis.PoolStats)) {
	each("commands", p.commands.PoolStats())
	each("events", p.events.PoolStats())
	each("entries", p.entries.PoolStats())
}
