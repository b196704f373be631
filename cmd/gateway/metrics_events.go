package main

import (
	"github.com/teloo/realtime-gateway/api/metrics"
	"github.com/teloo/realtime-gateway/node/canary"
	"github.com/teloo/realtime-gateway/streams"
)

// eventMetrics are of the Core API's events, up to the log.
var eventMetrics = []row{
	{
		Name: "teloo_consuming", Kind: metrics.Gauge, Help: "1 while events are read and committed",
		Values: func(f *figures, emit emit) { emit(metrics.Bool(f.consumer.State() == streams.StateConsuming)) },
	},
	metrics.Count("teloo_events_read_total", "Events that this node read from the event stream", func(f *figures) uint64 { return f.streamsStats.Read }),
	metrics.CountBy("teloo_events_committed_total", "kind", "Events that this node put into the log, by what their names begin with", func(f *figures) map[string]uint64 { return f.streamsStats.RelayedByKind }),
	metrics.CountBy("teloo_events_dead_total", "reason", "Events that this node put into the dead letters", func(f *figures) map[string]uint64 { return f.streamsStats.Dead }, append(streams.Reasons(), "bad_id", reasonInvalidSchema)...),
	metrics.Count("teloo_events_duplicate_total", "Events whose `event_id` was seen before", func(f *figures) uint64 { return f.streamsStats.Duplicates }),
	metrics.Count("teloo_events_superseded_total", "Events that another node had settled first", func(f *figures) uint64 { return f.streamsStats.Superseded }),
	metrics.Count("teloo_events_reclaimed_total", "Events taken over from other nodes, or from a lost read", func(f *figures) uint64 { return f.streamsStats.Reclaimed }),
	metrics.Count("teloo_events_lost_total", "Pending events that somebody trimmed from the event stream", func(f *figures) uint64 { return f.streamsStats.LostToTrimming }),
	metrics.Count("teloo_events_solitary_total", "Events handled alone after repeated deliveries", func(f *figures) uint64 { return f.streamsStats.Solitary }),
	metrics.Count("teloo_events_renewed_total", "Renewals of events that wait or are being handled", func(f *figures) uint64 { return f.streamsStats.Renewed }),
	metrics.Count("teloo_events_trimmed_total", "Settled events that this node trimmed from the event stream", func(f *figures) uint64 { return f.streamsStats.EventsTrimmed }),
	metrics.Count("teloo_event_fields_ignored_total", "Invalid `occurred_at` or `traceparent` of events", func(f *figures) uint64 { return f.streamsStats.IgnoredFields }),
	metrics.Level("teloo_event_backlog", "Events that this node has handled and not yet committed", func(f *figures) int { return f.streamsStats.Backlog }),
	metrics.Count("teloo_commit_waits_total", "Commits that had to wait for an older event, pending elsewhere", func(f *figures) uint64 { return f.streamsStats.Waits }),
	metrics.Count("teloo_handlers_stuck_total", "Handlings of events that did not return in time", func(f *figures) uint64 { return f.streamsStats.HandlersStuck }),
	metrics.Count("teloo_consumer_errors_total", "Failed calls of Redis of the consumer", func(f *figures) uint64 { return f.streamsStats.RedisErrors }),
	metrics.Count("teloo_consumers_deleted_total", "Consumers of ended nodes that this node deleted", func(f *figures) uint64 { return f.streamsStats.ConsumersDeleted }),
	metrics.Count("teloo_groups_created_total", "Times that the consumer group was missing and created here", func(f *figures) uint64 { return f.streamsStats.GroupsCreated }),
	metrics.Count("teloo_event_stream_resets_total", "Times that the event stream was found to be a new one", func(f *figures) uint64 { return f.streamsStats.StreamsReset }),
	metrics.Count("teloo_grants_failed_total", "Events' grants that Redis refused to keep", func(f *figures) uint64 { return f.streamsStats.GrantsFailed }),
	metrics.Count("teloo_dead_letters_cut_total", "Dead letters that `DEAD_MAX_ENTRIES` removed", func(f *figures) uint64 { return f.streamsStats.DeadCut }),
}

// canaryMetrics are of the events that a node sends to itself through the whole path; missing without CANARY_INTERVAL.
var canaryMetrics = []row{
	{
		Name: "teloo_canary_last_success_timestamp_seconds", Kind: metrics.Gauge, Help: "When this node last had an event of its own back, in unix time; its start, before the first",
		Values: ofCanary(func(s canary.Stats) float64 { return float64(s.LastHeard.UnixMilli()) / 1000 }),
	},
	{
		Name: "teloo_canary_interval_seconds", Kind: metrics.Gauge, Help: "`CANARY_INTERVAL`",
		Values: func(f *figures, emit emit) {
			if f.canary != nil {
				emit(f.cfg.CanaryInterval.Seconds())
			}
		},
	},
	{
		Name: "teloo_canary_latency_seconds", Kind: metrics.Gauge, Help: "What that took from being written until a socket would have been sent it",
		Values: ofCanary(func(s canary.Stats) float64 { return s.Latency.Seconds() }),
	},
	{
		Name: "teloo_canary_deaf", Kind: metrics.Gauge, Help: "1 while events flow past this node, which then is not ready",
		Values: ofCanary(func(s canary.Stats) float64 { return metrics.Bool(s.Deaf) }),
	},
	{
		Name: "teloo_canary_failures_total", Kind: metrics.Counter, Help: "Canary events that could not be written",
		Values: ofCanary(func(s canary.Stats) float64 { return float64(s.SendFailed) }),
	},
}

