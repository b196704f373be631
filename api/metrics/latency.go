package metrics

import (
	"math"
	"sort"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A duration's buckets are those of a native histogram, eight to each power of two, from 61 µs to 256 s; the classic ones
// are whole powers of two.
const (
	schema      = 3
	perPower    = 1 << schema
	lowestPower = -14
	highestPow  = 8
	lowest      = lowestPower * perPower // the bucket of what is 2^lowestPower seconds or less is this one
	buckets     = (highestPow-lowestPower)*perPower + 1
	classicFrom = -11
)

// fractions are the upper bounds of the buckets between 0.5 and 1.
var fractions = func() (bounds [perPower]float64) {
	for i := range bounds {
		bounds[i] = math.Exp2(float64(i)/perPower - 1)
	}
	return bounds
}()

// bucketOf is the place in a Duration's counts; what is over the range counts as the longest.
func bucketOf(seconds float64) int {
	if seconds <= 0 {
		return 0
	}
	fraction, exponent := math.Frexp(seconds)
	index := sort.SearchFloat64s(fractions[:], fraction) + (exponent-1)*perPower
	return min(max(index-lowest, 0), buckets-1)
}

// Duration is a histogram of durations. The library's own cost several times as much, and an event is observed at each
// node. Observing is safe for concurrent use and allocates nothing, but for an exemplar a second.
type Duration struct {
	desc   *prometheus.Desc
	counts [buckets]atomic.Uint64
	sum    atomic.Int64 // nanoseconds

	exemplar atomic.Pointer[exemplar]
	next     atomic.Int64 // when there may be another, by the caller's clock
}

// exemplar says which event took so long.
type exemplar struct {
	label, value string
	seconds      float64
	at           time.Time
}

var (
	_ prometheus.Metric    = (*Duration)(nil)
	_ prometheus.Collector = (*Duration)(nil)
)

// NewDuration adds a histogram of durations.
func NewDuration(r *Registry, name, help string) *Duration {
	d := &Duration{desc: prometheus.NewDesc(name, help, nil, nil)}
	r.register(d, Description{Name: name, Kind: Histogram, Help: help})
	return d
}

// Observe notes one; a negative one, which only clocks that disagree can make, counts as none at all.
func (d *Duration) Observe(took time.Duration) {
	took = max(took, 0)
	d.counts[bucketOf(took.Seconds())].Add(1)
	d.sum.Add(int64(took))
}

// exemplarEvery is how often at most an observation is kept with the name of what was observed.
const exemplarEvery = time.Second

// ObserveOf notes one and, for the first in a second, of which event it was: a label and its value, of at most 128
// characters together. now is the time by any clock, the same for all calls.
func (d *Duration) ObserveOf(now, took time.Duration, label string, value func() string) {
	d.Observe(took)
	next := d.next.Load()
	if int64(now) < next || !d.next.CompareAndSwap(next, int64(now+exemplarEvery)) {
		return
	}
	d.exemplar.Store(&exemplar{label, value(), max(took, 0).Seconds(), time.Now()})
}

// Describe implements prometheus.Collector.
func (d *Duration) Describe(ch chan<- *prometheus.Desc) { ch <- d.desc }

// Collect implements prometheus.Collector.
func (d *Duration) Collect(ch chan<- prometheus.Metric) { ch <- d }

// Desc implements prometheus.Metric.
func (d *Duration) Desc() *prometheus.Desc { return d.desc }

// Write implements prometheus.Metric. Both forms are made of one reading, so that they agree.
func (d *Duration) Write(m *dto.Metric) error {
	s := d.Snapshot()
	h := &dto.Histogram{
		SampleCount: new(s.Count), SampleSum: new(time.Duration(d.sum.Load()).Seconds()),
		Schema: proto.Int32(schema), ZeroThreshold: new(math.Exp2(lowestPower)), ZeroCount: new(s.counts[0]),
	}
	s.native(h)
	s.classic(h)
	if e := d.exemplar.Load(); e != nil {
		named := &dto.Exemplar{
			Label: []*dto.LabelPair{{Name: new(e.label), Value: new(e.value)}},
			Value: new(e.seconds), Timestamp: timestamppb.New(e.at),
		}
		h.Exemplars = []*dto.Exemplar{named}
		for _, b := range h.GetBucket() {
			if e.seconds <= b.GetUpperBound() {
				b.Exemplar = named
				break
			}
		}
	}
	m.Histogram = h
	return nil
}

// Snapshot is what a Duration held at a moment.
type Snapshot struct {
	Count  uint64
	counts [buckets]uint64
}

// Snapshot reads the histogram.
func (d *Duration) Snapshot() *Snapshot {
	s := &Snapshot{}
	for i := range s.counts {
		s.counts[i] = d.counts[i].Load()
		s.Count += s.counts[i]
	}
	return s
}

// Since is what came after an earlier snapshot of the same histogram.
func (s *Snapshot) Since(earlier *Snapshot) *Snapshot {
	since := *s
	for i, n := range earlier.counts {
		since.counts[i] -= n
	}
	since.Count -= earlier.Count
	return &since
}

// Quantile is the duration below which the part q, 0 to 1, of the observations lies, within 5 %; 0 without any.
func (s *Snapshot) Quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(s.Count)))
	var seen uint64
	for i, n := range s.counts {
		if seen += n; n > 0 && seen >= rank {
			return time.Duration(math.Exp2((float64(lowest+i)-0.5)/perPower) * float64(time.Second))
		}
	}
	return 0
}

// native adds the native buckets: spans of those that are not empty, and how each differs from the one before.
func (s *Snapshot) native(h *dto.Histogram) {
	var before uint64
	next := int32(0)
	for i, n := range s.counts {
		if n == 0 || i == 0 {
			continue
		}
		index := int32(lowest + i)
		if spans := h.GetPositiveSpan(); len(spans) > 0 && index == next {
			last := spans[len(spans)-1]
			last.Length = new(last.GetLength() + 1)
		} else {
			h.PositiveSpan = append(h.PositiveSpan, &dto.BucketSpan{Offset: new(index - next), Length: proto.Uint32(1)})
		}
		h.PositiveDelta = append(h.PositiveDelta, int64(n-before))
		before, next = n, index+1
	}
	if len(h.GetPositiveSpan()) == 0 {
		h.PositiveSpan = []*dto.BucketSpan{{Offset: proto.Int32(0), Length: proto.Uint32(0)}} // else it were no native one
	}
}

// classic adds the cumulative buckets.
func (s *Snapshot) classic(h *dto.Histogram) {
	var seen uint64
	at := 0
	for power := classicFrom; power < highestPow; power++ {
		for ; at <= power*perPower-lowest; at++ {
			seen += s.counts[at]
		}
		h.Bucket = append(h.Bucket, &dto.Bucket{UpperBound: new(math.Exp2(float64(power))), CumulativeCount: new(seen)})
	}
}
