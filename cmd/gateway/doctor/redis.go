package doctor

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Versions of Redis, major and minor: below the first the gateway does not work, below the second not with a Cluster, and
// some figures are missing.
var (
	leastRedis = version{6, 2}
	goodRedis  = version{7, 0}
)

const (
	fullMemory    = 0.8 // share of maxmemory that is worth a warning
	brimmedMemory = 0.95
)

type version struct{ major, minor int }

func (v version) below(w version) bool {
	return v.major < w.major || v.major == w.major && v.minor < w.minor
}

// server is one server that holds data, and what its INFO says.
type server struct {
	addr string
	info map[string]string
	rdb  *redis.Client
}

// Redis examines the servers behind rdb, without those that only replicate.
type Redis struct {
	rdb                redis.UniversalClient
	prefix             string
	channels, patterns []string // that nodes subscribe to besides their own
}

// NewRedis examines the Redis of rdb, which it does not own; the gateway's keys there begin with prefix.
func NewRedis(rdb redis.UniversalClient, prefix string) *Redis {
	return &Redis{rdb: rdb, prefix: prefix}
}

// Listening has the permissions examined for these channels and patterns, too.
func (r *Redis) Listening(channels, patterns []string) *Redis {
	r.channels, r.patterns = channels, patterns
	return r
}

// Reachable says whether Redis answers, and how fast. Without it there is nothing to be examined by the others.
func (r *Redis) Reachable(ctx context.Context) Finding {
	began := time.Now()
	err := r.rdb.Ping(ctx).Err()
	took := time.Since(began)
	const slow = 100 * time.Millisecond
	f := ok("answers in %v", took.Round(10*time.Microsecond))
	switch {
	case err != nil:
		f = failure("check REDIS_URL or REDIS_HOST, the network, and the password", "does not answer: %v", err)
	case took > slow:
		f = warning("place Redis near the nodes: each event waits for it", "takes %v to connect and answer", took.Round(time.Millisecond))
	}
	f.Name = "redis"
	return f
}

// Checks are the examinations of the servers.
func (r *Redis) Checks() []Check {
	looks := []struct {
		name string
		look func(context.Context, server) Finding
	}{
		{"redis version", func(_ context.Context, s server) Finding { return r.version(s) }},
		{"redis persistence", func(_ context.Context, s server) Finding { return persistence(s) }},
		{"redis fsync", fsync},
		{"redis memory", func(_ context.Context, s server) Finding { return memory(s) }},
		{"redis replication", func(_ context.Context, s server) Finding { return replication(s) }},
	}
	checks := make([]Check, 0, len(looks)+1)
	for _, l := range looks {
		checks = append(checks, Check{Name: l.name, Run: func(ctx context.Context) []Finding { return r.each(ctx, l.look) }})
	}
	return append(checks, Check{Name: "redis permissions", Run: r.permissions})
}

// each looks at each server, and names it where there are several.
func (r *Redis) each(ctx context.Context, look func(context.Context, server) Finding) []Finding {
	servers, err := r.servers(ctx)
	if err != nil {
		return unknown(err)
	}
	found := make([]Finding, 0, len(servers))
	for _, s := range servers {
		f := look(ctx, s)
		if len(servers) > 1 {
			f.Says = s.addr + ": " + f.Says
		}
		found = append(found, f)
	}
	return found
}

func (r *Redis) servers(ctx context.Context) ([]server, error) {
	switch c := r.rdb.(type) {
	case *redis.ClusterClient:
		var mu sync.Mutex
		var servers []server // guarded by mu
		err := c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			s, err := newServer(ctx, node)
			mu.Lock()
			defer mu.Unlock()
			servers = append(servers, s)
			return err
		})
		slices.SortFunc(servers, func(a, b server) int { return strings.Compare(a.addr, b.addr) })
		return servers, err
	case *redis.Client:
		s, err := newServer(ctx, c)
		return []server{s}, err
	}
	return nil, fmt.Errorf("a client of an unknown kind: %T", r.rdb)
}

func newServer(ctx context.Context, rdb *redis.Client) (server, error) {
	text, err := rdb.Info(ctx).Result()
	s := server{addr: rdb.Options().Addr, info: map[string]string{}, rdb: rdb}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			s.info[name] = value
		}
	}
	return s, err
}

func (s server) number(name string) float64 {
	n, _ := strconv.ParseFloat(s.info[name], 64)
	return n
}

