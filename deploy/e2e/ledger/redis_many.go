package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// The kinds of Redis that a run can have besides a single server.
const (
	sentinels    = "sentinel" // a master and two replicas, watched by three sentinels
	redisCluster = "cluster"  // three masters with a replica each
)

// masterName is what the sentinels call the master.
const masterName = "teloo"

// takenFor is after how long an unreachable server is taken for dead; the machine may be busy.
const takenFor = 4 * time.Second

// redisMany are the servers of such a Redis. The nodes reach them directly.
type redisMany struct {
	dir     string
	kind    string
	members []*redisMember
	watch   []*redisMember // sentinels
	client  redis.UniversalClient
}

// redisMember is one process.
type redisMember struct {
	name      string
	port, bus int
	args      []string
	direct    *redis.Client
	*process
}

// startMany returns what it started also with an error, to be stopped.
func startMany(ctx context.Context, dir, kind string) (*redisMany, error) {
	m := &redisMany{dir: dir, kind: kind}
	if kind == sentinels {
		return m, m.startSentinels(ctx)
	}
	return m, m.startCluster(ctx)
}

func (m *redisMany) prepare(name string, args ...string) (*redisMember, error) {
	one := &redisMember{name: name}
	for _, port := range []*int{&one.port, &one.bus} {
		var err error
		if *port, err = freePort(); err != nil {
			return nil, err
		}
	}
	dir := filepath.Join(m.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	one.args = append([]string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(one.port), "--dir", dir, "--daemonize", "no", "--save", "",
		"--appendonly", "yes", "--auto-aof-rewrite-percentage", "0", "--repl-diskless-sync-delay", "0",
		"--repl-backlog-size", "64mb",
	}, args...)
	one.direct = redis.NewClient(&redis.Options{Addr: loopback(one.port), MaxRetries: -1, DialerRetries: 1, ReadTimeout: 2 * time.Second})
	return one, nil
}

// launch starts a member, also anew after its end.
func (m *redisMany) launch(ctx context.Context, one *redisMember) error {
	var err error
	if one.process, err = spawn(spawnPlan{dir: m.dir, name: one.name}, "redis-server", one.args...); err != nil {
		return err
	}
	return until(ctx, one.name+" answers", 30*time.Second, func() error { return one.direct.Ping(ctx).Err() })
}

// add starts a server of the data.
func (m *redisMany) add(ctx context.Context, args ...string) (*redisMember, error) {
	one, err := m.prepare(fmt.Sprintf("redis%d", len(m.members)+1), args...)
	if err != nil {
		return nil, err
	}
	m.members = append(m.members, one)
	return one, m.launch(ctx, one)
}

func (m *redisMany) startSentinels(ctx context.Context) error {
	master, err := m.add(ctx)
	if err != nil {
		return err
	}
	for range 2 {
		if _, err := m.add(ctx, "--replicaof", "127.0.0.1 "+strconv.Itoa(master.port)); err != nil {
			return err
		}
	}
	for i := range 3 {
		one, err := m.prepare(fmt.Sprintf("sentinel%d", i+1))
		if err != nil {
			return err
		}
		file := filepath.Join(m.dir, one.name, "sentinel.conf")
		config := fmt.Sprintf("bind 127.0.0.1\nport %d\ndir %s\nsentinel monitor %s 127.0.0.1 %d 2\n"+
			"sentinel down-after-milliseconds %s %d\nsentinel failover-timeout %s 20000\n",
			one.port, filepath.Dir(file), masterName, master.port, masterName, takenFor.Milliseconds(), masterName)
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			return err
		}
		one.args = []string{file, "--sentinel"}
		m.watch = append(m.watch, one)
		if err := m.launch(ctx, one); err != nil {
			return err
		}
	}
	m.client = redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: masterName, SentinelAddrs: m.addrs(m.watch), MaxRetries: -1, DialerRetries: 1, ReadTimeout: 3 * time.Second,
	})
	return m.settled(ctx)
}

