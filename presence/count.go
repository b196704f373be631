package presence

import (
	"context"
	"fmt"
	"net/url"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// Count is how many sockets there are, and of how many users.
type Count struct{ Sockets, Users int64 }

// Counter reads what all nodes have written, for tools that are no node. It changes nothing, and is safe for concurrent
// use. What it says is up to a second old; who left a room counts for 5 s more.
type Counter struct {
	cfg  Config
	keys keys
	rdb  redis.UniversalClient
}

// NewCounter reads with cfg's Prefix and Roles. It does not own rdb.
func NewCounter(cfg Config, rdb redis.UniversalClient) *Counter {
	return &Counter{cfg: cfg, keys: newKeys(cfg.Prefix, cfg.LogKey), rdb: rdb}
}

// Role counts the sockets in a role.
func (c *Counter) Role(ctx context.Context, role string) (Count, error) {
	return c.whole(ctx, c.keys.role(role))
}

// Room counts the members of a room that sockets subscribe to.
func (c *Counter) Room(ctx context.Context, room string) (Count, error) {
	return c.whole(ctx, c.keys.room(room))
}

// User counts a user's sockets, whatever their roles.
func (c *Counter) User(ctx context.Context, user string) (Count, error) {
	var total Count
	for _, role := range c.cfg.Roles {
		n, err := c.rdb.HMGet(ctx, c.keys.role(role), url.PathEscape(user)).Result()
		if err != nil {
			return Count{}, fmt.Errorf("reading presence: %w", err)
		}
		text, _ := n[0].(string)
		held, _ := strconv.ParseInt(text, 10, 64) // absent is none
		total.Sockets += held
	}
	total.Users = min(total.Sockets, 1)
	return total, nil
}

// whole adds up a hash of users' counts.
func (c *Counter) whole(ctx context.Context, key string) (Count, error) {
	counts, err := c.rdb.HVals(ctx, key).Result()
	if err != nil {
		return Count{}, fmt.Errorf("reading presence: %w", err)
	}
	total := Count{Users: int64(len(counts))}
	for _, text := range counts {
		held, _ := strconv.ParseInt(text, 10, 64) // the scripts write numbers only
		total.Sockets += held
	}
	return total, nil
}
