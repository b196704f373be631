package streams

import (
	"cmp"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// solitaryMark is added to an entry's delivery count in the pending list while it is handled alone, so that whoever
	// claims it afterwards knows that the handling did not end.
	solitaryMark = 1_000_000
	// mostMarks make an entry poison: one alone can be left by a node that ended for a reason of its own.
	mostMarks = 2
)

// Bounds of a dead letter and of a log entry, in field/value pairs: Lua unpacks a few thousand values at most.
const (
	maxDeadPairs  = 1000
	maxDeadBytes  = 1 << 20 // of the original fields
	maxLogPairs   = 64
	maxGrants     = 64
	maxDetailSize = 256
)

// streamID is a stream entry's id.
type streamID struct{ ms, seq uint64 }

func parseStreamID(s string) (streamID, bool) {
	ms, seq, found := strings.Cut(s, "-")
	if !found {
		return streamID{}, false
	}
	m, err := strconv.ParseUint(ms, 10, 64)
	if err != nil {
		return streamID{}, false
	}
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil {
		return streamID{}, false
	}
	return streamID{m, n}, true
}

// String returns the id in Redis' form.
func (a streamID) String() string {
	return strconv.FormatUint(a.ms, 10) + "-" + strconv.FormatUint(a.seq, 10)
}

func (a streamID) compare(b streamID) int {
	if a.ms != b.ms {
		return cmp.Compare(a.ms, b.ms)
	}
	return cmp.Compare(a.seq, b.seq)
}

// delivery is an entry as Redis delivered it.
type delivery struct {
	id     string
	at     streamID
	pairs  []string // field, value, …
	number int64    // how often it was delivered, this time included
}

// entry is a handled delivery that waits for its turn to be committed. Only renewed changes after it was made; the
// commit loop owns that.
type entry struct {
	id      string
	at      streamID
	keys    []string      // what the commit script takes as this entry's KEYS
	args    []string      // and as its ARGV
	size    int           // bytes of keys and args
	reason  string        // of the dead letter; empty: goes to the log
	settled func(Outcome) // nil: nobody wants to know
	renewed time.Time

	kind            uint8     // of what goes to the log
	ready, occurred time.Time // when it was handled; its occurred_at
}

// end tells what became of the entry.
func (e *entry) end(o Outcome) {
	if e.settled != nil {
		e.settled(o)
	}
}

// seal computes what only depends on the arguments.
func (e *entry) seal(now time.Time) *entry {
	for _, s := range e.keys {
		e.size += len(s)
	}
	for _, s := range e.args {
		e.size += len(s)
	}
	e.renewed, e.ready = now, now
	return e
}

// logEntry is the entry's way to the log. relay was checked.
func (c *Consumer) logEntry(d delivery, ev Event, relay Relay) *entry {
	eventID := ev.EventID
	e := &entry{id: d.id, at: d.at, kind: kindOf(ev.Name), occurred: ev.OccurredAt, settled: relay.Settled}
	hasSeen := "0"
	if eventID != "" {
		hasSeen = "1"
		e.keys = append(e.keys, c.keys.seenKey(eventID))
	}
	e.args = make([]string, 0, 7+len(relay.Grants)+len(relay.Log))
	e.args = append(e.args, d.id, "l", hasSeen, strconv.Itoa(len(relay.Grants)))
	for _, g := range relay.Grants {
		e.keys = append(e.keys, c.keys.grants+url.PathEscape(g.Solicitud))
		e.args = append(e.args, g.User)
	}
	e.args = append(e.args, strconv.Itoa(len(relay.Log)+2))
	e.args = append(e.args, relay.Log...)
	e.args = append(e.args, "src", d.id)
	return e.seal(time.Now())
}
