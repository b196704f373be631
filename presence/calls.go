package presence

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// callContext bounds one call to Redis.
func (p *Presence) callContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, p.cfg.HeartbeatDead/3)
}

// field is one count in a node's hash.
type field struct {
	name  string
	count int64
}

// scan reads a hash in bounded pieces and hands them to each.
func (p *Presence) scan(ctx context.Context, hash string, each func([]field) error) error {
	size := p.cfg.ReapBatch
	var cursor uint64
	for {
		flat, next, err := p.scanCall(ctx, hash, cursor)
		if err != nil {
			return err
		}
		fields := make([]field, 0, len(flat)/2)
		for i := 0; i+1 < len(flat); i += 2 {
			n, _ := strconv.ParseInt(flat[i+1], 10, 64)
			fields = append(fields, field{flat[i], n})
		}
		for len(fields) > 0 {
			n := min(size, len(fields))
			if err := each(fields[:n]); err != nil {
				return err
			}
			fields = fields[n:]
		}
		if next == 0 {
			return nil
		}
		cursor = next
	}
}

func (p *Presence) scanCall(ctx context.Context, hash string, cursor uint64) ([]string, uint64, error) {
	ctx, cancel := p.callContext(ctx)
	defer cancel()
	flat, next, err := p.deps.Redis.HScan(ctx, hash, cursor, "", int64(p.cfg.ReapBatch)).Result()
	if err != nil {
		return nil, 0, fmt.Errorf("reading %s: %w", hash, err)
	}
	return flat, next, nil
}

// owner returns the client of the one server that owns our keys, on which alone subscribers can be counted.
func (p *Presence) owner(ctx context.Context) (redis.Cmdable, error) {
	type cluster interface {
		MasterForKey(ctx context.Context, key string) (*redis.Client, error)
	}
	c, ok := p.deps.Redis.(cluster)
	if !ok {
		return p.deps.Redis, nil
	}
	m, err := c.MasterForKey(ctx, p.keys.nodes)
	if err != nil {
		return nil, fmt.Errorf("finding the owner of %s: %w", p.keys.nodes, err)
	}
	return m, nil
}

// backoff is the pause after the nth failure in a row: 50 ms, doubling up to most, with jitter.
func backoff(n int, most time.Duration) time.Duration {
	const first = 50 * time.Millisecond
	d := min(first<<min(max(n-1, 0), 10), most)
	return d/2 + time.Duration(rand.Int64N(int64(d/2)+1)) //nolint:gosec // jitter
}

// pause waits for d or ctx's end.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
