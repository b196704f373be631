package streams

import (
	"context"
	"fmt"
	"time"
)

// choreLoop does what one node does for the whole cluster.
func (c *Consumer) choreLoop(ctx context.Context) {
	ticker := time.NewTicker(c.cfg.TrimEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !c.lead() {
			continue
		}
		if err := c.chores(ctx); err != nil && !isNoGroup(err) && ctx.Err() == nil {
			c.stats.redisErrors.Add(1)
			c.log.Debug("chores failed", "err", err)
		}
	}
}

func (c *Consumer) chores(ctx context.Context) error {
	if err := c.trim(ctx); err != nil {
		return fmt.Errorf("trimming the event stream: %w", err)
	}
	consumers, err := c.rdb.XInfoConsumers(ctx, c.keys.events, c.cfg.Group).Result()
	if err != nil {
		return fmt.Errorf("listing consumers: %w", err)
	}
	for _, consumer := range consumers {
		if consumer.Name == c.cfg.Consumer || !c.gone(consumer.Name) {
			continue
		}
		if consumer.Pending > 0 {
			c.Reclaim(consumer.Name)
			continue
		}
		deleted, err := c.deleteConsumer(ctx, consumer.Name)
		if err != nil {
			return err
		}
		if deleted {
			c.stats.consumers.Add(1)
		}
	}
	return nil
}

// trimmedAtOnce is what one approximate XTRIM may leave for the next although it removed that much.
const trimmedAtOnce = 1000

// trim removes what is not needed any more. Redis removes 10,000 entries a call at most, and a busy stream grows faster
// than that from one chore to the next.
func (c *Consumer) trim(ctx context.Context) error {
	for ctx.Err() == nil {
		trimmed, err := trimScript.Run(ctx, c.rdb, []string{c.keys.events}, c.cfg.Group).Int64()
		if err != nil {
			return err
		}
		c.stats.trimmed.Add(uint64(trimmed))
		if trimmed < trimmedAtOnce {
			break
		}
	}
	return nil
}

// deleteConsumer deletes a consumer on which nothing is pending, checking and deleting in one step.
func (c *Consumer) deleteConsumer(ctx context.Context, name string) (bool, error) {
	deleted, err := deleteConsumerScript.Run(ctx, c.rdb, []string{c.keys.events}, c.cfg.Group, name).Int64()
	if err != nil {
		return false, fmt.Errorf("deleting consumer %s: %w", name, err)
	}
	return deleted == 1, nil
}