func (r *Redis) version(s server) Finding {
	name, text := "Redis", s.info["redis_version"]
	if v := s.info["valkey_version"]; v != "" {
		name = "Valkey " + v + ", compatible with Redis"
	}
	major, rest, _ := strings.Cut(text, ".")
	minor, _, _ := strings.Cut(rest, ".")
	var v version
	var err error
	if v.major, err = strconv.Atoi(major); err == nil {
		v.minor, err = strconv.Atoi(minor)
	}
	_, cluster := r.rdb.(*redis.ClusterClient)
	switch {
	case err != nil:
		return warning("6.2 is the least, 7.0 or newer is better", "says no version that can be read: %.32q", text)
	case v.below(leastRedis):
		return failure("upgrade to 7.0 or newer", "%s %s is older than 6.2", name, text)
	case v.below(goodRedis) && cluster:
		return failure("upgrade to 7.0 or newer", "%s %s has no sharded channels, which are used on a Cluster", name, text)
	case v.below(goodRedis):
		return warning("upgrade to 7.0 or newer", "%s %s cannot tell the stream's lag", name, text)
	}
	return ok("%s %s", name, text)
}

func persistence(s server) Finding {
	const do = "set `appendonly yes` and `appendfsync always`"
	switch {
	case s.info["aof_enabled"] == "":
		return warning("look at it by hand", "INFO does not say whether there is an AOF")
	case s.info["aof_enabled"] != "1":
		return failure(do, "there is no AOF: a restart of Redis loses events")
	case s.info["aof_last_write_status"] == "err":
		return failure("look at Redis' log, and whether its disk is full", "the AOF cannot be written")
	case s.info["loading"] == "1":
		return warning("wait", "Redis is still loading its data")
	case s.info["aof_last_bgrewrite_status"] == "err":
		return warning("look at Redis' log, and whether its disk is full", "the last rewrite of the AOF failed")
	}
	return ok("AOF is on")
}

// fsync asks for what managed services may hide.
func fsync(ctx context.Context, s server) Finding {
	if s.info["aof_enabled"] == "0" {
		return ok("without an AOF it does not matter")
	}
	got, err := s.rdb.ConfigGet(ctx, "appendfsync").Result()
	policy := got["appendfsync"]
	switch {
	case err != nil || policy == "":
		return warning("see to it that appendfsync is always", "could not be examined: CONFIG is not allowed (managed Redis?)")
	case policy == "always":
		return ok("appendfsync always")
	case policy == "everysec":
		return warning("set `appendfsync always`, unless that loss is acceptable", "appendfsync everysec: a crash of Redis' host loses the last second or two")
	}
	return failure("set `appendfsync always`", "appendfsync %s: a crash of Redis' host loses what the system has not written yet", policy)
}

func memory(s server) Finding {
	used, most, policy := s.number("used_memory"), s.number("maxmemory"), s.info["maxmemory_policy"]
	const mega = 1 << 20
	switch {
	case policy == "":
		return warning("see to it that maxmemory-policy is noeviction", "INFO does not tell the eviction policy")
	case policy != "noeviction" && most > 0:
		return failure("set `maxmemory-policy noeviction`", "%s: a full Redis throws events, sessions and presence away silently", policy)
	case policy != "noeviction":
		return warning("set `maxmemory-policy noeviction`", "%s, though without a maxmemory nothing is evicted", policy)
	case most > 0 && used/most > brimmedMemory:
		return failure("give it more memory: it refuses writes when full", "%.0f of %.0f MiB are used", used/mega, most/mega)
	case most > 0 && used/most > fullMemory:
		return warning("give it more memory: it refuses writes when full", "%.0f of %.0f MiB are used", used/mega, most/mega)
	case most == 0:
		return ok("noeviction; %.0f MiB are used, no maxmemory", used/mega)
	}
	return ok("noeviction; %.0f of %.0f MiB are used", used/mega, most/mega)
}

func replication(s server) Finding {
	replicas := int(s.number("connected_slaves"))
	switch {
	case s.info["role"] == "slave":
		return failure("name the primary, or the sentinels (REDIS_MODE=sentinel)", "this is a replica: it cannot be written to")
	case replicas == 0:
		return ok("no replicas")
	case s.info["min_slaves_good_slaves"] == "": // Redis tells it only if min-replicas-to-write is set
		return warning("set `min-replicas-to-write 1`, which narrows it", "%d replicas: a failover can lose the last writes", replicas)
	case s.number("min_slaves_good_slaves") < 1:
		return failure("look at the replicas", "no replica is good enough for min-replicas-to-write")
	}
	return ok("%d replicas, min-replicas-to-write is set", replicas)
}
