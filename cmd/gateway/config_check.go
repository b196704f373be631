package main

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/teloo/realtime-gateway/node/limits"
)

// minSecret is the least length of secrets in production, in bytes: that of SHA-256's output.
const minSecret = 32

var (
	nodeNamePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	hostPattern     = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_.])?$`)
)

// roles are the gateway's own; JWT_ROLES maps onto them.
var roles = []string{"admin", "advisor", "client"}

// checker gathers faults.
type checker struct{ faults ConfigError }

func (k *checker) faultf(name, format string, args ...any) {
	v, _ := lookup(name)
	k.faults = append(k.faults, v.fault(fmt.Sprintf(format, args...)))
}

// oneOf faults a value that is none of those allowed.
func (k *checker) oneOf(name, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		k.faultf(name, "%s is none of %s", quote(value), strings.Join(allowed, ", "))
	}
}

// within faults a value outside least and most, both included.
func within[T cmp.Ordered](k *checker, name string, value, least, most T) {
	if value < least || value > most {
		k.faultf(name, "%v is not between %v and %v", value, least, most)
	}
}

// atLeast faults a value below least.
func atLeast[T cmp.Ordered](k *checker, name string, value, least T) {
	if value < least {
		k.faultf(name, "%v is below %v", value, least)
	}
}

// check returns everything wrong with the values and with their combination.
func (c Config) check() ConfigError {
	k := &checker{}
	c.checkProcess(k)
	c.checkRedis(k)
	c.checkAccess(k)
	c.checkCluster(k)
	c.checkClients(k)
	c.checkLimits(k)
	c.checkEvents(k)
	c.checkIngress(k)
	return k.faults
}

func (c Config) production() bool { return c.Environment == envProduction }

func (c Config) checkProcess(k *checker) {
	k.oneOf("ENVIRONMENT", c.Environment, envDevelopment, envStaging, envProduction)
	if c.Host != "" && net.ParseIP(c.Host) == nil && !hostPattern.MatchString(c.Host) {
		k.faultf("HOST", "%s is neither an IP address nor a host name", quote(c.Host))
	}
	within(k, "PORT", c.Port, 1, 65535)
	k.oneOf("LOG_FORMAT", c.LogFormat, "json", "text")
	for _, origin := range c.CORSOrigins {
		c.checkOrigin(k, origin)
	}
	within(k, "DRAIN_WINDOW", c.DrainWindow, 100*time.Millisecond, 10*time.Minute)
	within(k, "SHUTDOWN_TIMEOUT", c.ShutdownTimeout, time.Second, 15*time.Minute)
	if c.ShutdownTimeout <= c.DrainWindow {
		k.faultf("SHUTDOWN_TIMEOUT", "%v is not longer than DRAIN_WINDOW (%v)", c.ShutdownTimeout, c.DrainWindow)
	}
	if c.CanaryInterval != 0 {
		within(k, "CANARY_INTERVAL", c.CanaryInterval, 100*time.Millisecond, time.Hour)
	}
	if key := len(c.AdminAPIKey); key > 0 && key < minSecret {
		k.faultf("ADMIN_API_KEY", "has %d bytes; %d or more are needed", key, minSecret)
	} else if key > 0 && c.adminConfig().Validate() != nil && nodeNamePattern.MatchString(c.NodeName) {
		k.faultf("ADMIN_API_KEY", "is not of at most 1,024 visible ASCII characters")
	}
	within(k, "METRICS_PORT", c.MetricsPort, 0, 65535)
	if c.MetricsPort > 0 && c.MetricsPort == c.Port {
		k.faultf("METRICS_PORT", "%d is PORT, too; leave it at 0 for that", c.MetricsPort)
	}
}

func (c Config) checkOrigin(k *checker, origin string) {
	if origin == "*" {
		switch {
		case len(c.CORSOrigins) > 1:
			k.faultf("CORS_ORIGINS", "* stands beside other origins")
		case c.production():
			k.faultf("CORS_ORIGINS", "* is refused in production")
		}
		return
	}
	if strings.Contains(origin, "*") {
		k.faultf("CORS_ORIGINS", "%s has a wildcard, which only * alone may be", quote(origin))
		return
	}
	u, err := url.Parse(origin)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || origin != u.Scheme+"://"+u.Host {
		k.faultf("CORS_ORIGINS", "%s is not scheme://host or scheme://host:port, without a path", quote(origin))
	}
}

func (c Config) checkCluster(k *checker) {
	if !nodeNamePattern.MatchString(c.NodeName) {
		k.faultf("NODE_NAME", "%s is not 1 to 63 letters, digits, dots, underscores and hyphens, beginning with a letter or digit", quote(c.NodeName))
	}
	if c.AdvertiseAddr != "" {
		k.hostPort("ADVERTISE_ADDR", c.AdvertiseAddr)
	}
	if c.ClusterBind != "" {
		bind := c.ClusterBind
		if strings.HasPrefix(bind, ":") {
			bind = "0.0.0.0" + bind
		}
		if host := k.hostPort("CLUSTER_BIND", bind); host != "" && net.ParseIP(host) == nil {
			k.faultf("CLUSTER_BIND", "%s is not an IP address", quote(host))
		}
	}
	if c.ClusterAdvertise != "" {
		if !isHost(c.ClusterAdvertise) {
			k.hostPort("CLUSTER_ADVERTISE", c.ClusterAdvertise)
		}
		if !c.gossips() {
			k.faultf("CLUSTER_ADVERTISE", "is set, but neither CLUSTER_SEEDS nor CLUSTER_BIND is")
		}
	}
	for _, seed := range c.ClusterSeeds {
		if !isHost(seed) {
			k.hostPort("CLUSTER_SEEDS", seed)
		}
	}
	if c.production() && c.gossips() && len(c.ClusterSecret) < minSecret {
		k.faultf("CLUSTER_SECRET", "%s; gossip in production needs %d or more", lengthOf(c.ClusterSecret), minSecret)
	}
}

// hostPort faults what is not host:port, and returns the host.
func (k *checker) hostPort(name, value string) string {
	host, port, err := net.SplitHostPort(value)
	if err != nil || !isHost(host) {
		k.faultf(name, "%s is not host:port", quote(withoutUser(value)))
		return ""
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		k.faultf(name, "%s has no port between 1 and 65535", quote(withoutUser(value)))
		return ""
	}
	return host
}

// withoutUser cuts off what stands before an address' host: somebody may have given a URL with a password.
func withoutUser(value string) string {
	if at := strings.LastIndexByte(value, '@'); at >= 0 {
		return "xxxxx" + value[at:]
	}
	return value
}

func isHost(s string) bool { return net.ParseIP(s) != nil || hostPattern.MatchString(s) }

func lengthOf(s secret) string {
	if s == "" {
		return "is not set"
	}
	return fmt.Sprintf("has %d bytes", len(s))
}

func (c Config) checkClients(k *checker) {
	within(k, "WS_MAX_CONNECTIONS", c.WSMaxConnections, 1, 1_000_000)
	within(k, "CONNECT_RATE", c.ConnectRate, 0, 1_000_000)
	within(k, "CONNECT_TIMEOUT", c.ConnectTimeout, time.Second, 5*time.Minute)
	within(k, "PING_INTERVAL", c.PingInterval, time.Second, 5*time.Minute)
	within(k, "PING_TIMEOUT", c.PingTimeout, time.Second, 5*time.Minute)
	within(k, "MAX_PAYLOAD", c.MaxPayload, 1<<10, 16<<20)
}

func (c Config) checkLimits(k *checker) {
	for _, proxy := range c.TrustedProxies {
		if _, err := limits.ParseProxies(proxy); err != nil {
			k.faultf("TRUSTED_PROXIES", "%s", strings.TrimPrefix(err.Error(), limits.ErrProxies.Error()+": "))
		}
	}
	within(k, "HANDSHAKE_RATE", c.HandshakeRate, 0, 1_000_000)
	within(k, "HANDSHAKE_BURST", c.HandshakeBurst, 1, 1_000_000)
	within(k, "MAX_SOCKETS_PER_USER", c.MaxSocketsPerUser, 0, 1_000_000)
	within(k, "MAX_ROOMS_PER_SOCKET", c.MaxRoomsPerSocket, 1, 10_000)
	within(k, "EVENT_RATE", c.EventRate, 0, 1_000_000)
	within(k, "EVENT_BURST", c.EventBurst, 1, 1_000_000)
}

func (c Config) checkEvents(k *checker) {
	within(k, "RECOVERY_WINDOW", c.RecoveryWindow, time.Second, time.Hour)
	within(k, "RECOVERY_MAX_EVENTS", c.RecoveryMaxEvents, 1, 50_000)
	within(k, "RING_MAX_ENTRIES", c.RingMaxEntries, 100, 10_000_000)
	c.checkTracing(k)
	within(k, "RING_MAX_BYTES", c.RingMaxBytes, 1<<20, 16<<30)
	atLeast(k, "LOG_MAX_ENTRIES", c.LogMaxEntries, 1000)
	atLeast(k, "DEAD_MAX_ENTRIES", c.DeadMaxEntries, 1000)
	atLeast(k, "GRANT_TTL", c.GrantTTL, time.Minute)
	within(k, "DEDUPE_TTL", c.DedupeTTL, time.Second, 7*24*time.Hour)
	k.oneOf("VALIDATE_EVENTS", c.ValidateEvents, validateOff, validateWarn, validateEnforce)
}

// oddities warns of values that have no effect.
func (r *reading) oddities() []string {
	c := r.Config
	var w []string
	isSet := func(name string) bool { return r.Sources[name] != fromDefault }
	for _, v := range variables {
		if raw := r.Raw[v.Name]; v.Secret && raw != strings.TrimSpace(raw) {
			w = append(w, v.Name+" begins or ends with white space, which is part of it")
		}
	}
	if c.RedisURL != "" && (isSet("REDIS_HOST") || isSet("REDIS_PORT")) {
		w = append(w, "REDIS_URL is used; REDIS_HOST and REDIS_PORT have no effect")
	}
	hs, asymmetric := c.algorithmKinds()
	if c.JWTSecretKey != "" && !hs {
		w = append(w, "JWT_SECRET_KEY has no effect: JWT_ALGORITHM names no HS algorithm")
	}
	if (c.JWTPublicKeyPath != "" || c.JWTJWKSURL != "") && !asymmetric {
		w = append(w, "JWT_PUBLIC_KEY_PATH and JWT_JWKS_URL have no effect: JWT_ALGORITHM names HS algorithms only")
	}
	if c.EventRate > 0 && c.EventBurst < c.MaxRoomsPerSocket {
		w = append(w, "EVENT_BURST is below MAX_ROOMS_PER_SOCKET: a page that subscribes to so many at once is refused some")
	}
	if len(c.TrustedProxies) > 0 && c.HandshakeRate == 0 {
		w = append(w, "TRUSTED_PROXIES has no effect: HANDSHAKE_RATE is 0")
	}
	return w
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
