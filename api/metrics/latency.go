package metrics

import (
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// nativeFactor is by how much a native histogram's buckets grow at most: quantiles are at most half of that wrong.
const nativeFactor = 1.1

// durationBuckets are the classic histograms' bounds, in seconds.
var durationBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120}

func durations(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
	}
}

// Duration is a histogram of durations. Observing is safe for concurrent use and allocates nothing, but for an exemplar
// a second.
type Duration struct {
	histogram prometheus.Histogram
	exemplar  sync.Mutex
	next      time.Time // exemplar
}

// NewDuration adds a histogram of durations.
func NewDuration(r *Registry, name, help string) *Duration {
	d := &Duration{histogram: prometheus.NewHistogram(durations(name, help, durationBuckets))}
	r.register(d.histogram, Description{Name: name, Kind: Histogram, Help: help})
	return d
}

// Observe notes one; a negative one, which only clocks that disagree can make, counts as none at all.
func (d *Duration) Observe(took time.Duration) { d.histogram.Observe(max(took, 0).Seconds()) }

// exemplarEvery is how often at most an observation is kept with the name of what was observed.
const exemplarEvery = time.Second

// ObserveOf notes one and, for the first in a second, of which event it was: label and value, of at most 128 characters.
func (d *Duration) ObserveOf(took time.Duration, label string, value func() string) {
	if !d.wantsExemplar(time.Now()) {
		d.Observe(took)
		return
	}
	if o, ok := d.histogram.(prometheus.ExemplarObserver); ok {
		o.ObserveWithExemplar(max(took, 0).Seconds(), prometheus.Labels{label: value()})
	}
}

func (d *Duration) wantsExemplar(now time.Time) bool {
	if !d.exemplar.TryLock() {
		return false
	}
	defer d.exemplar.Unlock()
	if now.Before(d.next) {
		return false
	}
	d.next = now.Add(exemplarEvery)
	return true
}

// Snapshot is what a Duration held at a moment.
type Snapshot struct {
	Count   uint64
	zero    uint64
	buckets map[int32]int64 // of the native histogram, by index
	schema  int32
}

// Snapshot reads the histogram; it is for a few times a second.
func (d *Duration) Snapshot() Snapshot {
	var m dto.Metric
	if err := d.histogram.Write(&m); err != nil {
		return Snapshot{} // a histogram can be written
	}
	h := m.GetHistogram()
	s := Snapshot{Count: h.GetSampleCount(), zero: h.GetZeroCount(), schema: h.GetSchema(), buckets: map[int32]int64{}}
	var index int32
	var count int64
	deltas := h.GetPositiveDelta()
	for _, span := range h.GetPositiveSpan() {
		index += span.GetOffset()
		for range span.GetLength() {
			count += deltas[0]
			deltas = deltas[1:]
			s.buckets[index] = count
			index++
		}
	}
	return s
}

// Since is what came after an earlier snapshot of the same histogram; all, if that was reset or made coarser between.
func (s Snapshot) Since(earlier Snapshot) Snapshot {
	if earlier.Count > s.Count || earlier.schema != s.schema {
		return s
	}
	diff := Snapshot{Count: s.Count - earlier.Count, zero: s.zero - earlier.zero, schema: s.schema, buckets: map[int32]int64{}}
	for index, count := range s.buckets {
		if count -= earlier.buckets[index]; count > 0 {
			diff.buckets[index] = count
		}
	}
	return diff
}

// Quantile is the duration below which the part q, 0 to 1, of the observations lies, within about 5 %; 0 without any.
func (s Snapshot) Quantile(q float64) time.Duration {
	if s.Count == 0 {
		return 0
	}
	rank := uint64(math.Ceil(q * float64(s.Count)))
	seen := s.zero
	if seen >= rank && seen > 0 {
		return 0
	}
	var last int32
	for _, index := range slices.Sorted(maps.Keys(s.buckets)) {
		last = index
		if seen += uint64(s.buckets[index]); seen >= rank {
			break
		}
	}
	// The middle of the bucket, whose bounds are powers of the base.
	base := math.Exp2(math.Exp2(-float64(s.schema)))
	seconds := math.Pow(base, float64(last)-0.5)
	return time.Duration(seconds * float64(time.Second))
}
