package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/teloo/realtime-gateway/deploy/e2e/hostile/attack"
)

// line is one figure of a report, with what it may be.
type line struct {
	what, figure, bound string
	ok                  bool
}

// report is what a scenario found.
type report struct {
	scenario string
	lines    []line
	// attacks are what the attackers did; nil: the scenario has none of these.
	attacks attack.Counts
}

// notef adds a figure that has no bound.
func (r *report) notef(what, format string, args ...any) {
	r.lines = append(r.lines, line{what: what, figure: fmt.Sprintf(format, args...), ok: true})
}

// checkf adds a figure that has one.
func (r *report) checkf(ok bool, what, bound, format string, args ...any) {
	r.lines = append(r.lines, line{what: what, figure: fmt.Sprintf(format, args...), bound: bound, ok: ok})
}

func (r *report) failed() bool {
	for _, l := range r.lines {
		if !l.ok {
			return true
		}
	}
	return false
}

// tally adds what the good clients had: nothing may be missing.
func (r *report) tally(when string, t tally) {
	r.notef("latency "+when+" p50, p99, max", "%v, %v, %v of %d deliveries", ms(t.latency.Quantile(0.5)), ms(t.latency.Quantile(0.99)),
		ms(t.latency.Max()), t.latency.Count())
	r.checkf(t.latency.Count() > 0, "events received "+when, "some", "%d", t.latency.Count())
	r.checkf(t.lost == 0 && t.repeated == 0, "lost, repeated "+when, "0, 0", "%d, %d", t.lost, t.repeated)
	r.checkf(t.closed == 0, "good clients disconnected "+when, "0", "%d", t.closed)
}

func ms(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// show prints the reports as tables.
func show(out io.Writer, reports []*report) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "scenario\tfigure\tis\tmay be\t")
	for _, r := range reports {
		for _, l := range r.lines {
			verdict := ""
			switch {
			case !l.ok:
				verdict = "FAILED"
			case l.bound != "":
				verdict = "ok"
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", r.scenario, l.what, l.figure, l.bound, verdict)
		}
	}
	_ = t.Flush()
	for _, r := range reports {
		if r.attacks != nil {
			printAttacks(out, r.attacks)
		}
	}
}

func printAttacks(out io.Writer, counts attack.Counts) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\nattack\t")
	for _, o := range attack.Outcomes() {
		fmt.Fprintf(t, "%s\t", o)
	}
	fmt.Fprintln(t)
	for _, kind := range counts.Kinds() {
		fmt.Fprintf(t, "%s\t", kind)
		for _, o := range attack.Outcomes() {
			fmt.Fprintf(t, "%d\t", counts[kind][o])
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush()
}
