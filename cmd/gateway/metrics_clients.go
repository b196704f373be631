package main

import (
	"runtime"

	"github.com/teloo/realtime-gateway/api/metrics"
)

type (
	row  = metrics.Row[figures]
	emit = metrics.Emit
)

// nodeMetrics are of the process.
var nodeMetrics = []row{
	{
		Name: "teloo_build_info", Kind: metrics.Gauge, Labels: []string{"version", "goversion"}, Help: "1, of this build",
		Values: func(_ *figures, emit emit) { emit(1, buildVersion(), runtime.Version()) },
	},
	{
		Name: "teloo_ready", Kind: metrics.Gauge, Help: "1 while clients should be sent here; `/health/ready` says why not",
		Values: func(f *figures, emit emit) {
			ready, _ := f.ready()
			emit(metrics.Bool(ready))
		},
	},
	{
		Name: "teloo_leader", Kind: metrics.Gauge, Help: "1 on the node that does the cluster's chores",
		Values: func(f *figures, emit emit) { emit(metrics.Bool(f.lead())) },
	},
	{
		Name: "teloo_panics_total", Kind: metrics.Counter, Labels: []string{"component"}, Help: "Panics that were caught; each cost one message or event",
		Values: func(f *figures, emit emit) {
			emit(float64(f.nodeStats.Panics), "node")
			emit(float64(f.adapterStats.DeliveryPanics), "adapter")
			emit(float64(f.streamsStats.Panics), "streams")
		},
	},
}

// clientMetrics are of connections: how they come, stay and go.
var clientMetrics = []row{
	metrics.Level("teloo_connections_limit", "`WS_MAX_CONNECTIONS`", func(f *figures) int { return f.cfg.WSMaxConnections }),
	metrics.Count("teloo_connects_total", "Connects that were taken, recovered ones included", func(f *figures) uint64 { return f.nodeStats.Connects }),
	{
		Name: "teloo_sessions", Kind: metrics.Gauge, Labels: []string{"transport"},
		Help: "Engine.IO sessions, those included whose connect is not decided yet",
		Values: func(f *figures, emit emit) {
			emit(float64(f.engineStats.Polling), "polling")
			emit(float64(f.engineStats.WebSocket), "websocket")
		},
	},
	metrics.Count("teloo_sessions_opened_total", "Engine.IO sessions that were opened", func(f *figures) uint64 { return f.engineStats.Opened }),
	metrics.Count("teloo_sessions_upgraded_total", "Sessions that changed from polling to WebSocket", func(f *figures) uint64 { return f.engineStats.Upgraded }),
	metrics.Count("teloo_client_events_refused_total", "Clients' events over `EVENT_RATE`, which were not handled", func(f *figures) uint64 { return f.limitsStats.EventsRefused }),
	metrics.Level("teloo_handshake_addresses", "Addresses whose handshakes are counted at the moment", func(f *figures) int { return f.limitsStats.Addresses }),
	metrics.Count("teloo_handshake_addresses_forgotten_total", "Addresses whose handshakes had to be forgotten too early, for want of room", func(f *figures) uint64 { return f.limitsStats.AddressesForgotten }),
	metrics.Level("teloo_revocations", "Revoked tokens and users that this node knows of", func(f *figures) int { return f.revocations.Tokens + f.revocations.Users }),
	metrics.Count("teloo_revocations_read_failures_total", "Failed looks at the revocations", func(f *figures) uint64 { return f.revocations.Failures }),
}

// sendMetrics are of what clients are sent.
var sendMetrics = []row{
	metrics.Count("teloo_deliveries_total", "Packets handed to a socket's connection", func(f *figures) uint64 { return f.adapterStats.Writes }),
	metrics.Count("teloo_sent_frames_total", "Frames that the kernel took, of WebSockets", func(f *figures) uint64 { return f.engineStats.Frames }),
	metrics.Count("teloo_sent_writes_total", "Calls of the kernel that they took", func(f *figures) uint64 { return f.engineStats.Writes }),
	metrics.Count("teloo_slow_consumers_total", "Connections closed because their client did not keep up", func(f *figures) uint64 {
		return f.engineStats.SlowConsumers + f.adapterStats.SlowSockets
	}),
	metrics.Count("teloo_volatile_dropped_total", "Volatile packets whose client could not take them", func(f *figures) uint64 { return f.engineStats.VolatileDropped }),
	metrics.Count("teloo_encode_failures_total", "Broadcasts dropped because a value has no JSON form", func(f *figures) uint64 { return f.adapterStats.EncodeFailed }),
}
