package streams

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Errors of DeadLetters that callers test for.
var (
	// ErrNoLetter means that there is no dead letter with this id (any more).
	ErrNoLetter = errors.New("streams: no such dead letter")
	// ErrSelection is wrapped by errors about a selection or filter that is wrong in itself.
	ErrSelection = errors.New("streams: invalid selection of dead letters")
)

// Letter is one dead letter. It is immutable.
type Letter struct {
	// ID is the dead letter's own, At when Redis took it, by Redis' clock.
	ID string
	At time.Time
	// Reason is one of the Reason constants or a handler's own word; Detail says more, and may be empty.
	Reason, Detail string
	// SourceID is the id that the entry had in the event stream, Node the consumer that gave it up.
	SourceID, Node string
	// Deliveries is how often the entry was delivered to a consumer.
	Deliveries int64
	// Event and EventID are the contract's fields, of either form; empty where they are absent or cannot be read.
	Event, EventID string
	// ReplayedFrom is the id of the dead letter that this one was before it was replayed and died again; empty: none.
	ReplayedFrom string
	// Fields are the entry's own, in their order; a name can occur twice. Size is theirs, in bytes.
	Fields []Field
	Size   int
	// FullSize is what the fields had, in bytes, if they were cut to fit; 0: they are whole.
	FullSize int
	// Dropped is how many fields were too many to be kept.
	Dropped int
}

// Field is one field of an entry.
type Field struct{ Name, Value string }

// Whole tells whether all of the entry was kept. Only a whole letter can be replayed.
func (l Letter) Whole() bool { return l.FullSize == 0 && l.Dropped == 0 }

// Filter chooses dead letters. Its zero value chooses all, the oldest first.
type Filter struct {
	// Reason and Event have to be equal; empty: any.
	Reason, Event string
	// Since (inclusive) and Until (exclusive) bound the time of death, by Redis' clock; zero: unbounded.
	Since, Until time.Time
	// After is the id of the last letter of the page before; empty: from the beginning.
	After string
	// Limit is how many letters at most; 0: no limit, except that List returns 100 then, and never more than 1000.
	Limit int
	// Newest lists the newest first; After then means older than. Replay and Drop always go from the oldest on.
	Newest bool
}

// Selection is what Replay and Drop work on: the letters of IDs if there are any, else those of Filter.
type Selection struct {
	IDs    []string
	Filter Filter
}

// span is the range of ids that a filter can match, both inclusive, as XRANGE takes them.
func (f Filter) span() (from, to string, err error) {
	from, to = "-", "+"
	if !f.Since.IsZero() {
		from = strconv.FormatInt(max(0, ceilMilli(f.Since)), 10)
	}
	if !f.Until.IsZero() {
		last := ceilMilli(f.Until) - 1
		if last < 0 {
			return "", "", nil
		}
		to = strconv.FormatInt(last, 10)
	}
	if f.Limit < 0 {
		return "", "", fmt.Errorf("%w: limit %d is negative", ErrSelection, f.Limit)
	}
	if f.After == "" {
		return from, to, nil
	}
	at, ok := parseStreamID(f.After)
	if !ok {
		return "", "", fmt.Errorf("%w: after %.64q is no id", ErrSelection, f.After)
	}
	if f.Newest {
		if f.Until.IsZero() || at.ms < uint64(ceilMilli(f.Until)) {
			to = "(" + f.After
		}
	} else if f.Since.IsZero() || at.ms >= uint64(max(0, ceilMilli(f.Since))) {
		from = "(" + f.After
	}
	return from, to, nil
}

// ceilMilli is the first whole millisecond that is not before t.
func ceilMilli(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	return ms
}

func (f Filter) matches(l *Letter) bool {
	return (f.Reason == "" || f.Reason == l.Reason) && (f.Event == "" || f.Event == l.Event)
}

// newLetter reads a dead letter. What was not written by a Consumer is read as far as it can be.
func newLetter(d delivery) Letter {
	l := Letter{ID: d.id, At: time.UnixMilli(int64(min(d.at.ms, math.MaxInt64)))}
	for i := 0; i+1 < len(d.pairs); i += 2 {
		name, value := d.pairs[i], d.pairs[i+1]
		switch name {
		case "dead_reason":
			l.Reason = value
		case "dead_detail":
			l.Detail = value
		case "dead_source_id":
			l.SourceID = value
		case "dead_node":
			l.Node = value
		case "dead_deliveries":
			l.Deliveries, _ = strconv.ParseInt(value, 10, 64)
		case "dead_truncated":
			l.FullSize, _ = strconv.Atoi(value)
			l.FullSize = max(l.FullSize, 1) // a mark that cannot be read is a mark
		case "dead_dropped_fields":
			l.Dropped, _ = strconv.Atoi(value)
			l.Dropped = max(l.Dropped, 1)
		case fieldReplayedFrom:
			l.ReplayedFrom = value
		default:
			if strings.HasPrefix(name, "dead_") {
				continue
			}
			l.Fields = append(l.Fields, Field{name, value})
			l.Size += len(name) + len(value)
		}
	}
	l.Event, l.EventID = identify(l.Fields)
	return l
}

// identify finds an event's name and idempotency key.
func identify(fields []Field) (event, eventID string) {
	for _, f := range fields {
		switch f.Name {
		case "event":
			event = f.Value
		case "event_id":
			eventID = f.Value
		case "payload":
			var body struct {
				Event   string `json:"event"`
				EventID string `json:"event_id"`
			}
			// What could be read before a wrong type is kept.
			_ = json.Unmarshal([]byte(f.Value), &body)
			return body.Event, body.EventID
		}
	}
	return event, eventID
}
