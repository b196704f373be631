package main

import (
	"github.com/teloo/realtime-gateway/adapter/ingress"
	"github.com/teloo/realtime-gateway/api/metrics"
)

// ingressMetrics are of what comes by pub/sub; missing where nothing is listened to.
var ingressMetrics = []row{
	{
		Name: "teloo_ingress_listening", Kind: metrics.Gauge, Help: "1 while this node listens to pub/sub for the cluster; the sum over the nodes should be 1",
		Values: ofIngress(func(s ingress.Stats) float64 { return metrics.Bool(s.Listening) }),
	},
	{
		Name: "teloo_ingress_messages_total", Kind: metrics.Counter, Labels: []string{"source", "outcome"},
		Help: "Messages of pub/sub that this node received, by what became of them: `accepted`, or why not",
		Values: func(f *figures, emit emit) {
			if f.ingress != nil {
				f.ingress.Stats().Each(func(source, outcome string, n uint64) { emit(float64(n), source, outcome) })
			}
		},
	},
	{
		Name: "teloo_ingress_queue", Kind: metrics.Gauge, Help: "Messages of pub/sub that wait to be appended",
		Values: ofIngress(func(s ingress.Stats) float64 { return float64(s.Queued) }),
	},
	{
		Name: "teloo_ingress_terms_total", Kind: metrics.Counter, Help: "Times that this node came to listen for the cluster; what was published between two nodes' turns is lost, unless it was a handover",
		Values: ofIngress(func(s ingress.Stats) float64 { return float64(s.Terms) }),
	},
	{
		Name: "teloo_ingress_handovers_total", Kind: metrics.Counter, Help: "Times that it did so before the last one had ended; nothing is lost between the two",
		Values: ofIngress(func(s ingress.Stats) float64 { return float64(s.Handovers) }),
	},
	{
		Name: "teloo_ingress_subscriptions_lost_total", Kind: metrics.Counter, Help: "Times that it lost its subscription meanwhile; what was published until it had another is lost",
		Values: ofIngress(func(s ingress.Stats) float64 { return float64(s.SubscriptionsLost) }),
	},
}

func ofIngress(value func(ingress.Stats) float64) func(*figures, emit) {
	return func(f *figures, emit emit) {
		if f.ingress != nil {
			emit(value(f.ingress.Stats()))
		}
	}
}
