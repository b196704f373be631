package main

import (
	"context"
	"errors"
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
	c.checkRedisTLS(k)
	within(k, "REDIS_WAIT_REPLICAS", c.RedisWaitReplicas, 0, 16)
	if c.RedisWaitTimeout != 0 {
		within(k, "REDIS_WAIT_TIMEOUT", c.RedisWaitTimeout, 10*time.Millisecond, 10*time.Minute)
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
		PipelinePoolSize: -1,
		// CLIENT SETINFO tells the library's name, is unknown before 7.2, and would need a right of its own.
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if c.RedisMode != redisSentinel {
		o.MasterName = "" // it would make the client ask sentinels
	}
	if blocking {
		o.ReadTimeout = redisBlockTimeout
		o.PoolSize = 8
	}
	if c.RedisMode == redisSingle {
		c.singleRedis(o)
	}
	if c.redisTLS() {
		o.TLSConfig = c.redisTLSConfig()
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
	o := c.redisOptions(blocking)
	if c.RedisMode != redisCluster {
		client := redis.NewUniversalClient(o)
		client.AddHook(refusedLogins{})
		return client
	}
	many := o.Cluster()
	many.ClusterStateReloadInterval = clusterReload
	// All keys are in one slot, so that there is nothing to distribute; it would have to ask for the table of all commands.
	many.DisableRoutingPolicies = true
	cluster := redis.NewClusterClient(many)
	cluster.OnNewNode(func(node *redis.Client) {
		node.AddHook(refusedLogins{})
		node.AddHook(lostServers{cluster})
	})
	return cluster
}

// clusterReload is the age at which a client's map of the cluster is read again for no other reason.
const clusterReload = 10 * time.Second

// lostServers has the map of the cluster read again when one of its servers cannot be reached. The library does so for
// redirects alone, and a dead master sends none: its slots would be looked for there until the map is too old.
type lostServers struct{ cluster *redis.ClusterClient }

var _ redis.Hook = lostServers{}

// DialHook implements redis.Hook.
func (l lostServers) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err != nil {
			l.cluster.ReloadState(ctx)
		}
		return conn, err
	}
}

// ProcessHook implements redis.Hook. A command sent to a server by itself, past the map, is redirected in vain else.
func (l lostServers) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		l.notice(ctx, cmd)
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (l lostServers) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			if l.notice(ctx, cmd) {
				break
			}
		}
		return err
	}
}

func (l lostServers) notice(ctx context.Context, cmd redis.Cmder) bool {
	if refusal := redis.Error(nil); !errors.As(cmd.Err(), &refusal) || !redirects(refusal.Error()) {
		return false
	}
	l.cluster.ReloadState(ctx)
	return true
}

// redirects tells whether a refusal says that the slot is, or will soon be, another server's.
func redirects(refusal string) bool {
	return slices.ContainsFunc([]string{"MOVED ", "READONLY ", "CLUSTERDOWN "}, func(kind string) bool {
		return strings.HasPrefix(refusal, kind)
	})
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
