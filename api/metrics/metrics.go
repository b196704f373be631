// Package metrics owns what /metrics shows: the registry, the form of names and help, and the handler. Most figures are
// read when they are asked for, from counters that the parts keep anyway (Table); the few that have to be observed when
// they happen, which is durations, have instruments here (Latency, RedisHook). It never counts on anybody's behalf,
// starts no goroutine, knows no part by name and has no label whose values grow with users, rooms or events.
package metrics

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Prefix begins every name of ours.
const Prefix = "teloo_"

// Kind is a metric's type.
type Kind string

// Kinds of metrics.
const (
	Counter   Kind = "counter"   // only grows, from the start of the process
	Gauge     Kind = "gauge"     // as it is now
	Histogram Kind = "histogram" // durations, in classic and native buckets
)

// Description is what there is to know of a metric beforehand.
type Description struct {
	// Name is by Prometheus' conventions, in base units.
	Name   string
	Kind   Kind
	Labels []string
	// Help is a sentence in Markdown without a full stop.
	Help string
}

// Registry is the metrics of one node. Its methods are safe for concurrent use.
type Registry struct {
	inner *prometheus.Registry
	all   []Description
}

// New makes a registry that holds the Go runtime's and the process' own metrics.
func New() *Registry {
	r := &Registry{inner: prometheus.NewRegistry()}
	r.inner.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}

// register adds a collector with its descriptions. Names and labels are part of the program, so a fault in them panics.
func (r *Registry) register(c prometheus.Collector, all ...Description) {
	for _, d := range all {
		if !strings.HasPrefix(d.Name, Prefix) || (d.Kind == Counter) != strings.HasSuffix(d.Name, "_total") || d.Help == "" {
			panic(fmt.Sprintf("metrics: %q is no name of a %s, or has no help", d.Name, d.Kind))
		}
	}
	r.inner.MustRegister(c)
	r.all = append(r.all, all...)
}

// Describe returns the metrics of ours, those of the runtime excluded, by name. To be called when all are registered.
func (r *Registry) Describe() []Description {
	sorted := slices.Clone(r.all)
	slices.SortFunc(sorted, func(a, b Description) int { return strings.Compare(a.Name, b.Name) })
	return sorted
}

// Gatherer gives the figures as they are now.
func (r *Registry) Gatherer() prometheus.Gatherer { return r.inner }

// maxScrapes is how many requests are answered at the same time; more are told to come back.
const maxScrapes = 4

// Handler answers GET in the text format, OpenMetrics or, with native histograms, protobuf: whatever is asked for.
func (r *Registry) Handler() http.Handler {
	return promhttp.HandlerFor(r.inner, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: maxScrapes, ErrorHandling: promhttp.ContinueOnError,
	})
}
