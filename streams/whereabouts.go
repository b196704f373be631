package streams

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	lookChunk = 500
	// mostLooked is how many entries of one stream are looked at.
	mostLooked = 100_000
	// mostDead is how many dead letters of one event are returned.
	mostDead = 16
)

// Where an event of the event stream is in its group.
const (
	PlaceUnread  = "unread"  // no node has read it
	PlacePending = "pending" // a node has read it and not settled it
	PlaceSettled = "settled" // it was settled, and is about to be trimmed
)

// Whereabouts looks for single events in the event stream and among the dead letters. It changes nothing, and is safe for
// concurrent use.
type Whereabouts struct {
	rdb   redis.UniversalClient
	keys  keys
	group string
}

// NewWhereabouts looks where a Consumer with this configuration works. It does not own rdb.
func NewWhereabouts(cfg Config, rdb redis.UniversalClient) *Whereabouts {
	return &Whereabouts{rdb: rdb, keys: newKeys(cfg.Prefix), group: cfg.Group}
}

// Quest is an event that is looked for: by its id in the event stream, or by the publisher's where that is not given.
type Quest struct{ ID, EventID string }

// Looked says where was looked: at how many entries, between which ids; empty: there was none. Ended says that it was
// given up before the end.
type Looked struct {
	Entries        int
	Oldest, Newest string
	Ended          bool
}

// Waiting is an event in the event stream.
type Waiting struct {
	ID    string
	Place string
	// Event is what the entry says; Fault is why that would be a dead letter.
	Event Event
	Fault error
	// Holder is the identity of the node that has a pending one, Idle for how long, Deliveries how often it was delivered.
	Holder     string
	Idle       time.Duration
	Deliveries int64
}

// Death is a dead letter.
type Death struct {
	ID, Reason, Detail, Source, Node string
	Deliveries                       int64
	// At is when it died; zero if that cannot be read.
	At                                       time.Time
	Name, EventID, TraceParent, ReplayedFrom string
	OccurredAt                               time.Time
}

// SourceOf returns the stream id of the event that was relayed with this event_id; "" if that is not remembered.
func (w *Whereabouts) SourceOf(ctx context.Context, eventID string) (string, error) {
	sum := sha256.Sum256([]byte(eventID))
	id, err := w.rdb.Get(ctx, w.keys.seen+hex.EncodeToString(sum[:16])).Result()
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking up an event_id: %w", err)
	}
	return id, nil
}

// Waiting returns the newest event of the event stream that is the one, nil if none is.
func (w *Whereabouts) Waiting(ctx context.Context, q Quest) (*Waiting, Looked, error) {
	var found *delivery
	looked, err := w.look(ctx, w.keys.events, q.ID, func(d *delivery) bool {
		if d.id != q.ID && (q.EventID == "" || eventIDOf(d.pairs) != q.EventID) {
			return true
		}
		found = d
		return false
	})
	if err != nil || found == nil {
		return nil, looked, err
	}
	one := &Waiting{ID: found.id}
	ev, _, rejected := parsePairs(found.id, found.pairs)
	if one.Event = ev; rejected != nil {
		one.Fault = rejected
	}
	return one, looked, w.place(ctx, one, found.at)
}

// place fills in where the group has the event.
func (w *Whereabouts) place(ctx context.Context, one *Waiting, at streamID) error {
	pending, err := w.rdb.XPendingExt(ctx, &redis.XPendingExtArgs{
		Stream: w.keys.events, Group: w.group, Start: one.ID, End: one.ID, Count: 1,
	}).Result()
	switch {
	case isNoGroup(err):
		one.Place = PlaceUnread
		return nil
	case err != nil:
		return fmt.Errorf("looking at what is pending: %w", err)
	case len(pending) > 0:
		p := pending[0]
		one.Place, one.Holder, one.Idle, one.Deliveries = PlacePending, p.Consumer, p.Idle, p.RetryCount%solitaryMark
		return nil
	}
	groups, err := w.rdb.XInfoGroups(ctx, w.keys.events).Result()
	if err != nil {
		return fmt.Errorf("looking at the group: %w", err)
	}
	one.Place = PlaceUnread
	for _, g := range groups {
		if last, ok := parseStreamID(g.LastDeliveredID); g.Name == w.group && ok && at.compare(last) <= 0 {
			one.Place = PlaceSettled
		}
	}
	return nil
}

