package adapter

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed position.lua
var positionSource string

var positionScript = redis.NewScript(positionSource)

// runPositions keeps, on the leading node, a quiet log from having no position, and the log within its cap.
func (c *Cluster) runPositions(ctx context.Context) {
	tick := time.NewTicker(max(c.cfg.PositionEvery/3, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !c.lead() {
			continue
		}
		cut, err := c.appendPosition(ctx)
		if err != nil {
			c.warnf("position", "could not append a position to the log", "err", err)
			continue
		}
		if cut > 0 {
			c.count.capCut.Add(uint64(cut))
			c.warnf("cap", "the log's entry cap cut into its window", "entries", cut, "cap", c.cfg.LogMaxEntries)
		}
	}
}

// appendPosition runs the script; a repeated call appends nothing, so it needs no care about unknown outcomes.
func (c *Cluster) appendPosition(ctx context.Context) (cut int64, err error) {
	reply, err := positionScript.Run(ctx, c.redis, []string{c.logKey},
		c.cfg.PositionEvery.Milliseconds(), c.cfg.LogMaxAge.Milliseconds(), c.cfg.LogMaxEntries).Slice()
	if err != nil {
		return 0, err
	}
	if len(reply) != 2 {
		return 0, fmt.Errorf("position script: reply of %d parts", len(reply))
	}
	cut, ok := reply[1].(int64)
	if !ok {
		return 0, fmt.Errorf("position script: reply %v", reply)
	}
	return cut, nil
}
