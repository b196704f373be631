package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// silent keeps the client library from writing to stderr by itself: what went wrong is in the error of each call.
type silent struct{}

// Printf writes nothing.
func (silent) Printf(context.Context, string, ...any) {}

// Bounds of one Redis call: a stopped Redis must not hang its caller.
const (
	redisDialTimeout  = 2 * time.Second
	redisCallTimeout  = 3 * time.Second
	redisBlockTimeout = 5 * time.Second // the blocking reads' 2 s and a margin
)

var hashTagPattern = regexp.MustCompile(`^[^{}\s]*\{[^{}\s]+\}[^{}\s]*$`)

func (c Config) checkRedis(k *checker) {
	k.oneOf("REDIS_MODE", c.RedisMode, redisSingle, redisSentinel, redisCluster)
	within(k, "REDIS_PORT", c.RedisPort, 1, 65535)
	within(k, "REDIS_DB", c.RedisDB, 0, 1<<20)
	if !isHost(c.RedisHost) {
		k.faultf("REDIS_HOST", "%s is neither an IP address nor a host name", quote(withoutUser(c.RedisHost)))
	}
	if !hashTagPattern.MatchString(c.RedisPrefix) || len(c.RedisPrefix) > 64 {
		k.faultf("REDIS_PREFIX", "%s is not at most 64 bytes with exactly one {hash tag}", quote(c.RedisPrefix))
	}
	for _, addr := range c.RedisAddrs {
		k.hostPort("REDIS_ADDRS", addr)
	}
	if c.RedisURL != "" {
		c.checkRedisURL(k)
	}
	switch c.RedisMode {
	case redisSingle:
		if len(c.RedisAddrs) > 0 {
			k.faultf("REDIS_ADDRS", "is set, but REDIS_MODE is single; set that to sentinel or cluster, or use REDIS_URL")
		}
	case redisSentinel, redisCluster:
		c.checkRedisMany(k)
	}
}

func (c Config) checkRedisMany(k *checker) {
	if len(c.RedisAddrs) == 0 {
		k.faultf("REDIS_ADDRS", "is not set; REDIS_MODE=%s needs it", c.RedisMode)
	}
	if c.RedisURL != "" {
		k.faultf("REDIS_URL", "is only for REDIS_MODE=single; REDIS_ADDRS names the servers here")
	}
	if c.RedisMode == redisSentinel && c.RedisMasterName == "" {
		k.faultf("REDIS_MASTER_NAME", "is not set; REDIS_MODE=sentinel needs it")
	}
	if c.RedisMode == redisCluster && c.RedisDB != 0 {
		k.faultf("REDIS_DB", "is %d; a cluster has database 0 only", c.RedisDB)
	}
}

// checkRedisURL never shows the URL, which may hold a password.
func (c Config) checkRedisURL(k *checker) {
	u, err := url.Parse(string(c.RedisURL))
	switch {
	case err != nil:
		k.faultf("REDIS_URL", "is not a URL (are special characters of the password escaped?)")
	case u.Scheme != "redis" && u.Scheme != "rediss":
		k.faultf("REDIS_URL", "begins with neither redis:// nor rediss://")
	case u.Hostname() == "":
		k.faultf("REDIS_URL", "names no host")
	case u.RawQuery != "" || u.Fragment != "":
		k.faultf("REDIS_URL", "has parameters, which are not supported")
	default:
		if _, err := redis.ParseURL(string(c.RedisURL)); err != nil {
			k.faultf("REDIS_URL", "is not redis://user:password@host:port/database")
		}
	}
}

// redisOptions are the options of a Redis client: of the one for blocking reads, or of the one for everything else. The
// configuration has to be without faults.
func (c Config) redisOptions(blocking bool) *redis.UniversalOptions {
	o := &redis.UniversalOptions{
		Addrs:            c.RedisAddrs,
		MasterName:       c.RedisMasterName,
		IsClusterMode:    c.RedisMode == redisCluster,
		Username:         c.RedisUsername,
		Password:         string(c.RedisPassword),
		SentinelUsername: c.RedisSentinelUsername,
		SentinelPassword: string(c.RedisSentinelPassword),
		DB:               c.RedisDB,
		ClientName:       "gateway:" + c.NodeName,
		// RESP3 brings nothing that is used here and checks for push messages before every command.
		Protocol: 2,
		// An XADD whose answer was lost may have happened. On a cluster the client also repeats as part of following
		// redirects; so those are errors too, which refresh its map of the cluster, and the caller's own loop goes on.
		MaxRetries:    -1,
		MaxRedirects:  -1,
		DialTimeout:   redisDialTimeout,
		DialerRetries: 1,
		ReadTimeout:   redisCallTimeout,
		WriteTimeout:  redisCallTimeout,
		PoolTimeout:   redisCallTimeout,
		// go-redis gives blocking commands 10 s more than they block unless the context says less.
		ContextTimeoutEnabled: true,
		PoolSize:              max(16, 8*runtime.GOMAXPROCS(0)),
		// Pipelines share the pool: a second one would double the connections of a node.
		PipelinePoolSize:         -1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if c.RedisMode != redisSentinel {
		o.MasterName = "" // it would make the client ask sentinels
	}
	if blocking {
		o.ReadTimeout = redisBlockTimeout
		o.PoolSize = 8
	}
	if c.RedisTLS {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if c.RedisMode == redisSingle {
		c.singleRedis(o)
	}
	return o
}

func (c Config) singleRedis(o *redis.UniversalOptions) {
	o.Addrs = []string{net.JoinHostPort(c.RedisHost, strconv.Itoa(c.RedisPort))}
	if c.RedisURL == "" {
		return
	}
	u, err := redis.ParseURL(string(c.RedisURL))
	if err != nil {
		return // check has refused it
	}
	o.Addrs = []string{u.Addr}
	if u.TLSConfig != nil {
		o.TLSConfig = u.TLSConfig
	}
	if o.Username == "" {
		o.Username = u.Username
	}
	if o.Password == "" {
		o.Password = u.Password
	}
	if o.DB == 0 {
		o.DB = u.DB
	}
}

// redisPlace says where Redis is, for people; without credentials.
func (c Config) redisPlace() string {
	return c.RedisMode + " " + strings.Join(c.redisOptions(false).Addrs, ",")
}

// newRedis is a client by redisOptions. It connects when first used; the caller closes it.
func (c Config) newRedis(blocking bool) redis.UniversalClient {
	client := redis.NewUniversalClient(c.redisOptions(blocking))
	if cluster, ok := client.(*redis.ClusterClient); ok {
		cluster.OnNewNode(func(node *redis.Client) { node.AddHook(refusedLogins{}) })
	} else {
		client.AddHook(refusedLogins{})
	}
	return client
}

// refusedLogins tells each command of a pipeline that it was not run. The library does not if the server refuses the
// connection itself (password, number of clients): what was never sent would look done, and what there is would look empty.
type refusedLogins struct{}

var _ redis.Hook = refusedLogins{}

// DialHook implements redis.Hook.
func (refusedLogins) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (refusedLogins) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook implements redis.Hook.
func (refusedLogins) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if err != nil && !slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return cmd.Err() != nil }) {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
		}
		return err
	}
}
