package main

import (
	"fmt"
	"slices"
)

// receipt is one event as a client received it.
type receipt struct {
	n    int   // the event's number
	kind int   // its kind, as the client saw it
	at   int64 // unix ms
}

// span is a stretch of numbers, both ends excluded, in which a client was told that it may have missed events.
type span struct{ after, before int }

// tally is what a comparison found.
type tally struct {
	delivered    int // receipts of events that were due, each once
	lost         int // due and never received
	silent       int // those of the lost that no notice covers
	repeated     int
	reordered    int
	misdelivered int // not this client's, or not as written
	remarks      []string
}

// maxRemarks bounds the examples of one client.
const maxRemarks = 3

// book is what a client's ledger should hold.
type book struct {
	want    []int // numbers of the events due, ascending
	kinds   []int // of every event written, by number
	notices []span
	excused func(n int) bool // events that the fault itself took away; nil: none
}

// compare judges one client's ledger.
func (b book) compare(got []receipt) tally {
	var t tally
	due := make(map[int]bool, len(b.want))
	for _, n := range b.want {
		due[n] = true
	}
	seen := make(map[int]bool, len(got))
	newest := -1
	for _, r := range got {
		switch {
		case !due[r.n] || b.kinds[r.n] != r.kind:
			t.misdelivered++
			t.remarkf("%d received but not due", r.n)
		case seen[r.n]:
			t.repeated++
			t.remarkf("%d received again after %d", r.n, newest)
		default:
			seen[r.n] = true
			t.delivered++
			if r.n < newest {
				t.reordered++
				t.remarkf("%d received after %d", r.n, newest)
			}
			newest = max(newest, r.n)
		}
	}
	for _, n := range b.want {
		if !seen[n] {
			t.missing(n, b.covered(n))
		}
	}
	return t
}

func (t *tally) missing(n int, covered bool) {
	t.lost++
	if !covered {
		t.silent++
		t.remarkf("%d never received", n)
	}
}

func (b book) covered(n int) bool {
	if b.excused != nil && b.excused(n) {
		return true
	}
	return slices.ContainsFunc(b.notices, func(s span) bool { return n > s.after && n < s.before })
}

func (t *tally) remarkf(format string, args ...any) {
	if len(t.remarks) < maxRemarks {
		t.remarks = append(t.remarks, fmt.Sprintf(format, args...))
	}
}

func (t *tally) add(other tally) {
	t.delivered += other.delivered
	t.lost += other.lost
	t.silent += other.silent
	t.repeated += other.repeated
	t.reordered += other.reordered
	t.misdelivered += other.misdelivered
}
