package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/teloo/realtime-gateway/api/admin"
	"github.com/teloo/realtime-gateway/node/auth"
	"github.com/teloo/realtime-gateway/node/limits"
	"github.com/teloo/realtime-gateway/streams"
)

// operators is what the admin API acts through.
type operators struct {
	*parts
	publisher *streams.Publisher
}

var (
	_ admin.Publisher = operators{}
	_ admin.Sockets   = operators{}
	_ admin.Revoker   = operators{}
	_ admin.Granter   = operators{}
	_ admin.Drainer   = operators{}
)

// adminAPI is the handler of /admin/; nil without a key.
func (p *parts) adminAPI() (http.Handler, error) {
	if p.cfg.AdminAPIKey == "" {
		return nil, nil
	}
	o := operators{p, p.cfg.newPublisher(p.commands)}
	proxies := p.cfg.limitsConfig().TrustedProxies
	return admin.New(p.cfg.adminConfig(), admin.Deps{
		Publisher: o, Sockets: o, Revoker: o, Granter: o, Drainer: o, Tracer: p.whereabouts(),
		Dead:       deadLetters{streams.NewDeadLetters(p.commands, p.cfg.RedisPrefix)},
		LogLevels:  p.logLevels(),
		ClientAddr: func(r *http.Request) netip.Addr { return limits.ClientAddr(r, proxies) },
		Log:        p.base,
	})
}

// Publish writes what the cluster would relay.
func (o operators) Publish(ctx context.Context, fields map[string]string) (string, error) {
	entry := make(map[string]any, len(fields))
	for name, value := range fields {
		entry[name] = value
	}
	event, err := streams.ParseEntry("0-1", entry)
	if err == nil {
		_, _, err = o.router.Route(event)
	}
	if err == nil {
		err = o.validation.refuses(event)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", admin.ErrInvalid, err)
	}
	event.ID = ""
	ids, err := o.publisher.Publish(ctx, event)
	if err != nil {
		return "", answerable(err)
	}
	return ids[0], nil
}

// Sockets lists a user's sockets in the cluster.
func (o operators) Sockets(ctx context.Context, user string) ([]admin.Socket, error) {
	found, err := o.node.UserSockets(ctx, user)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", admin.ErrUnavailable, err)
	}
	sockets := make([]admin.Socket, len(found))
	for i, s := range found {
		sockets[i] = admin.Socket{
			ID: s.ID, Node: s.Node, Role: s.Role, Address: s.Address, ConnectedAt: s.Connected, TokenExpires: s.TokenEnds, Rooms: s.Rooms,
		}
	}
	return sockets, nil
}

// Disconnect closes a user's sockets in the cluster and returns how many there were.
func (o operators) Disconnect(ctx context.Context, user string) (int, error) {
	found, err := o.Sockets(ctx, user)
	if err != nil {
		return 0, err
	}
	o.node.DisconnectUser(user) // with none found, too: some may be on their way back
	return len(found), nil
}

// RevokeToken implements admin.Revoker.
func (o operators) RevokeToken(ctx context.Context, jti string, expires time.Time) error {
	return o.confirmed(ctx, o.revoked.RevokeToken(ctx, jti, expires))
}

// RevokeUser implements admin.Revoker.
func (o operators) RevokeUser(ctx context.Context, user string) error {
	return o.confirmed(ctx, o.revoked.RevokeUser(ctx, user))
}

// RevokeUserBefore implements admin.Revoker.
func (o operators) RevokeUserBefore(ctx context.Context, user string, t time.Time) error {
	return o.confirmed(ctx, o.revoked.RevokeUserBefore(ctx, user, t))
}

// Grant implements admin.Granter.
func (o operators) Grant(ctx context.Context, solicitud, user string, ttl time.Duration) error {
	if ttl == 0 {
		ttl = o.cfg.GrantTTL
	}
	return o.confirmed(ctx, o.grants.Grant(ctx, solicitud, user, ttl))
}

// Withdraw implements admin.Granter.
func (o operators) Withdraw(ctx context.Context, solicitud, user string) error {
	return o.confirmed(ctx, o.grants.Withdraw(ctx, solicitud, user))
}

// Drain makes runDrain send this node's clients away.
func (o operators) Drain() {
	select {
	case o.drain <- struct{}{}:
	default: // asked for already
	}
}

// runDrain winds the node's work up when it is asked to, once: it takes no new clients, is not ready, hands its part of
// the events over and sends its clients away, but goes on running until it is stopped.
func (p *parts) runDrain(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-p.drain:
	}
	p.log.Info("draining, as asked by the admin API")
	p.turnAway()
	p.retire(ctx)
	p.sendAway(ctx)
	<-ctx.Done()
	return nil
}

// handover bounds how long clients keep their connections because events that this node has read are not yet committed.
const handover = 3 * time.Second

// retire hands this node's part of the events over.
func (p *parts) retire(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, handover)
	defer cancel()
	if err := p.consumer.Retire(ctx); err != nil {
		p.log.Warn("not all events that were read are committed; other nodes take them over", "backlog", p.consumer.Stats().Backlog, "err", err)
	}
}

// sendAway makes the clients go elsewhere.
func (p *parts) sendAway(ctx context.Context) {
	var through sync.WaitGroup
	through.Go(func() { p.forward.Drain(ctx, p.cfg.DrainWindow*9/10) })
	defer through.Wait()
	if err := p.node.Drain(ctx); err != nil {
		p.log.Warn("sockets left at the end of draining", "sockets", p.node.Stats().Connections, "err", err)
	}
}

// turnAway makes the load balancer and the other nodes look elsewhere.
func (p *parts) turnAway() {
	p.stopping.Store(true)
	if p.gossip != nil {
		p.gossip.SetDraining(true)
	}
	if p.page != nil {
		p.page.leave()
	}
}

// answerable says of an error whose fault it is, for the admin API to answer.
func answerable(err error) error {
	var refused redis.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, auth.ErrBadGrant), errors.Is(err, auth.ErrBadRevocation), errors.Is(err, streams.ErrInvalidEvent),
		errors.Is(err, streams.ErrSelection):
		return fmt.Errorf("%w: %w", admin.ErrInvalid, err)
	case errors.Is(err, streams.ErrNoLetter):
		return fmt.Errorf("%w: %w", admin.ErrNoLetter, err)
	case errors.Is(err, streams.ErrNotReplicated), errors.Is(err, errNotReplicated):
		return fmt.Errorf("%w: %w", admin.ErrNotReplicated, err)
	case errors.As(err, &refused):
		return fmt.Errorf("%w: %w", admin.ErrUnavailable, err)
	}
	return err
}
