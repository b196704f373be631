package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// dump writes what a client saw beside the logs, for whoever looks into a failure.
func (s *scene) dump(c *record, t tally) {
	var text strings.Builder
	fmt.Fprintf(&text, "%+v\n%+v\n", c.person, t)
	at := func(ms int64) string {
		if ms == 0 {
			return "-"
		}
		return time.UnixMilli(ms).UTC().Format("15:04:05.000")
	}
	for _, m := range s.marks {
		fmt.Fprintf(&text, "harm at %s, before event %d\n", at(m.at), m.n)
	}
	from := 0
	for i, one := range c.sessions {
		writeReceipts(&text, c.receipts[from:one.received], at)
		from = one.received
		fmt.Fprintf(&text, "session %d: up %s, ready %s before event %d, down %s (%s) after %d receipts, node %s, user %s, recovered %v\n", i,
			at(one.up), at(one.ready), one.begunReady, at(one.down), one.why, one.ended, one.node, one.user, one.recovered)
	}
	writeReceipts(&text, c.receipts[from:], at)
	fmt.Fprintf(&text, "refused: %q\ntroubles: %q\n", c.refusals, c.troubles)
	// Without it the failure is still reported.
	_ = os.WriteFile(filepath.Join(s.dir, fmt.Sprintf("client-%d.txt", c.person.id)), []byte(text.String()), 0o600)
}

func writeReceipts(text *strings.Builder, receipts []receipt, at func(int64) string) {
	for i, r := range receipts {
		if i == 0 || r.at != receipts[i-1].at {
			fmt.Fprintf(text, "\n%s", at(r.at))
		}
		fmt.Fprintf(text, " %d", r.n)
	}
	fmt.Fprintln(text)
}
