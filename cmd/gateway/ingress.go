package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/teloo/realtime-gateway/adapter"
	"github.com/teloo/realtime-gateway/adapter/ingress"
	"github.com/teloo/realtime-gateway/streams"
)

// buildIngress makes what listens to pub/sub, if anything is to be listened to.
func (p *parts) buildIngress(_ context.Context, log *slog.Logger) (err error) {
	cfg := p.cfg.ingressConfig(p.identity)
	if !cfg.On() {
		return nil
	}
	events := streams.NewPublisher(p.commands, p.cfg.RedisPrefix)
	p.ingress, err = ingress.New(cfg, ingress.Deps{
		Redis: p.commands,
		Log:   p.cluster.AppendFenced,
		Events: func(ctx context.Context, lease, value string, list []ingress.Payload) (int, error) {
			payloads := make([]streams.Payload, len(list))
			for i, one := range list {
				payloads[i] = streams.Payload(one)
			}
			return events.AppendFenced(ctx, lease, value, payloads)
		},
		NotHeld: func(err error) bool { return errors.Is(err, adapter.ErrNotHeld) || errors.Is(err, streams.ErrNotHeld) },
		Logger:  log,
	})
	return err
}

// runIngress listens, if anything is to be listened to, until ctx ends.
func (p *parts) runIngress(ctx context.Context) error {
	if p.ingress == nil {
		<-ctx.Done()
		return nil
	}
	return p.ingress.Run(ctx)
}
