package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Emit gives one value of a metric, with its labels' values in the order of Row.Labels. The same values may not come
// twice in a row's turn.
type Emit func(value float64, labels ...string)

// Row is a metric whose values are read from a snapshot S.
type Row[S any] struct {
	Name   string
	Kind   Kind // Counter or Gauge
	Labels []string
	Help   string
	// Values emits what there is; nothing while that is not known.
	Values func(s *S, emit Emit)
}

// Number is what a figure may be kept as.
type Number interface {
	~int | ~int64 | ~uint64 | ~float64
}

// Count is the row of one counter without labels.
func Count[S any, N Number](name, help string, value func(*S) N) Row[S] {
	return Row[S]{Name: name, Kind: Counter, Help: help, Values: one(value)}
}

// Level is the row of one gauge without labels.
func Level[S any, N Number](name, help string, value func(*S) N) Row[S] {
	return Row[S]{Name: name, Kind: Gauge, Help: help, Values: one(value)}
}

func one[S any, N Number](value func(*S) N) func(*S, Emit) {
	return func(s *S, emit Emit) { emit(float64(value(s))) }
}

// CountBy is the row of a counter with one label, by whose values the counts are kept. Of known values there is a zero
// before the first count, without which a rate would not show that.
func CountBy[S any](name, label, help string, counts func(*S) map[string]uint64, known ...string) Row[S] {
	return Row[S]{Name: name, Kind: Counter, Labels: []string{label}, Help: help, Values: func(s *S, emit Emit) {
		all := counts(s)
		for value, n := range all {
			emit(float64(n), value)
		}
		for _, value := range known {
			if _, counted := all[value]; !counted {
				emit(0, value)
			}
		}
	}}
}

// Bool is a condition as a figure.
func Bool(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// Table adds metrics whose values are read, all from one snapshot, when /metrics is asked for. snapshot may be called
// from several goroutines.
func Table[S any](r *Registry, snapshot func() S, rows []Row[S]) {
	t := &table[S]{snapshot: snapshot, rows: rows}
	all := make([]Description, len(rows))
	for i, row := range rows {
		all[i] = Description{Name: row.Name, Kind: row.Kind, Labels: row.Labels, Help: row.Help}
		t.descs = append(t.descs, prometheus.NewDesc(row.Name, row.Help, row.Labels, nil))
	}
	r.register(t, all...)
}

type table[S any] struct {
	snapshot func() S
	rows     []Row[S]
	descs    []*prometheus.Desc
}

// Describe implements prometheus.Collector.
func (t *table[S]) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range t.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (t *table[S]) Collect(ch chan<- prometheus.Metric) {
	s := t.snapshot()
	for i, row := range t.rows {
		kind := prometheus.GaugeValue
		if row.Kind == Counter {
			kind = prometheus.CounterValue
		}
		row.Values(&s, func(value float64, labels ...string) {
			m, err := prometheus.NewConstMetric(t.descs[i], kind, value, labels...)
			if err != nil {
				m = prometheus.NewInvalidMetric(t.descs[i], err)
			}
			ch <- m
		})
	}
}
