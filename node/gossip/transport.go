package gossip

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	resolveTimeout = 5 * time.Second
	// freePortTries is how often a port that TCP got is tried for UDP.
	freePortTries = 10
)

// transport is memberlist's own over TCP and UDP, with connections that end when gossip does: memberlist would leave
// them, and their goroutines, to time out.
type transport struct {
	*memberlist.NetTransport
	ctx context.Context
	end context.CancelFunc
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

func listen(bindIP net.IP, port int, logger *log.Logger) (*transport, error) {
	var errs []error
	for range freePortTries {
		inner, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{bindIP.String()}, BindPort: port, Logger: logger,
		})
		if err == nil {
			ctx, end := context.WithCancel(context.Background())
			return &transport{NetTransport: inner, ctx: ctx, end: end}, nil
		}
		if errs = append(errs, err); port != 0 {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// DialTimeout opens a connection that closes with the transport.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	dialer := net.Dialer{Timeout: timeout}
	conn, err := dialer.DialContext(t.ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &dialed{Conn: conn, forget: context.AfterFunc(t.ctx, func() { _ = conn.Close() })}, nil
}

// DialAddressTimeout is DialTimeout: addresses say it all.
func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(a.Addr, timeout)
}

// Shutdown ends connections and listeners and waits for the latter.
func (t *transport) Shutdown() error {
	t.end()
	return t.NetTransport.Shutdown()
}

type dialed struct {
	net.Conn
	forget func() bool
}

func (d *dialed) Close() error {
	d.forget()
	return d.Conn.Close()
}

// addresses says what to bind and what to tell others.
type addresses struct {
	bind, advertise net.IP
	port            int // 0 in Bind stays 0 until bound
	advertisePort   int // 0: the bound one
}

func (c Config) addresses() (addresses, error) {
	var a addresses
	host, port, err := splitBind(c.Bind)
	if err != nil {
		return a, fmt.Errorf("bind %q: %w", c.Bind, err)
	}
	a.port = port
	if host != "" {
		if a.bind, err = lookupIP(host); err != nil {
			return a, fmt.Errorf("bind %q: %w", c.Bind, err)
		}
	}
	if c.Advertise != "" {
		host, port, err := splitAdvertise(c.Advertise, 0)
		if err != nil {
			return a, fmt.Errorf("advertise %q: %w", c.Advertise, err)
		}
		a.advertisePort = port
		if a.advertise, err = lookupIP(host); err != nil {
			return a, fmt.Errorf("advertise %q: %w", c.Advertise, err)
		}
	}
	return a.complete()
}

// complete fills in what the configuration leaves open.
func (a addresses) complete() (addresses, error) {
	everywhere := a.bind == nil || a.bind.IsUnspecified()
	if a.advertise == nil {
		if a.advertise = a.bind; everywhere {
			own, err := net.InterfaceAddrs()
			if err != nil {
				return a, fmt.Errorf("this host's addresses: %w", err)
			}
			a.advertise = reachable(own)
		}
	}
	if a.bind == nil {
		if a.bind = net.IPv4zero; a.advertise.To4() == nil {
			a.bind = net.IPv6unspecified
		}
	}
	return a, nil
}

// reachable picks the address others most likely reach this host at: private before public, IPv4 before IPv6, and
// loopback on a host that has nothing else.
func reachable(own []net.Addr) net.IP {
	best, rank := net.IPv4(127, 0, 0, 1), 0
	for _, addr := range own {
		n, ok := addr.(*net.IPNet)
		if !ok || !n.IP.IsGlobalUnicast() {
			continue
		}
		r := 1
		if n.IP.To4() != nil {
			r += 2
		}
		if n.IP.IsPrivate() {
			r++
		}
		if r > rank {
			best, rank = n.IP, r
		}
	}
	return best
}

func lookupIP(host string) (net.IP, error) {
	if ip := net.ParseIP(host); ip != nil {
		return ip, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), resolveTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	for _, ip := range found {
		if ip.To4() != nil {
			return ip, nil
		}
	}
	return found[0], nil
}
