package main

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/teloo/realtime-gateway/api"
	"github.com/teloo/realtime-gateway/streams"
)

// errNotDevelopment refuses what gives tokens to anybody, or makes events up, outside of development.
var errNotDevelopment = errors.New("ENVIRONMENT: is not development, and a demonstration gives tokens to anybody who asks")

// openDemo is the demo page of a node that serves a real Redis. Development is the default, so the node that shows it
// listens on loopback only, unless HOST says otherwise: a request's Host is whatever its sender likes.
func openDemo(cfg *Config) (*demo, error) {
	if cfg.Environment != envDevelopment {
		return nil, errNotDevelopment
	}
	cfg.Host = cmp.Or(cfg.Host, "127.0.0.1")
	return newDemo(*cfg), nil
}

// show adds the page to what a node serves.
func (d *demo) show(sources *api.Sources, web *api.Config) {
	sources.Demo = api.Demo{Token: d.token, Publish: d.publish}
	web.Dev = true
}

type flowCmd struct {
	Every time.Duration `default:"1500ms" help:"About how often an event is made up."`
}

// Help is shown below the flags.
func (*flowCmd) Help() string {
	return "Writes a believable stream of the marketplace's events to the configured Redis until it is stopped, in development only."
}

// Run writes events until ctx ends.
func (f *flowCmd) Run(ctx context.Context, a *app) error {
	cfg, err := a.config("REDIS_", "ENVIRONMENT", "LOG_")
	switch {
	case err != nil:
		return err
	case cfg.Environment != envDevelopment:
		return errNotDevelopment
	case f.Every <= 0:
		return errors.New("--every: is not more than 0")
	}
	client := cfg.newRedis(false)
	defer func() { _ = client.Close() }()
	return newFlow(streams.NewPublisher(client, cfg.RedisPrefix), f.Every, a.logger(cfg)).Run(ctx)
}
