package main

import (
	"context"
	"errors"

	"github.com/teloo/realtime-gateway/api"
)

type serveCmd struct {
	Demo bool `help:"Serve the demo page too, which lets in anybody who asks; in development only, and without HOST on loopback only."`
}

// Run runs a node until ctx ends.
func (s *serveCmd) Run(ctx context.Context, a *app) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	var page *demo
	if s.Demo {
		if page, err = openDemo(&cfg); err != nil {
			return err
		}
		defer page.close()
	}
	log := a.logger(cfg)
	tuneMemory(ofGateway(log))
	d, err := openDoors(ctx, cfg)
	if err != nil {
		return err
	}
	p, err := build(ctx, cfg, log)
	if err != nil {
		return errors.Join(err, d.close())
	}
	p.level = a.level
	sources, web := p.sources(), cfg.apiConfig()
	if page != nil {
		page.show(&sources, &web)
	}
	return p.run(ctx, d, sources, web)
}

// run starts the parts, serves until ctx ends or a part fails, and stops them in order. It is the one place where the
// order of starting and stopping stands.
func (p *parts) run(ctx context.Context, d doors, sources api.Sources, cfg api.Config) error {
	defer p.close()
	web, err := p.webServers(d, sources, cfg)
	if err != nil {
		return errors.Join(err, d.close())
	}
	ctx, failed := context.WithCancelCause(ctx)
	defer failed(nil)

	redisWatch := start("redis watch", p.watchRedis, failed)
	access := start("access", p.runAccess, failed)
	var members *actor
	if p.gossip != nil {
		members = start("gossip", p.gossip.Run, failed)
	}
	log := start("adapter", p.cluster.Run, failed)
	presence := start("presence", p.presence.Run, failed)
	consumer := start("consumer", p.consumer.Run, failed)
	edge := start("node", p.node.Run, failed)
	chores := start("chores", p.runChores, failed)
	serving := start("http", func(ctx context.Context) error { return serveAll(ctx, web) }, failed)
	p.log.Info("serving", "address", d.clients.Addr().String(), "identity", p.identity, "version", buildVersion(),
		"redis", p.cfg.redisPlace())

	<-ctx.Done()

	// Not ready first, so that the load balancer looks elsewhere while the rest is wound up.
	p.log.Info("stopping", "cause", context.Cause(ctx))
	p.turnAway()
	limit, cancel := context.WithTimeout(context.Background(), p.cfg.ShutdownTimeout)
	defer cancel()
	consumer.stop(limit, p.log)
	p.sendAway(limit)
	presence.stop(limit, p.log)
	if members != nil {
		members.stop(limit, p.log)
	}
	p.node.Close()
	for _, part := range []*actor{serving, chores, edge, log, access, redisWatch} {
		part.stop(limit, p.log)
	}
	p.log.Info("stopped")
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}
