package gossip

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"time"
)

// maxJoinsPerRound bounds how long a round of unreachable addresses takes.
const maxJoinsPerRound = 16

// keepJoined resolves and joins the seeds for ever.
func (g *Gossip) keepJoined(ctx context.Context) {
	if len(g.cfg.Seeds) == 0 {
		return
	}
	said := true
	for {
		reached, err := g.joinRound(ctx)
		if ctx.Err() != nil {
			return
		}
		g.reached.Store(reached)
		if ok := reached || g.Live() > 1; ok != said {
			if said = ok; ok {
				g.log.Info("seeds answer again")
			} else {
				g.log.Warn("no seed answers, trying on", "seeds", g.cfg.Seeds, "err", err)
			}
		}
		wait := g.cfg.RejoinEvery
		if g.Live() == 1 {
			wait = min(wait, g.cfg.JoinEvery)
		}
		timer := time.NewTimer(wait - time.Duration(rand.Int64N(int64(wait)/5+1))) //nolint:gosec // spreads load, guards nothing
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// joinRound tries every address behind the seeds that is not a live node's already. It says whether any stands for the
// cluster: joined now, known as live, or this node's own.
func (g *Gossip) joinRound(ctx context.Context) (reached bool, err error) {
	addrs, err := g.resolve(ctx)
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] }) //nolint:gosec // fairness, guards nothing
	tried := 0
	for _, addr := range addrs {
		if addr == g.self || g.members.addresses()[addr] {
			reached = true
			continue
		}
		if tried++; tried > maxJoinsPerRound || ctx.Err() != nil {
			break
		}
		if _, failed := g.list.Join([]string{addr}); failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		reached = true
	}
	return reached, err
}

// resolve does memberlist's work: memberlist would first ask the name server for everything it has, over TCP.
func (g *Gossip) resolve(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	var addrs []string
	var errs []error
	for _, seed := range g.cfg.Seeds {
		host, port, err := splitBind(seed)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, ip := range ips {
			addrs = append(addrs, net.JoinHostPort(ip.Unmap().String(), strconv.Itoa(port)))
		}
	}
	slices.Sort(addrs)
	return slices.Compact(addrs), errors.Join(errs...)
}
