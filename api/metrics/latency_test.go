package metrics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
)

func written(t testing.TB, m prometheus.Metric) *dto.Histogram {
	t.Helper()
	var out dto.Metric
	require.NoError(t, m.Write(&out))
	return out.GetHistogram()
}

// TestDurationIsAsTheLibrarysHistogram: the same observations give the same buckets, classic and native.
func TestDurationIsAsTheLibrarysHistogram(t *testing.T) {
	d := NewDuration(New(), "teloo_x_seconds", "X")
	var bounds []float64
	for power := classicFrom; power < highestPow; power++ {
		bounds = append(bounds, math.Exp2(float64(power)))
	}
	theirs := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "x", Help: "theirs", Buckets: bounds, NativeHistogramBucketFactor: 1.1, NativeHistogramZeroThreshold: math.Exp2(lowestPower),
	})
	random := rand.New(rand.NewPCG(1, 2))
	observe := func(took time.Duration) {
		d.Observe(took)
		theirs.Observe(took.Seconds())
	}
	observe(0)
	for power := lowestPower; power < highestPow; power++ { // on the bounds
		observe(time.Duration(math.Exp2(float64(power)) * float64(time.Second)))
	}
	for range 10_000 {
		observe(time.Duration(math.Exp2(random.Float64()*22-14) * float64(time.Second)))
	}
	got, want := written(t, d), written(t, theirs)
	require.Equal(t, want.GetSampleCount(), got.GetSampleCount())
	require.InDelta(t, want.GetSampleSum(), got.GetSampleSum(), 0.001)
	require.Equal(t, want.GetSchema(), got.GetSchema())
	require.Equal(t, want.GetZeroThreshold(), got.GetZeroThreshold()) //nolint:testifylint // the very number
	require.Equal(t, want.GetZeroCount(), got.GetZeroCount())
	require.Equal(t, unfolded(want), unfolded(got))
	require.Equal(t, want.GetBucket(), got.GetBucket())
}

// unfolded are the native buckets by index.
func unfolded(h *dto.Histogram) map[int32]int64 {
	all := map[int32]int64{}
	var index int32
	var count int64
	deltas := h.GetPositiveDelta()
	for _, span := range h.GetPositiveSpan() {
		index += span.GetOffset()
		for range span.GetLength() {
			count += deltas[0]
			deltas = deltas[1:]
			if count > 0 {
				all[index] = count
			}
			index++
		}
	}
	return all
}

func TestDurationOutsideOfItsRange(t *testing.T) {
	d := NewDuration(New(), "teloo_x_seconds", "X")
	d.Observe(-time.Second)
	d.Observe(time.Hour)
	h := written(t, d)
	require.EqualValues(t, 2, h.GetSampleCount())
	require.EqualValues(t, 1, h.GetZeroCount())
	require.Equal(t, map[int32]int64{highestPow * perPower: 1}, unfolded(h))
	require.EqualValues(t, 1, h.GetBucket()[len(h.GetBucket())-1].GetCumulativeCount())
	require.InDelta(t, 3600, h.GetSampleSum(), 0.001)
}

func TestQuantiles(t *testing.T) {
	d := NewDuration(New(), "teloo_x_seconds", "X")
	require.Zero(t, d.Snapshot().Quantile(0.99))
	d.Observe(time.Minute)
	before := d.Snapshot()
	random := rand.New(rand.NewPCG(1, 2))
	all := make([]time.Duration, 5000)
	for i := range all {
		all[i] = time.Duration(random.ExpFloat64() * float64(20*time.Millisecond))
		d.Observe(all[i])
	}
	slices.Sort(all)
	since := d.Snapshot().Since(before)
	require.EqualValues(t, len(all), since.Count)
	for _, q := range []float64{0.1, 0.5, 0.9, 0.99, 1} {
		want := all[int(math.Ceil(q*float64(len(all))))-1]
		require.InEpsilon(t, want.Seconds(), since.Quantile(q).Seconds(), 0.05, q)
	}
}

func TestExemplars(t *testing.T) {
	d := NewDuration(New(), "teloo_x_seconds", "X")
	now := time.Hour
	asked := 0
	name := func() string { asked++; return "7-1" }
	for i := range 10 {
		d.ObserveOf(now+time.Duration(i)*100*time.Millisecond, 300*time.Millisecond, "event", name)
	}
	require.Equal(t, 1, asked, "once in a second")
	d.ObserveOf(now+time.Second, time.Hour, "event", name)
	require.Equal(t, 2, asked)
	h := written(t, d)
	require.Equal(t, "7-1", h.GetExemplars()[0].GetLabel()[0].GetValue())
	for _, b := range h.GetBucket() {
		require.Nil(t, b.GetExemplar(), "it is longer than any bucket")
	}
	d.ObserveOf(now+2*time.Second, 300*time.Millisecond, "event", name)
	for _, b := range written(t, d).GetBucket() {
		require.Equal(t, b.GetUpperBound() == 0.5, b.GetExemplar() != nil)
	}
}

func TestObservingAllocatesNothing(t *testing.T) {
	d := NewDuration(New(), "teloo_x_seconds", "X")
	const now = time.Hour
	d.ObserveOf(now, time.Second, "event", func() string { return "7-1" })
	require.Zero(t, testing.AllocsPerRun(100, func() { d.ObserveOf(now, time.Second, "event", nil) }))
}

// BenchmarkDuration compares an observation with one of the library's histograms.
func BenchmarkDuration(b *testing.B) {
	d := NewDuration(New(), "teloo_x_seconds", "X")
	theirs := prometheus.NewHistogram(durations("x", "X", redisBuckets))
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			d.Observe(5 * time.Millisecond)
		}
	})
	b.Run("library", func(b *testing.B) {
		for b.Loop() {
			theirs.Observe((5 * time.Millisecond).Seconds())
		}
	})
	b.Run("clock", func(b *testing.B) {
		for b.Loop() {
			_ = time.Now()
		}
	})
}
