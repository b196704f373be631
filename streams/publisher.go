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

// ErrNotReplicated is wrapped by Publish's error when all events were written, but too few of Redis' replicas had them in
// time: a failover may take them back.
var ErrNotReplicated = errors.New("streams: written, but not on enough replicas of Redis")

// Publisher writes events as the Core API does. It is safe for concurrent use.
type Publisher struct {
	rdb      redis.UniversalClient
	events   string
	replicas int           // 0: Publish waits for none
	patience time.Duration // how long it waits
}

// NewPublisher writes to the event stream of prefix. It does not own rdb.
func NewPublisher(rdb redis.UniversalClient, prefix string) *Publisher {
	return &Publisher{rdb: rdb, events: newKeys(prefix).events}
}

// Replicated makes Publish wait, for at most patience, until n of Redis' replicas have what it wrote; 0: none. It is to be
// called before the first Publish, and patience to be less than the client's ReadTimeout.
func (p *Publisher) Replicated(n int, patience time.Duration) *Publisher {
	p.replicas, p.patience = n, patience
	return p
}

// pipeline is one to the server that has the events, where the library would send WAIT to any.
func (p *Publisher) pipeline(ctx context.Context) (redis.Pipeliner, error) {
	if p.replicas == 0 {
		return p.rdb.Pipeline(), nil
	}
	server, err := owner(ctx, p.rdb, p.events)
	switch {
	case err != nil:
		return nil, err
	case server == nil:
		return p.rdb.Pipeline(), nil
	}
	return server.Pipeline(), nil
}

// Publish checks all events, then writes them in order in one pipeline. It returns one id for each event, empty where
// Redis refused it or where no answer came; such an event may be written all the same, so repeat it only with an
// EventID. ErrNotReplicated comes with all ids.
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
	pipe, err := p.pipeline(ctx)
	if err != nil {
		return make([]string, len(events)), err
	}
	added := make([]*redis.StringCmd, len(events))
	for i, fields := range pairs {
		added[i] = pipe.XAdd(ctx, &redis.XAddArgs{Stream: p.events, Values: fields})
	}
	reached := redis.NewIntCmd(ctx, "wait", p.replicas, p.patience.Milliseconds())
	if p.replicas > 0 {
		_ = pipe.Process(ctx, reached)
	}
	_, execErr := pipe.Exec(ctx)
	ids, err := idsOf(added)
	switch {
	case err != nil:
		return ids, err
	case execErr != nil:
		return ids, execErr
	case reached.Val() < int64(p.replicas):
		return ids, fmt.Errorf("%w: %d of %d", ErrNotReplicated, reached.Val(), p.replicas)
	}
	return ids, nil
}

// idsOf returns the ids of what was added, empty where that failed.
func idsOf(added []*redis.StringCmd) ([]string, error) {
	ids := make([]string, len(added))
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
