package main

import (
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/teloo/realtime-gateway/adapter"
	"github.com/teloo/realtime-gateway/api"
	"github.com/teloo/realtime-gateway/api/admin"
	"github.com/teloo/realtime-gateway/node"
	"github.com/teloo/realtime-gateway/node/auth"
	"github.com/teloo/realtime-gateway/node/canary"
	"github.com/teloo/realtime-gateway/node/gossip"
	"github.com/teloo/realtime-gateway/node/limits"
	"github.com/teloo/realtime-gateway/presence"
	"github.com/teloo/realtime-gateway/streams"
)

// identity is this process' name in Redis and gossip: a restarted process is not its dead self.
func (c Config) identity(start time.Time) string {
	return c.NodeName + ":" + strconv.FormatInt(start.UnixMilli(), 10)
}

// logMaxAge is how long the log is kept: a client that lost its connection at the window's end still finds all of it.
func (c Config) logMaxAge() time.Duration { return 2 * c.RecoveryWindow }

func (c Config) streamsConfig(identity string) streams.Config {
	s := streams.DefaultConfig()
	s.Prefix = c.RedisPrefix
	s.Consumer = identity
	s.DedupeTTL = c.DedupeTTL
	s.GrantTTL = c.GrantTTL
	s.LogMaxAge = c.logMaxAge()
	s.LogMaxEntries = c.LogMaxEntries
	s.DeadMaxEntries = c.DeadMaxEntries
	return s
}

func (c Config) adapterConfig(identity string) adapter.Config {
	a := adapter.DefaultConfig()
	a.Prefix = c.RedisPrefix
	a.UID = identity
	a.LogMaxAge = c.logMaxAge()
	a.LogMaxEntries = c.LogMaxEntries
	a.RecoveryWindow = c.RecoveryWindow
	a.SessionTimeout = min(a.SessionTimeout, c.ConnectTimeout/5)
	a.CloseDelay = min(a.CloseDelay, c.RecoveryWindow/4)
	a.SessionTTL = max(a.SessionTTL, c.RecoveryWindow)
	a.RecoveryMaxEvents = c.RecoveryMaxEvents
	a.RingMaxEntries = c.RingMaxEntries
	a.RingMaxBytes = c.RingMaxBytes
	a.TraceEntries = c.TraceEntries
	a.SyncAfter = min(a.SyncAfter, c.RecoveryWindow/2)
	// With SyncAfter, so that the offset of a quiet client is still in the log at its window's end.
	a.PositionEvery = min(a.PositionEvery, a.LogMaxAge/8)
	a.Sharded = c.RedisMode == redisCluster
	a.WaitReplicas = c.RedisWaitReplicas
	a.WaitTimeout = c.RedisWaitTimeout
	return a
}

// gossipConfig is of use if gossips.
func (c Config) gossipConfig(identity string) gossip.Config {
	g := gossip.DefaultConfig()
	g.Bind = c.ClusterBind
	g.Advertise = c.ClusterAdvertise
	for _, seed := range c.ClusterSeeds {
		if isHost(seed) {
			seed = net.JoinHostPort(seed, gossipPort)
		}
		g.Seeds = append(g.Seeds, seed)
	}
	g.Secret = []byte(c.ClusterSecret)
	g.Identity = identity
	g.Meta = gossip.Meta{Name: c.NodeName, Addr: c.AdvertiseAddr, Version: buildVersion()}
	return g
}

func (c Config) budgetConfig() gossip.BudgetConfig {
	b := gossip.DefaultBudgetConfig()
	b.PerSecond = float64(c.ConnectRate)
	return b
}

func (c Config) presenceConfig(identity string) presence.Config {
	p := presence.DefaultConfig()
	p.Prefix = c.RedisPrefix
	p.Node = identity
	p.Name = c.NodeName
	p.Addr = c.AdvertiseAddr
	p.Version = buildVersion()
	p.LogKey = c.RedisPrefix + ":log"
	p.Window = c.RecoveryWindow
	p.Roles = roles
	p.Sharded = c.RedisMode == redisCluster
	return p
}

func (c Config) authConfig() auth.Config {
	a := auth.DefaultConfig()
	a.Algorithms = c.JWTAlgorithm
	a.Secret = []byte(c.JWTSecretKey)
	a.PublicKeyPath = c.JWTPublicKeyPath
	a.JWKSURL = c.JWTJWKSURL
	a.Issuer = c.JWTIssuer
	a.Audience = c.JWTAudience
	a.Roles = c.JWTRoles
	return a
}

func (c Config) revocationsConfig() auth.RevocationsConfig {
	r := auth.DefaultRevocationsConfig()
	r.Prefix = c.RedisPrefix
	return r
}

func (c Config) withdrawalsConfig() auth.WithdrawalsConfig {
	w := auth.DefaultWithdrawalsConfig()
	w.Prefix = c.RedisPrefix
	return w
}

func (c Config) subscribePolicy() auth.Policy {
	p := make(auth.Policy, len(c.SubscribePolicy))
	for role, access := range c.SubscribePolicy {
		p[role] = auth.Access(access)
	}
	return p
}

func (c Config) nodeConfig() node.Config {
	n := node.DefaultConfig()
	n.Name = c.NodeName
	if c.ClusterSecret != "" {
		n.SessionSecret = []byte(c.ClusterSecret)
	}
	n.MaxConnections = c.WSMaxConnections
	n.MaxRooms = c.MaxRoomsPerSocket
	n.PingInterval = c.PingInterval
	n.PingTimeout = c.PingTimeout
	n.ConnectTimeout = c.ConnectTimeout
	n.AdmitTimeout = c.ConnectTimeout * 7 / 10
	n.MaxPayload = int64(c.MaxPayload)
	n.AllowEIO3 = c.AllowEIO3
	n.Origins = c.CORSOrigins
	n.DrainWindow = c.DrainWindow
	n.TokenLeeway = c.authConfig().Leeway
	return n
}

func (c Config) canaryConfig(identity string) canary.Config {
	y := canary.DefaultConfig()
	y.Identity = identity
	y.Interval = c.CanaryInterval
	return y
}

func (c Config) limitsConfig() limits.Config {
	l := limits.DefaultConfig()
	l.TrustedProxies, _ = limits.ParseProxies(strings.Join(c.TrustedProxies, ",")) // checked
	l.HandshakeRate = float64(c.HandshakeRate)
	l.HandshakeBurst = c.HandshakeBurst
	l.MaxSocketsPerUser = c.MaxSocketsPerUser
	l.EventRate = float64(c.EventRate)
	l.EventBurst = c.EventBurst
	return l
}

// adminConfig is of use with a key.
func (c Config) adminConfig() admin.Config {
	a := admin.DefaultConfig()
	a.Key = string(c.AdminAPIKey)
	a.Node = c.NodeName
	return a
}

func (c Config) apiConfig() api.Config {
	a := api.DefaultConfig()
	a.Version = buildVersion()
	a.Node = c.NodeName
	a.Origins = c.CORSOrigins
	return a
}

// logger writes to the program's standard error; every record carries the node's name.
func (a *app) logger(c Config) *slog.Logger {
	a.level = newLogLevel(c.LogLevel)
	options := &slog.HandlerOptions{Level: a.level}
	var h slog.Handler = slog.NewJSONHandler(a.stderr, options)
	if c.LogFormat == "text" {
		h = slog.NewTextHandler(a.stderr, options)
	}
	return slog.New(h).With("node", c.NodeName)
}