func (m *redisMany) startCluster(ctx context.Context) error {
	for range 6 {
		_, err := m.add(ctx, "--cluster-enabled", "yes", "--cluster-node-timeout", strconv.FormatInt(takenFor.Milliseconds(), 10),
			"--cluster-replica-validity-factor", "0", "--cluster-allow-replica-migration", "no")
		if err != nil {
			return err
		}
	}
	const slots = 16384
	for i, one := range m.members {
		if i > 0 {
			if err := one.direct.Do(ctx, "CLUSTER", "MEET", "127.0.0.1", m.members[0].port).Err(); err != nil {
				return err
			}
		}
		if i >= 3 {
			continue
		}
		if err := one.direct.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", slots*i/3, slots*(i+1)/3-1).Err(); err != nil {
			return err
		}
	}
	for i, one := range m.members[3:] {
		master, err := m.members[i].direct.Do(ctx, "CLUSTER", "MYID").Text()
		if err != nil {
			return err
		}
		err = until(ctx, one.name+" follows", startBound, func() error { return one.direct.Do(ctx, "CLUSTER", "REPLICATE", master).Err() })
		if err != nil {
			return err
		}
	}
	m.client = redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: m.addrs(m.members), MaxRetries: -1, MaxRedirects: 3, DialerRetries: 1, ReadTimeout: 3 * time.Second,
		ClusterStateReloadInterval: time.Second,
	})
	return m.settled(ctx)
}

// settled waits until the master of our keys has a replica in step, and all who decide on a failover know each other.
func (m *redisMany) settled(ctx context.Context) error {
	return until(ctx, "Redis is complete", startBound, func() error {
		master, err := m.master(ctx)
		if err != nil {
			return err
		}
		if m.kind == redisCluster {
			return errors.Join(m.inStep(ctx, master, 1), m.clusterKnown(ctx))
		}
		for _, one := range m.watch {
			text, err := one.direct.Info(ctx, "sentinel").Result()
			if err != nil || !strings.Contains(text, "slaves=2,sentinels=3") {
				return fmt.Errorf("%w: %s: %w", errUnwell, one.name, err)
			}
		}
		return m.inStep(ctx, master, 2)
	})
}

func (m *redisMany) clusterKnown(ctx context.Context) error {
	for _, one := range m.members {
		text, err := one.direct.ClusterInfo(ctx).Result()
		if err != nil || !strings.Contains(text, "cluster_state:ok") || !strings.Contains(text, "cluster_known_nodes:6") {
			return fmt.Errorf("%w: %s: %w", errUnwell, one.name, err)
		}
	}
	return nil
}

func (m *redisMany) inStep(ctx context.Context, master *redisMember, replicas int) error {
	text, err := master.direct.Info(ctx, "replication").Result()
	if have := strings.Count(text, "state=online"); err != nil || have < replicas {
		return fmt.Errorf("%w: %d replicas of %s: %w", errUnwell, have, master.name, err)
	}
	return nil
}

// server is the client of the server that now has our keys.
func (m *redisMany) server(ctx context.Context) (*redis.Client, error) {
	switch c := m.client.(type) {
	case *redis.ClusterClient:
		return c.MasterForKey(ctx, eventStream)
	case *redis.Client:
		return c, nil
	}
	return nil, errUnwell
}

// master is the member that now has our keys.
func (m *redisMany) master(ctx context.Context) (*redisMember, error) {
	var port string
	if m.kind == redisCluster {
		c, err := m.server(ctx)
		if err != nil {
			return nil, err
		}
		_, port, _ = strings.Cut(c.Options().Addr, ":")
	} else {
		addr, err := m.watch[0].direct.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName).StringSlice()
		if err != nil || len(addr) != 2 {
			return nil, fmt.Errorf("%w: no master: %w", errUnwell, err)
		}
		port = addr[1]
	}
	for _, one := range m.members {
		if strconv.Itoa(one.port) == port {
			return one, nil
		}
	}
	return nil, fmt.Errorf("%w: nobody is at port %s", errUnwell, port)
}

func (m *redisMany) addrs(of []*redisMember) []string {
	var addrs []string
	for _, one := range of {
		addrs = append(addrs, loopback(one.port))
	}
	return addrs
}

// environment tells a node where Redis is.
func (m *redisMany) environment() []string {
	if m.kind == redisCluster {
		return []string{"REDIS_MODE=cluster", "REDIS_ADDRS=" + strings.Join(m.addrs(m.members), ",")}
	}
	return []string{
		"REDIS_MODE=sentinel", "REDIS_ADDRS=" + strings.Join(m.addrs(m.watch), ","), "REDIS_MASTER_NAME=" + masterName,
	}
}

func (m *redisMany) processes() []*process {
	var all []*process
	for _, one := range append(m.watch, m.members...) {
		if one.process != nil {
			all = append(all, one.process)
		}
	}
	return all
}

func (m *redisMany) stop() error {
	if m.client != nil {
		_ = m.client.Close()
	}
	var errs []error
	for _, one := range append(m.watch, m.members...) {
		_ = one.direct.Close()
		if one.process != nil {
			errs = append(errs, one.end(syscall.SIGKILL, 10*time.Second))
		}
	}
	return errors.Join(errs...)
}
