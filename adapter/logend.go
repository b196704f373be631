package adapter

import (
	"context"
	"fmt"
)

// LogEnd is the id of the log's newest entry, or "" while there is none. It is safe for concurrent use.
func (c *Cluster) LogEnd(ctx context.Context) (string, error) {
	last, err := c.redis.XRevRangeN(ctx, c.logKey, "+", "-", 1).Result()
	if err != nil || len(last) == 0 {
		if err != nil {
			err = fmt.Errorf("reading the log's end: %w", err)
		}
		return "", err
	}
	return last[0].ID, nil
}
