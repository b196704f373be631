package adapter

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	findChunk = 1000
	// findAhead is how many entries from the moment of its source on an event is looked for at first.
	findAhead = 20 * findChunk
)

// Wanted says which entry of the log is looked for: by the first of these that is given.
type Wanted struct {
	Source, EventID string
	// ReplayedFrom is the id of a dead letter.
	ReplayedFrom string
}

// Found is an entry of the log.
type Found struct {
	ID, Source, EventID, ReplayedFrom, TraceParent string
	// Relay is the identity of the node that put it there.
	Relay string
	// OccurredAt is zero if the entry does not say.
	OccurredAt time.Time
	Event      string
	// Data is the event's first argument.
	Data          json.RawMessage
	Rooms, Except []string
}

// Searched says where in the log was looked: Entries of them, between the ids Oldest and Newest, which are empty if the
// log is. Ended says that the search was given up before its end.
type Searched struct {
	Entries        int
	Oldest, Newest string
	Ended          bool
}

// Find looks for an entry in the log, the newest first; of a source, first where it should be. It returns nil if there is
// none. It reads the log in chunks, LogMaxEntries at most, and stops when ctx ends.
func (c *Cluster) Find(ctx context.Context, w Wanted) (*Found, Searched, error) {
	var s Searched
	if w.Source != "" {
		from := streamID{ms: idOf(w.Source).ms}.String()
		found, err := c.search(ctx, &s, w, "XRANGE", from, "+", findAhead)
		if found != nil || err != nil {
			return found, s, err
		}
		s = Searched{}
	}
	found, err := c.search(ctx, &s, w, "XREVRANGE", "+", "-", int(c.cfg.LogMaxEntries)+findChunk)
	return found, s, err
}

// search reads the log in one direction.
func (c *Cluster) search(ctx context.Context, s *Searched, w Wanted, command, from, to string, most int) (*Found, error) {
	for s.Entries < most {
		if ctx.Err() != nil {
			s.Ended = true
			return nil, nil //nolint:nilerr // that it was given up is told
		}
		cmd := redis.NewCmd(ctx, command, c.logKey, from, to, "COUNT", findChunk)
		cmd.SetFirstKeyPos(1)
		_ = c.redis.Process(ctx, cmd) // the command carries its error
		chunk, err := cmd.Slice()
		if err != nil {
			return nil, fmt.Errorf("searching the log: %w", err)
		}
		for _, item := range chunk {
			pairs, id, err := pairsOf(item)
			if err != nil {
				return nil, err
			}
			s.saw(id, command == "XREVRANGE")
			if w.is(pairs) {
				return foundIn(id, pairs), nil
			}
		}
		if len(chunk) < findChunk {
			return nil, nil
		}
		_, last, _ := pairsOf(chunk[len(chunk)-1])
		from = "(" + last
	}
	return nil, nil
}

func (s *Searched) saw(id string, backwards bool) {
	s.Entries++
	if s.Oldest == "" {
		s.Oldest, s.Newest = id, id
	}
	if backwards {
		s.Oldest = id
	} else {
		s.Newest = id
	}
}

// pairsOf takes an entry of a reply apart.
func pairsOf(item any) (pairs map[string]string, id string, err error) {
	parts, _ := item.([]any)
	if len(parts) != 2 {
		return nil, "", fmt.Errorf("%w: entry: %.100v", errReply, item)
	}
	id, _ = parts[0].(string)
	flat, _ := parts[1].([]any)
	pairs = make(map[string]string, len(flat)/2)
	for i := 0; i+1 < len(flat); i += 2 {
		field, _ := flat[i].(string)
		pairs[field], _ = flat[i+1].(string)
	}
	return pairs, id, nil
}

func (w Wanted) is(pairs map[string]string) bool {
	if pairs[fieldNsp] == "" {
		return false
	}
	switch {
	case w.Source != "":
		return pairs[fieldSrc] == w.Source
	case w.EventID != "":
		return pairs[fieldEventID] == w.EventID
	default:
		return w.ReplayedFrom != "" && pairs[fieldReplayed] == w.ReplayedFrom
	}
}

func foundIn(id string, pairs map[string]string) *Found {
	f := &Found{
		ID: id, Source: pairs[fieldSrc], EventID: pairs[fieldEventID], ReplayedFrom: pairs[fieldReplayed],
		TraceParent: pairs[fieldTrace], Relay: pairs[fieldUID],
	}
	if ms, err := strconv.ParseInt(pairs[fieldOccurred], 10, 64); err == nil {
		f.OccurredAt = time.UnixMilli(ms).UTC()
	}
	raw := rawEntry{}
	for field, value := range pairs {
		raw.set(field, value)
	}
	e, err := decodeEntry(&raw)
	if err != nil {
		return f
	}
	f.Rooms, f.Except = e.opts.Rooms, e.opts.Except
	var args []json.RawMessage
	if json.Unmarshal(e.packet.array, &args) == nil && len(args) > 0 {
		_ = json.Unmarshal(args[0], &f.Event)
		if len(args) > 1 {
			f.Data = args[1]
		}
	}
	return f
}
