package streams

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// deadEntry is the entry's way to the dead letters: its original fields and what became of it.
func (c *Consumer) deadEntry(d delivery, why *RejectError) *entry {
	now := time.Now()
	pairs, before, dropped, size := originalPairs(d.pairs)
	cut := cutToFit(pairs, maxDeadBytes)
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
	if before != "" {
		pairs = append(pairs, fieldReplayedFrom, truncate(before, maxIDBytes))
	}
	if dropped > 0 {
		pairs = append(pairs, "dead_dropped_fields", strconv.Itoa(dropped))
	}
	if cut {
		pairs = append(pairs, "dead_truncated", strconv.Itoa(size))
	}
	e := &entry{id: d.id, at: d.at, reason: why.Reason}
	e.args = make([]string, 0, 5+len(pairs))
	e.args = append(e.args, d.id, "d", "0", "0", strconv.Itoa(len(pairs)))
	e.args = append(e.args, pairs...)
	return e.seal(now)
}

// originalPairs copies an entry's own fields, with room for ours. before is the dead letter that it was, if it is a
// replay: apart, so that a letter that fits once always does. size is what the fields have in bytes, the dropped ones too.
func originalPairs(from []string) (pairs []string, before string, dropped, size int) {
	pairs = make([]string, 0, len(from)+18)
	for i := 0; i+1 < len(from); i += 2 {
		if from[i] == fieldReplayedFrom {
			before = from[i+1]
			continue
		}
		// A dead letter that was written again unchanged must not carry two deaths.
		if strings.HasPrefix(from[i], "dead_") {
			continue
		}
		size += len(from[i]) + len(from[i+1])
		if len(pairs) >= 2*maxDeadPairs {
			dropped++
			continue
		}
		pairs = append(pairs, from[i], from[i+1])
	}
	return pairs, before, dropped, size
}

// cutToFit cuts the longest texts to one length, so that all have at most that many bytes together and the short ones
// stay whole; it tells whether it had to.
func cutToFit(texts []string, most int) bool {
	lengths := make([]int, len(texts))
	total := 0
	for i, s := range texts {
		lengths[i] = len(s)
		total += len(s)
	}
	if total <= most {
		return false
	}
	slices.Sort(lengths)
	left := most
	for i, n := range lengths {
		share := left / (len(lengths) - i)
		if n > share {
			for j := range texts {
				texts[j] = truncate(texts[j], share)
			}
			break
		}
		left -= n
	}
	return true
}

func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n]
}