func ofCanary(value func(canary.Stats) float64) func(*figures, emit) {
	return func(f *figures, emit emit) {
		if f.canary != nil {
			emit(value(f.canary.Stats()))
		}
	}
}

// logMetrics are of the log and of recovery.
var logMetrics = []row{
	metrics.Count("teloo_log_delivered_total", "Entries of the log applied to this node's sockets", func(f *figures) uint64 { return f.adapterStats.Delivered }),
	{
		Name: "teloo_log_skipped_total", Kind: metrics.Counter, Labels: []string{"reason"}, Help: "Entries of the log that were not delivered",
		Values: func(f *figures, emit emit) {
			emit(float64(f.adapterStats.Duplicates), "duplicate")
			emit(float64(f.adapterStats.BadEntries), "undecodable")
			emit(float64(f.adapterStats.UnknownNamespace), "unknown_namespace")
		},
	},
	metrics.Count("teloo_log_without_replicas_total", "Times that delivery went on although too few of Redis' replicas had answered in time", func(f *figures) uint64 { return f.adapterStats.WithoutReplicas }),
	metrics.Count("teloo_log_read_errors_total", "Failed reads of the log", func(f *figures) uint64 { return f.adapterStats.ReadErrors }),
	metrics.Count("teloo_log_gaps_total", "Times that this node's position had been trimmed away, and all its sockets were closed", func(f *figures) uint64 { return f.adapterStats.Gaps }),
	metrics.Count("teloo_log_went_back_total", "Times that the log had lost its newest entries", func(f *figures) uint64 { return f.adapterStats.WentBack }),
	metrics.Count("teloo_log_resets_total", "Times that the log was found to be a new one", func(f *figures) uint64 { return f.adapterStats.Resets }),
	metrics.Count("teloo_log_cut_total", "Entries younger than twice `RECOVERY_WINDOW` that `LOG_MAX_ENTRIES` removed", func(f *figures) uint64 {
		return f.adapterStats.CapCut + f.streamsStats.LogCut
	}),
	metrics.Count("teloo_log_published_total", "Messages that this node published to the log itself, events of the Core API excluded", func(f *figures) uint64 { return f.adapterStats.Published }),
	{
		Name: "teloo_log_publish_failures_total", Kind: metrics.Counter, Labels: []string{"reason"}, Help: "Messages that did not get there",
		Values: func(f *figures, emit emit) {
			emit(float64(f.adapterStats.PublishFailed), "refused")
			emit(float64(f.adapterStats.PublishDropped), "queue_full")
		},
	},
	metrics.Level("teloo_log_publish_queue", "Messages that wait to be published", func(f *figures) int { return f.adapterStats.Queued }),
	metrics.Level("teloo_ring_entries", "Entries of the log that are held in memory for returning clients", func(f *figures) int { return f.adapterStats.RingEntries }),
	metrics.Level("teloo_ring_bytes", "Bytes of them, about", func(f *figures) int { return f.adapterStats.RingBytes }),
	metrics.Level("teloo_ring_coverage_seconds", "How far back they reach; less than `RECOVERY_WINDOW`: older ones are read from Redis, or the node is young", func(f *figures) float64 { return f.adapterStats.RingCoverage.Seconds() }),
	{
		Name: "teloo_recoveries_total", Kind: metrics.Counter, Labels: []string{"outcome"},
		Help: "Attempts to go on with a session: `recovered`, `fresh` (could not be; the client knows) or `failed` (given up midway)",
		Values: func(f *figures, emit emit) {
			emit(float64(f.adapterStats.Recovered), "recovered")
			emit(float64(f.adapterStats.NotRecovered), "fresh")
			emit(float64(f.adapterStats.RecoveryFailed), "failed")
		},
	},
	metrics.Count("teloo_replayed_total", "Packets that recovered sockets were sent of what they had missed", func(f *figures) uint64 { return f.adapterStats.Replayed }),
	metrics.Count("teloo_session_writes_total", "Sessions written for recovery", func(f *figures) uint64 { return f.adapterStats.SessionsWritten }),
	metrics.Count("teloo_session_write_errors_total", "Calls for that which Redis refused", func(f *figures) uint64 { return f.adapterStats.SessionErrors }),
	metrics.Count("teloo_session_writes_dropped_total", "Ends of sessions that were not written since too many waited", func(f *figures) uint64 { return f.adapterStats.SessionsDropped }),
	metrics.Count("teloo_sessions_superseded_total", "Sockets closed because their client had connected anew elsewhere", func(f *figures) uint64 { return f.adapterStats.SessionsSuperseded }),
}
