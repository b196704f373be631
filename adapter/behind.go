package adapter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Behind is how far this node is behind with the log.
type Behind struct {
	// Length is how many entries the log has.
	Length int64
	// Waiting is when the oldest entry was appended that this node has not delivered, by Redis' clock; zero: there is none.
	Waiting time.Time
}

// Behind asks Redis, for no more than one entry. Before the node has a position the whole log waits. It is safe for
// concurrent use.
func (c *Cluster) Behind(ctx context.Context) (Behind, error) {
	position := c.joinPosition()
	pipe := c.redis.Pipeline()
	length := pipe.XLen(ctx, c.logKey)
	next := pipe.XRangeN(ctx, c.logKey, "("+position.String(), "+", 1)
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return Behind{}, fmt.Errorf("reading the log's end: %w", err)
	}
	b := Behind{Length: length.Val()}
	if len(next.Val()) == 0 {
		return b, nil
	}
	id, err := parseStreamID(next.Val()[0].ID)
	if err != nil {
		return Behind{}, err
	}
	// What came meanwhile was delivered meanwhile.
	if id.compare(c.joinPosition()) > 0 {
		b.Waiting = time.UnixMilli(int64(id.ms))
	}
	return b, nil
}

// coverage is how far back the ring reaches from its newest entry.
func (r *ring) coverage() time.Duration {
	if r.all.len() == 0 {
		return 0
	}
	from := r.from
	if from.isZero() {
		from = r.all.first().id // it has the whole log
	}
	return time.Duration(r.all.last().id.ms-min(from.ms, r.all.last().id.ms)) * time.Millisecond
}
