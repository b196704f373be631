package attack

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
)

// BurstConfig says how many clients with bad tokens come at once.
type BurstConfig struct {
	// Addr is the gateway's host:port; the host is an address in 127.0.0.0/8. Required.
	Addr string
	// Seed decides on the tokens.
	Seed uint64
	// Count is how many come, 1 to 1,000,000; AtOnce how many are under way at a time, 1 to 2,000.
	Count, AtOnce int
	// Addresses is how many addresses they come from, 1 to 200.
	Addresses int
}

// Validate returns every fault.
func (c BurstConfig) Validate() error {
	var faults []error
	addr, err := netip.ParseAddrPort(c.Addr)
	if err != nil || !addr.Addr().Is4() || !addr.Addr().IsLoopback() {
		faults = append(faults, fmt.Errorf("attack: %q is no address in 127.0.0.0/8 with a port", c.Addr))
	}
	if c.Count < 1 || c.Count > 1_000_000 || c.AtOnce < 1 || c.AtOnce > 2000 || c.Addresses < 1 || c.Addresses > 200 {
		faults = append(faults, errors.New("attack: a value is out of range"))
	}
	return errors.Join(faults...)
}

// The answers to a client of a burst, besides the codes of a connect_error and "http " with a status.
const (
	BurstNoAnswer = "no answer"
	BurstTaken    = "taken" // which none may be
)

// Burst lets clients with bad tokens come over WebSocket until all have been answered or ctx ends, and returns how many
// got which answer.
func Burst(ctx context.Context, cfg BurstConfig) (map[string]int, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	var (
		next    atomic.Int64
		mu      sync.Mutex
		answers = map[string]int{}
		all     sync.WaitGroup
	)
	for range cfg.AtOnce {
		all.Go(func() {
			for ctx.Err() == nil {
				n := int(next.Add(1)) - 1
				if n >= cfg.Count {
					return
				}
				answer := comeBadly(ctx, cfg, n)
				mu.Lock()
				answers[answer]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return answers, nil
}

// comeBadly is one client of a burst.
func comeBadly(ctx context.Context, cfg BurstConfig, n int) string {
	from := &net.TCPAddr{IP: net.IPv4(127, 77, 0, byte(1+n%cfg.Addresses))}
	l := dial(ctx, cfg.Addr, from, 0)
	if l == nil {
		return BurstNoAnswer
	}
	defer l.reset()
	if l.send(request("GET", wsPath, upgradeHeaders, "")) != nil {
		return BurstNoAnswer
	}
	switch status, _ := l.answer(); status {
	case 0:
		return BurstNoAnswer
	case 101:
	default:
		return fmt.Sprintf("http %d", status)
	}
	a := &assault{rng: rand.New(rand.NewPCG(cfg.Seed, uint64(n)))} //nolint:gosec // has to be repeatable
	if l.send(a.text(`40{"token":"`+BadToken(a.rng)+`"}`)) != nil {
		return BurstNoAnswer
	}
	m, err := l.expect("40", "44")
	switch {
	case err != nil:
		return BurstNoAnswer
	case strings.HasPrefix(m, "40"):
		return BurstTaken
	}
	_, rest, _ := strings.Cut(m, `"code":"`)
	code, _, _ := strings.Cut(rest, `"`)
	return code
}
