package streams

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Lag is how far the whole cluster is behind with the events, at one moment of Redis' clock.
type Lag struct {
	At time.Time // of Redis' clock
	// Length is how many entries the event stream has.
	Length int64
	// Undelivered entries have been read by no node; -1 if Redis does not know. Waiting is how long the oldest of them has
	// been there, 0 without any.
	Undelivered int64
	Waiting     time.Duration
	// Pending entries have been read and not settled. Oldest is how long the oldest of them has been in the stream.
	Pending int64
	Oldest  time.Duration
	// Dead is how many dead letters there are.
	Dead int64
}

// Lag asks Redis, in one call whose work does not grow with any of these. It is safe for concurrent use.
func (c *Consumer) Lag(ctx context.Context) (Lag, error) {
	reply, err := lagScript.Run(ctx, c.rdb, []string{c.keys.events, c.keys.dead}, c.cfg.Group).Slice()
	if err != nil {
		return Lag{}, fmt.Errorf("reading the lag: %w", err)
	}
	return parseLag(reply)
}

var errLagReply = errors.New("reading the lag: reply of an unknown form")

func parseLag(reply []any) (Lag, error) {
	if len(reply) != 7 {
		return Lag{}, errLagReply
	}
	var numbers [7]int64
	var texts [7]string
	for i, v := range reply {
		switch v := v.(type) {
		case int64:
			numbers[i] = v
		case string:
			texts[i] = v
		default:
			return Lag{}, errLagReply
		}
	}
	l := Lag{At: time.UnixMicro(numbers[0]), Length: numbers[1], Undelivered: numbers[2], Pending: numbers[4], Dead: numbers[6]}
	l.Waiting, l.Oldest = l.age(texts[3]), l.age(texts[5])
	return l, nil
}

// age is how long an entry had been in its stream; 0 for none.
func (l Lag) age(id string) time.Duration {
	at, ok := parseStreamID(id)
	if !ok {
		return 0
	}
	return max(l.At.Sub(time.UnixMilli(int64(at.ms))), 0)
}
