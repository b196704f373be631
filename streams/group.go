package streams

import (
	"context"
	"fmt"
)

// ensureGroup creates the group if it is missing: at the last committed id, else at the stream's beginning.
func (c *Consumer) ensureGroup(ctx context.Context) error {
	c.groupMu.Lock()
	defer c.groupMu.Unlock()
	reply, err := createGroupScript.Run(ctx, c.rdb,
		[]string{c.keys.events, c.keys.log, c.keys.committed}, c.cfg.Group, c.stats.knownCommitted()).Slice()
	if err != nil {
		return fmt.Errorf("creating the group: %w", err)
	}
	if len(reply) != 3 {
		return fmt.Errorf("%w: create group: %.100v", errReply, reply)
	}
	c.stats.forgetCommitted()
	if reply[0] != int64(1) {
		return nil
	}
	c.stats.groups.Add(1)
	fresh := reply[2] == int64(1)
	if fresh {
		c.stats.resets.Add(1)
	}
	c.log.Info("group created", "group", c.cfg.Group, "start", reply[1], "new_stream", fresh)
	return nil
}