// Dead returns the dead letters of the event, the newest first; q.ID may be a dead letter's own id, too.
func (w *Whereabouts) Dead(ctx context.Context, q Quest) ([]Death, Looked, error) {
	var found []Death
	looked, err := w.look(ctx, w.keys.dead, "", func(d *delivery) bool {
		if one := deathOf(d); q.ID != "" && (d.id == q.ID || one.Source == q.ID) || q.EventID != "" && one.EventID == q.EventID {
			found = append(found, one)
		}
		return len(found) < mostDead
	})
	return found, looked, err
}

// look calls each for the entries of a stream, the newest first, or for the one with that id, until it returns false, ctx
// ends or mostLooked were seen.
func (w *Whereabouts) look(ctx context.Context, stream, id string, each func(*delivery) bool) (Looked, error) {
	var s Looked
	from, to := "+", "-"
	if id != "" {
		from, to = id, id
	}
	for s.Entries < mostLooked {
		if ctx.Err() != nil {
			break
		}
		reply, err := w.rdb.Do(ctx, "XREVRANGE", stream, from, to, "COUNT", lookChunk).Slice()
		if errors.Is(err, redis.Nil) {
			return s, nil
		}
		if err != nil {
			return s, fmt.Errorf("searching %s: %w", stream, err)
		}
		chunk, err := decodeDeliveries(reply)
		if err != nil {
			return s, err
		}
		for i := range chunk {
			s.Entries++
			if s.Newest == "" {
				s.Newest = chunk[i].id
			}
			if s.Oldest = chunk[i].id; !each(&chunk[i]) {
				return s, nil
			}
		}
		if len(chunk) < lookChunk {
			return s, nil
		}
		from = "(" + s.Oldest
	}
	s.Ended = true
	return s, nil //nolint:nilerr // that it was given up is told
}

// eventIDOf is an entry's event_id, of either form; "" if it has none.
func eventIDOf(pairs []string) string { return formOf(pairs).eventID }

// clues are what is read of an entry although it may be faulty.
type clues struct{ name, eventID, traceParent, occurred string }

func formOf(pairs []string) clues {
	var f form
	_ = f.fill(pairs) // what is read of a faulty one is enough
	if f.payload != nil {
		f = form{payload: f.payload}
		_ = f.unpack(*f.payload)
	}
	var c clues
	for into, from := range map[*string]*string{
		&c.name: f.event, &c.eventID: f.eventID, &c.traceParent: f.traceParent, &c.occurred: f.occurredAt,
	} {
		if from != nil {
			*into = *from
		}
	}
	return c
}

func deathOf(d *delivery) Death {
	own := make([]string, 0, len(d.pairs))
	one := Death{ID: d.id}
	for i := 0; i+1 < len(d.pairs); i += 2 {
		switch value := d.pairs[i+1]; d.pairs[i] {
		case "dead_reason":
			one.Reason = value
		case "dead_detail":
			one.Detail = value
		case "dead_source_id":
			one.Source = value
		case "dead_node":
			one.Node = value
		case "dead_deliveries":
			one.Deliveries, _ = strconv.ParseInt(value, 10, 64)
		case "dead_at":
			one.At, _ = time.Parse(time.RFC3339Nano, value)
		case "replayed_from":
			one.ReplayedFrom = value
		default:
			own = append(own, d.pairs[i], value)
		}
	}
	c := formOf(own)
	one.Name, one.EventID, one.TraceParent = c.name, c.eventID, c.traceParent
	one.OccurredAt, _ = time.Parse(time.RFC3339Nano, c.occurred)
	return one
}
