package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrInvalidEvent is wrapped by Publish's error when an event breaks the contract; nothing was written then.
var ErrInvalidEvent = errors.New("streams: invalid event")

// Publisher writes events as the Core API does. It is safe for concurrent use.
type Publisher struct {
	rdb    redis.UniversalClient
	events string
}

// NewPublisher writes to the event stream of prefix. It does not own rdb.
func NewPublisher(rdb redis.UniversalClient, prefix string) *Publisher {
	return &Publisher{rdb: rdb, events: newKeys(prefix).events}
}

// Publish checks all events, then writes them in order in one pipeline. It returns one id for each event, empty where
// Redis refused it or where no answer came; such an event may be written all the same, so repeat it only with an
// EventID.
func (p *Publisher) Publish(ctx context.Context, events ...Event) ([]string, error) {
	pairs := make([][]string, len(events))
	for i, ev := range events {
		fields, err := encodeEvent(ev)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
		pairs[i] = fields
	}
	if len(events) == 0 {
		return nil, nil
	}
	pipe := p.rdb.Pipeline()
	added := make([]*redis.StringCmd, len(events))
	for i, fields := range pairs {
		added[i] = pipe.XAdd(ctx, &redis.XAddArgs{Stream: p.events, Values: fields})
	}
	_, execErr := pipe.Exec(ctx)
	ids := make([]string, len(events))
	var faults []error
	for i, cmd := range added {
		id, err := cmd.Result()
		if err != nil {
			if len(faults) < maxJoined {
				faults = append(faults, fmt.Errorf("event %d: %w", i, err))
			}
			continue
		}
		ids[i] = id
	}
	if len(faults) == 0 && execErr != nil {
		faults = append(faults, execErr)
	}
	return ids, errors.Join(faults...)
}

// maxJoined keeps the error of a large failed pipeline readable.
const maxJoined = 5

// encodeEvent returns the flat form, having checked it by the same code that decodes it.
func encodeEvent(ev Event) ([]string, error) {
	pairs := []string{"event", ev.Name, "data", string(ev.Data)}
	if ev.Rooms != nil {
		rooms, err := json.Marshal(ev.Rooms)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalidEvent, err)
		}
		pairs = append(pairs, "rooms", string(rooms))
	}
	if ev.EventID != "" {
		pairs = append(pairs, "event_id", ev.EventID)
	}
	if !ev.OccurredAt.IsZero() {
		pairs = append(pairs, "occurred_at", ev.OccurredAt.Format(time.RFC3339Nano))
	}
	if ev.TraceParent != "" {
		pairs = append(pairs, "traceparent", ev.TraceParent)
	}
	_, ignored, rejected := parsePairs("", pairs)
	if rejected != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidEvent, rejected)
	}
	if ignored > 0 {
		return nil, fmt.Errorf("%w: traceparent or occurred_at", ErrInvalidEvent)
	}
	// json.Marshal replaces invalid UTF-8, so the rooms have to be looked at before.
	for _, room := range ev.Rooms {
		if !validRoom(room) {
			return nil, fmt.Errorf("%w: room %.140q", ErrInvalidEvent, room)
		}
	}
	return pairs, nil
}
