package main

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/teloo/realtime-gateway/node/canary"
	"github.com/teloo/realtime-gateway/streams"
)

func (p *parts) buildCanary(_ context.Context, log *slog.Logger) (err error) {
	if p.cfg.CanaryInterval == 0 {
		return nil
	}
	publisher := streams.NewPublisher(p.commands, p.cfg.RedisPrefix)
	p.canary, err = canary.New(p.cfg.canaryConfig(p.identity), canary.Deps{
		Publish: func(ctx context.Context, name, room string, data json.RawMessage) error {
			_, err := publisher.Publish(ctx, streams.Event{Name: name, Rooms: []string{room}, Data: data})
			return err
		},
		Listen: func(room string, hear func([]byte)) (func(), error) { return p.cluster.Listen(namespace, room, hear) },
		Unread: p.cluster.Unread,
		Log:    log,
	})
	return err
}

// runCanary sends this node's canary, if there is one, until ctx ends.
func (p *parts) runCanary(ctx context.Context) error {
	if p.canary == nil {
		<-ctx.Done()
		return nil
	}
	return p.canary.Run(ctx)
}

// deaf reports whether events flow past this node.
func (p *parts) deaf() bool { return p.canary != nil && p.canary.Deaf() }
