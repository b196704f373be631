package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/teloo/realtime-gateway/node/auth"
)

// accessTimeout bounds what a command of this file asks of Redis.
const accessTimeout = 10 * time.Second

type revokeCmd struct {
	JTI     string    `help:"Revoke the token with this id."                                                         placeholder:"JTI"  xor:"what"`
	Expires time.Time `help:"With --jti, the token's exp, as 2026-01-31T12:00:00Z; without, it is kept for 30 days." placeholder:"TIME"`
	User    string    `help:"Revoke all tokens of this user that were issued up to --before."                        placeholder:"ID"   xor:"what"`
	Before  time.Time `help:"With --user, a time as 2026-01-31T12:00:00Z; now, if not set."                          placeholder:"TIME"`
}

// Run revokes, directly in Redis; nodes follow within a second.
func (r *revokeCmd) Run(ctx context.Context, a *app) error {
	switch {
	case r.JTI == "" && r.User == "":
		return errors.New("neither --jti nor --user: nothing to revoke")
	case r.JTI == "" && !r.Expires.IsZero():
		return errors.New("--expires goes with --jti")
	case r.User == "" && !r.Before.IsZero():
		return errors.New("--before goes with --user")
	}
	return onRedis(ctx, a, func(ctx context.Context, c Config, client redis.UniversalClient) error {
		revocations, err := auth.NewRevocations(c.revocationsConfig(), client, slog.New(slog.DiscardHandler))
		switch {
		case err != nil:
			return err
		case r.JTI != "":
			return revocations.RevokeToken(ctx, r.JTI, r.Expires)
		case r.Before.IsZero():
			return revocations.RevokeUser(ctx, r.User)
		default:
			return revocations.RevokeUserBefore(ctx, r.User, r.Before)
		}
	})
}

type grantCmd struct {
	Solicitud string        `help:"Solicitud id."                                    required:""`
	User      string        `help:"User id."                                         required:""`
	TTL       time.Duration `help:"How long the grant lasts; GRANT_TTL, if not set." placeholder:"DURATION"`
}

// Run grants, directly in Redis.
func (g *grantCmd) Run(ctx context.Context, a *app) error {
	return onRedis(ctx, a, func(ctx context.Context, c Config, client redis.UniversalClient) error {
		ttl := g.TTL
		if ttl == 0 {
			ttl = c.GrantTTL
		}
		return auth.NewGrants(client, c.RedisPrefix, slog.New(slog.DiscardHandler)).Grant(ctx, g.Solicitud, g.User, ttl)
	})
}

type withdrawCmd struct {
	Solicitud string `help:"Solicitud id." required:""`
	User      string `help:"User id."      required:""`
}

// Run withdraws, directly in Redis; nodes follow within a second.
func (w *withdrawCmd) Run(ctx context.Context, a *app) error {
	return onRedis(ctx, a, func(ctx context.Context, c Config, client redis.UniversalClient) error {
		return auth.NewGrants(client, c.RedisPrefix, slog.New(slog.DiscardHandler)).Withdraw(ctx, w.Solicitud, w.User)
	})
}

// onRedis gives do the configuration and a client of its Redis.
func onRedis(ctx context.Context, a *app, do func(context.Context, Config, redis.UniversalClient) error) error {
	c, err := a.config("REDIS_", "GRANT_TTL")
	if err != nil {
		return err
	}
	client := c.newRedis(false)
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(ctx, accessTimeout)
	defer cancel()
	if err = do(ctx, c, client); err == nil {
		err = c.replicated(ctx, client)
	}
	if err != nil {
		return fmt.Errorf("on %s: %w", c.redisPlace(), err)
	}
	a.say("done, on " + c.redisPlace())
	return nil
}
