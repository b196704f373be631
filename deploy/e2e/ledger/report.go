package main

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
)

// table prints all runs, and below it what failed in which.
func table(out io.Writer, results []*result) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "fault\trun\tclients\tevents\tdeliveries\tlost\trepeated\treordered\tmisdelivered\tserved again (ms)\treconnects\trecovered (%)\t\t")
	for _, r := range results {
		verdict := "ok"
		if len(r.failures) > 0 {
			verdict = "FAILED"
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%s\t%s\t\n", r.fault, r.run, r.clients, r.events,
			r.total.delivered, r.total.lost, r.total.repeated, r.total.reordered, r.total.misdelivered,
			r.servedText(), r.reconnects, r.recoveredText(), verdict)
	}
	_ = t.Flush()
	for _, r := range results {
		details(out, r)
	}
}

func (r *result) servedText() string {
	if r.served < 0 {
		return "never"
	}
	return strconv.FormatInt(r.served, 10)
}

// recoveredText is a dash where nobody had to reconnect.
func (r *result) recoveredText() string {
	if r.reconnects == 0 {
		return "-"
	}
	// Cut, not rounded: 100 means all.
	return strconv.FormatFloat(float64(r.recovered*1000/r.reconnects)/10, 'f', -1, 64)
}

func details(out io.Writer, r *result) {
	if len(r.failures)+len(r.notes) == 0 {
		return
	}
	fmt.Fprintf(out, "\n%s, run %d:\n", r.fault, r.run)
	for _, note := range r.notes[:min(len(r.notes), maxFailures)] {
		fmt.Fprintf(out, "  %s\n", note)
	}
	for _, failure := range r.failures[:min(len(r.failures), maxFailures)] {
		fmt.Fprintf(out, "  FAILED: %s\n", failure)
	}
	if more := len(r.failures) - maxFailures; more > 0 {
		fmt.Fprintf(out, "  and %d more\n", more)
	}
	if r.dir != "" {
		fmt.Fprintf(out, "  logs in %s\n", r.dir)
	}
}
