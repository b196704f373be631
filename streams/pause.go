package streams

import (
	"context"
	"math/rand/v2"
	"time"
)

// pause is a growing wait between attempts: it doubles from least to most. It belongs to one goroutine.
type pause struct {
	least, most time.Duration
	next        time.Duration
}

// faultPause paces attempts at a Redis that does not do as it should.
func faultPause() *pause { return &pause{least: 50 * time.Millisecond, most: 2 * time.Second} }

// turnPause paces looks at whether an older entry is still pending elsewhere.
func turnPause() *pause { return &pause{least: time.Millisecond, most: 20 * time.Millisecond} }

func (p *pause) reset() { p.next = 0 }

// wait sleeps, the last quarter of the time at random so that nodes spread out; it reports false when ctx has ended.
func (p *pause) wait(ctx context.Context) bool {
	p.next = min(max(2*p.next, p.least), p.most)
	d := p.next - rand.N(p.next/4+1) //nolint:gosec // spreading needs no secrecy
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
