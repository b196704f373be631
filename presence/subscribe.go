package presence

import (
	"context"
	"errors"
	"net"

	"github.com/redis/go-redis/v9"
)

// subscribe keeps this node subscribed to its channel until ctx ends: the others take its closed connection for the
// end of its process. Nothing is ever published there.
func (p *Presence) subscribe(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		if p.holdSubscription(ctx) {
			failures = 0
		}
		failures++
		pause(ctx, backoff(failures, p.cfg.HeartbeatEvery))
	}
}

// holdSubscription returns when the subscription is lost; held says whether there was one.
func (p *Presence) holdSubscription(ctx context.Context) (held bool) {
	var sub *redis.PubSub
	if channel := p.keys.aliveAt(p.cfg.Node); p.cfg.Sharded {
		sub = p.deps.Redis.SSubscribe(ctx, channel)
	} else {
		sub = p.deps.Redis.Subscribe(ctx, channel)
	}
	// Reading does not heed ctx, but ends with the connection.
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() })
	defer func() {
		stop()
		_ = sub.Close()
	}()
	pinged := false
	for {
		_, err := sub.ReceiveTimeout(ctx, p.cfg.HeartbeatEvery)
		var timeout net.Error
		switch {
		case err == nil:
			if !held {
				poke(p.look)
			}
			held, pinged = true, false
		case errors.As(err, &timeout) && timeout.Timeout() && !pinged && ctx.Err() == nil:
			if sub.Ping(ctx) != nil {
				return held
			}
			pinged = true
		default:
			return held
		}
	}
}
