package streams

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
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
	keys    []string // what the commit script takes as this entry's KEYS
	args    []string // and as its ARGV
	size    int      // bytes of keys and args
	reason  string   // of the dead letter; empty: goes to the log
	renewed time.Time
}

// seal computes what only depends on the arguments.
func (e *entry) seal(now time.Time) *entry {
	for _, s := range e.keys {
		e.size += len(s)
	}
	for _, s := range e.args {
		e.size += len(s)
	}
	e.renewed = now
	return e
}

// logEntry is the entry's way to the log. relay was checked.
func (c *Consumer) logEntry(d delivery, eventID string, relay Relay) *entry {
	e := &entry{id: d.id, at: d.at}
	hasSeen := "0"
	if eventID != "" {
		hasSeen = "1"
		sum := sha256.Sum256([]byte(eventID))
		e.keys = append(e.keys, c.keys.seen+hex.EncodeToString(sum[:16]))
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

// deadEntry is the entry's way to the dead letters: its original fields and what became of it.
func (c *Consumer) deadEntry(d delivery, why *RejectError) *entry {
	now := time.Now()
	pairs := make([]string, 0, len(d.pairs)+14)
	dropped := 0
	for i := 0; i+1 < len(d.pairs); i += 2 {
		// A dead letter that was written again unchanged must not carry two deaths.
		if strings.HasPrefix(d.pairs[i], "dead_") {
			continue
		}
		if len(pairs) >= 2*maxDeadPairs {
			dropped++
			continue
		}
		pairs = append(pairs, d.pairs[i], d.pairs[i+1])
	}
	pairs = append(pairs,
		"dead_reason", why.Reason,
		"dead_source_id", d.id,
		"dead_node", c.cfg.Consumer,
		"dead_deliveries", strconv.FormatInt(d.number%solitaryMark, 10),
		"dead_at", now.UTC().Format(time.RFC3339Nano),
	)
	if why.Err != nil {
		pairs = append(pairs, "dead_detail", strings.ToValidUTF8(truncate(why.Err.Error(), maxDetailSize), ""))
	}
	if dropped > 0 {
		pairs = append(pairs, "dead_dropped_fields", strconv.Itoa(dropped))
	}
	e := &entry{id: d.id, at: d.at, reason: why.Reason}
	e.args = make([]string, 0, 5+len(pairs))
	e.args = append(e.args, d.id, "d", "0", "0", strconv.Itoa(len(pairs)))
	e.args = append(e.args, pairs...)
	return e.seal(now)
}

func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n]
}
