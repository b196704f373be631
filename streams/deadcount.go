package streams

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Tally is how many dead letters have one reason.
type Tally struct {
	Reason string
	Count  int
	// Cut is how many of them are not whole, and so cannot be replayed.
	Cut            int
	Oldest, Newest time.Time
}

// Count returns the tallies of the letters that f chooses, the largest first; beyond 64 reasons the rest is "other". It
// reads each letter, so do not poll it; Len is for that.
func (d *DeadLetters) Count(ctx context.Context, f Filter) ([]Tally, error) {
	f.Newest = false
	byReason := make(map[string]*Tally)
	err := d.walk(ctx, f, func(l Letter) (bool, error) {
		reason := l.Reason
		t, known := byReason[reason]
		if !known && len(byReason) >= maxReasons {
			reason = "other"
			t, known = byReason[reason]
		}
		if !known {
			t = &Tally{Reason: reason, Oldest: l.At}
			byReason[reason] = t
		}
		t.Count++
		if !l.Whole() {
			t.Cut++
		}
		t.Newest = l.At
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	tallies := make([]Tally, 0, len(byReason))
	for _, t := range byReason {
		tallies = append(tallies, *t)
	}
	slices.SortFunc(tallies, func(a, b Tally) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	return tallies, nil
}
