package limits

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
)

// Config holds the limits of a node. DefaultConfig gives the defaults.
type Config struct {
	// TrustedProxies are those whose X-Forwarded-For is believed, as ParseProxies returns them; default none.
	TrustedProxies []netip.Prefix
	// HandshakeRate is how many handshakes a second an address may begin in the long run; default 50, 0: no limit.
	HandshakeRate float64
	// HandshakeBurst is how many it may begin at once after a pause; default 500, 1 or more if there is a rate.
	HandshakeBurst int
	// MaxAddresses is how many addresses are told apart at a time; default 100,000, 1 to 10,000,000. Each takes about
	// 200 bytes while it has lately begun handshakes.
	MaxAddresses int
	// MaxSocketsPerUser is how many sockets a user may have on this node; default 100, 0: no limit.
	MaxSocketsPerUser int
	// EventRate is how many events a second a socket may send in the long run; default 50, 0: no limit.
	EventRate float64
	// EventBurst is how many it may send at once after a pause; default 300, 1 or more if there is a rate. A page that comes
	// back subscribes to all it shows at once.
	EventBurst int
}

// DefaultConfig is the one place of this package's defaults.
func DefaultConfig() Config {
	return Config{
		HandshakeRate: 50, HandshakeBurst: 500, MaxAddresses: 100_000, MaxSocketsPerUser: 100, EventRate: 50, EventBurst: 300,
	}
}

// Validate reports every fault of c, joined.
func (c Config) Validate() error {
	var faults []error
	check := func(ok bool, field string, value any, want string) {
		if !ok {
			faults = append(faults, fmt.Errorf("limits: %s is %v, want %s", field, value, want))
		}
	}
	for _, p := range c.TrustedProxies {
		if _, err := proxyPrefix(p); err != nil {
			faults = append(faults, fmt.Errorf("limits: TrustedProxies: %w", err))
		}
	}
	isRate := func(r float64) bool { return r >= 0 && !math.IsInf(r, 0) }
	check(isRate(c.HandshakeRate), "HandshakeRate", c.HandshakeRate, "0 (no limit) or more")
	check(c.HandshakeRate == 0 || c.HandshakeBurst >= 1, "HandshakeBurst", c.HandshakeBurst, "1 or more")
	check(c.MaxAddresses >= 1 && c.MaxAddresses <= 10_000_000, "MaxAddresses", c.MaxAddresses, "1 to 10000000")
	check(c.MaxSocketsPerUser >= 0, "MaxSocketsPerUser", c.MaxSocketsPerUser, "0 (no limit) or more")
	check(isRate(c.EventRate), "EventRate", c.EventRate, "0 (no limit) or more")
	check(c.EventRate == 0 || c.EventBurst >= 1, "EventBurst", c.EventBurst, "1 or more")
	return errors.Join(faults...)
}
