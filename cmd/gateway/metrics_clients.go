package main

import (
	"runtime"
	"strings"

	"github.com/teloo/realtime-gateway/api/metrics"
	"github.com/teloo/realtime-gateway/node"
	"github.com/teloo/realtime-gateway/node/engine"
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
			if f.ingress != nil {
				emit(float64(f.ingress.Stats().Panics()), "ingress")
			}
		},
	},
}

// clientMetrics are of connections: how they come, stay and go.
var clientMetrics = []row{
	metrics.Level("teloo_connections_limit", "`WS_MAX_CONNECTIONS`", func(f *figures) int { return f.cfg.WSMaxConnections }),
	{
		Name: "teloo_connections", Kind: metrics.Gauge, Labels: []string{"role", "transport"}, Help: "Connected sockets",
		Values: func(f *figures, emit emit) {
			count := f.node.Census()
			for _, role := range roles {
				for _, transport := range []string{"polling", "websocket"} {
					emit(float64(count[node.Group{Role: role, Transport: transport}]), role, transport)
				}
			}
		},
	},
	metrics.CountBy("teloo_connects_total", "role", "Connects that were taken, recovered ones included", func(f *figures) map[string]uint64 { return f.nodeStats.ConnectedBy }, roles...),
	metrics.CountBy("teloo_connects_refused_total", "reason", "Connects that were answered with a `connect_error`, by its code", func(f *figures) map[string]uint64 { return f.nodeStats.RefusedBy }, node.RefusalReasons()...),
	metrics.Count("teloo_connects_dismissed_total", "Connects that could not be decided, whose connection was closed for another attempt", func(f *figures) uint64 { return f.nodeStats.Dismissed }),
	metrics.CountBy("teloo_disconnects_total", "reason", "Sockets that have gone: `client`, `kicked`, `slow_consumer`, `token_expired`, … ; `sent_away` and `drain` come back elsewhere", func(f *figures) map[string]uint64 { return f.nodeStats.Ended }, node.EndReasons()...),
	{
		Name: "teloo_draining", Kind: metrics.Gauge, Help: "1 while this node sends its clients to the others",
		Values: func(f *figures, emit emit) { emit(metrics.Bool(f.nodeStats.Draining)) },
	},
	metrics.Count("teloo_drained_total", "Connections that were closed for that", func(f *figures) uint64 { return f.nodeStats.Drained }),
	{
		Name: "teloo_handshakes_refused_total", Kind: metrics.Counter, Labels: []string{"reason"},
		Help: "Requests of Engine.IO that were answered with an error: `address_rate` and `connect_rate` by the limits, the others by the protocol",
		Values: func(f *figures, emit emit) {
			emit(float64(f.limitsStats.HandshakesRefused), "address_rate")
			emit(float64(f.limitsStats.BudgetRefused), "connect_rate")
			for _, reason := range engine.RefusalReasons() {
				emit(float64(f.engineStats.RefusedBy[reason]), reason)
			}
		},
	},
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
	{
		Name: "teloo_sessions_closed_total", Kind: metrics.Counter, Labels: []string{"reason"}, Help: "Engine.IO sessions that have ended",
		Values: func(f *figures, emit emit) {
			for _, reason := range engine.CloseReasons() {
				emit(float64(f.engineStats.Closed[reason]), strings.ReplaceAll(reason, " ", "_"))
			}
		},
	},
	metrics.Count("teloo_client_events_refused_total", "Clients' events over `EVENT_RATE`, which were not handled", func(f *figures) uint64 { return f.limitsStats.EventsRefused }),
	metrics.Level("teloo_handshake_addresses", "Addresses whose handshakes are counted at the moment", func(f *figures) int { return f.limitsStats.Addresses }),
	metrics.Count("teloo_handshake_addresses_forgotten_total", "Addresses whose handshakes had to be forgotten too early, for want of room", func(f *figures) uint64 { return f.limitsStats.AddressesForgotten }),
	metrics.Level("teloo_revocations", "Revoked tokens and users that this node knows of", func(f *figures) int { return f.revocations.Tokens + f.revocations.Users }),
	metrics.Count("teloo_revocations_read_failures_total", "Failed looks at the revocations", func(f *figures) uint64 { return f.revocations.Failures }),
}

// sendMetrics are of what clients are sent.
var sendMetrics = []row{
	metrics.Count("teloo_deliveries_total", "Packets handed to a socket's connection", func(f *figures) uint64 { return f.adapterStats.Writes }),
	{
		Name: "teloo_sent_bytes_total", Kind: metrics.Counter, Labels: []string{"transport"}, Help: "Bytes that clients were sent, HTTP's own headers excluded",
		Values: func(f *figures, emit emit) {
			emit(float64(f.engineStats.Polled), "polling")
			emit(float64(f.engineStats.Bytes), "websocket")
		},
	},
	metrics.Count("teloo_sent_frames_total", "Frames that the kernel took, of WebSockets", func(f *figures) uint64 { return f.engineStats.Frames }),
	metrics.Count("teloo_sent_writes_total", "Calls of the kernel that they took", func(f *figures) uint64 { return f.engineStats.Writes }),
	metrics.Level("teloo_send_queue_frames", "Frames that wait for clients", func(f *figures) int { return f.engineStats.QueuedFrames }),
	metrics.Level("teloo_send_queue_bytes", "Bytes of them", func(f *figures) int { return f.engineStats.QueuedBytes }),
	metrics.Level("teloo_send_queue_longest_bytes", "Bytes that wait for the client for whom most do", func(f *figures) int { return f.engineStats.LongestBytes }),
	metrics.Level("teloo_sessions_blocked", "WebSockets whose client does not take what there is", func(f *figures) int { return f.engineStats.Blocked }),
	metrics.Count("teloo_slow_consumers_total", "Connections closed because their client did not keep up", func(f *figures) uint64 {
		return f.engineStats.SlowConsumers + f.adapterStats.SlowSockets
	}),
	metrics.Count("teloo_volatile_dropped_total", "Volatile packets whose client could not take them", func(f *figures) uint64 { return f.engineStats.VolatileDropped }),
	metrics.Count("teloo_encode_failures_total", "Broadcasts dropped because a value has no JSON form", func(f *figures) uint64 { return f.adapterStats.EncodeFailed }),
}
