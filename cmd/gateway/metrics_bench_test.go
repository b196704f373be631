package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkObserve is what one event costs the observers: at the node that commits it, and at each that delivers it.
func BenchmarkObserve(b *testing.B) {
	o := newInstruments(time.Now())
	began := uint64(time.Now().Add(-5 * time.Millisecond).UnixMilli())
	b.Run("delivered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			o.delivered(began, 1, false)
		}
	})
	b.Run("written", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			o.written(int64(began))
		}
	})
}

// TestObservingAllocatesNothing, but for an exemplar a second.
func TestObservingAllocatesNothing(t *testing.T) {
	o := newInstruments(time.Now())
	began := uint64(time.Now().UnixMilli())
	require.Less(t, testing.AllocsPerRun(1000, func() {
		o.delivered(began, 1, false)
		o.written(int64(began))
	}), 1.0)
}
