package load

import (
	"math/bits"
	"time"
)

// Resolution of a Histogram: each power of two of microseconds has 64 steps, so a value is off by 1.6 % at most.
const (
	subBits = 6
	buckets = (41 - subBits) << subBits // up to 2^40 µs
)

// Histogram counts durations in steps that grow with them, as an HDR histogram does. The zero value is ready. It is not
// safe for concurrent use.
type Histogram struct {
	counts [buckets]uint64
	total  uint64
	max    time.Duration
	sum    time.Duration
}

// Record counts d; a negative one is 0.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(uint64(d/time.Microsecond))]++
	h.total++
	h.sum += d
	h.max = max(h.max, d)
}

// Add counts what other has counted.
func (h *Histogram) Add(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.sum += other.sum
	h.max = max(h.max, other.max)
}

// Count is the number of durations.
func (h *Histogram) Count() uint64 { return h.total }

// Max is the longest duration, exactly.
func (h *Histogram) Max() time.Duration { return h.max }

// Mean is the average, 0 of none.
func (h *Histogram) Mean() time.Duration {
	if h.total == 0 {
		return 0
	}
	return h.sum / time.Duration(h.total)
}

// Quantile is the duration that the share q (0 to 1) of all does not exceed; 0 if there is none.
func (h *Histogram) Quantile(q float64) time.Duration {
	want := max(uint64(q*float64(h.total)+0.5), 1)
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen >= want && n > 0 {
			return min(upperEdge(i), h.max)
		}
	}
	return h.max
}

// Each calls f with the upper edge and the count of each step that is not empty.
func (h *Histogram) Each(f func(upTo time.Duration, n uint64)) {
	for i, n := range h.counts {
		if n > 0 {
			f(upperEdge(i), n)
		}
	}
}

func bucketOf(us uint64) int {
	if us < 1<<subBits {
		return int(us)
	}
	shift := bits.Len64(us) - subBits - 1
	return min((shift+1)<<subBits+int(us>>shift)-1<<subBits, buckets-1)
}

func upperEdge(bucket int) time.Duration {
	if bucket < 1<<subBits {
		return time.Duration(bucket) * time.Microsecond
	}
	shift := bucket>>subBits - 1
	lower := uint64(1<<subBits+bucket&(1<<subBits-1)) << shift
	return time.Duration(lower+1<<shift-1) * time.Microsecond
}
