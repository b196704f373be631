package streams

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// claimLoop takes over entries whose consumer ended, whatever the commit loop waits for meanwhile.
func (c *Consumer) claimLoop(ctx context.Context) {
	ticker := time.NewTicker(c.cfg.ReclaimEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case identity := <-c.departs:
			if !slices.Contains(c.departed, identity) {
				c.departed = append(c.departed, identity)
			}
		case <-ticker.C:
			c.claimIdle(ctx)
		}
		c.claimDeparted(ctx)
	}
}

// claimRoom is how many entries may be claimed now. It is never 0: the entry that all others wait for is the oldest, so
// one more is enough to go on.
func (c *Consumer) claimRoom() int {
	held, bytes := c.backlog.size()
	if bytes > 8*c.cfg.BatchBytes {
		return 1
	}
	return min(max(4*c.cfg.Batch-held, 1), c.cfg.Batch)
}

func (c *Consumer) claimIdle(ctx context.Context) {
	for ctx.Err() == nil {
		room := c.claimRoom()
		count, err := c.claim(ctx, claimIdleScript, c.cfg.MinIdle.Milliseconds(), room)
		if err != nil || count < room || room == 1 {
			return
		}
	}
}

func (c *Consumer) claimDeparted(ctx context.Context) {
	for len(c.departed) > 0 && ctx.Err() == nil {
		room := c.claimRoom()
		count, err := c.claim(ctx, claimFromScript, c.departed[0], room)
		switch {
		case isNoGroup(err):
			c.departed = nil
		case err != nil:
			return
		case count < room:
			c.departed = c.departed[1:]
		case room == 1:
			return
		}
	}
}

// claim takes over what one run of a claim script brings and reports how many entries it found. A missing group is the
// read loop's business.
func (c *Consumer) claim(ctx context.Context, script *redis.Script, args ...any) (int, error) {
	c.claimMu.Lock()
	defer c.claimMu.Unlock()
	got, lost, err := c.runClaim(ctx, script, append([]any{c.cfg.Group, c.cfg.Consumer}, args...)...)
	if err != nil {
		if !isNoGroup(err) {
			c.stats.redisErrors.Add(1)
			c.log.Debug("claim failed", "err", err)
		}
		return 0, err
	}
	c.countLost(lost)
	c.takeOver(ctx, got)
	return len(got) + int(lost), nil
}

func (c *Consumer) countLost(lost int64) {
	if lost > 0 {
		c.stats.lost.Add(uint64(lost))
		c.log.Warn("pending entries were deleted from the event stream", "entries", lost)
	}
}
