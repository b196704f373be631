package streams

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// longReads makes a node's blocking reads last 30 s, with a client that waits for them.
func (r *rig) longReads(c *Config, d *Deps) {
	r.tb.Helper()
	client := redis.NewClient(&redis.Options{Addr: r.addr, MaxRetries: -1, ReadTimeout: time.Minute})
	r.tb.Cleanup(func() { _ = client.Close() })
	c.Block, d.Blocking = 30*time.Second, client
}

// blocked waits until a read waits for entries.
func (r *rig) blocked() {
	r.tb.Helper()
	r.eventually("a blocked read", func() bool {
		for line := range strings.Lines(r.rdb.ClientList(r.tb.Context()).Val()) {
			if strings.Contains(line, "cmd=xreadgroup") && strings.Contains(line, "flags=b") {
				return true
			}
		}
		return false
	})
}

// endsBefore requires that Run ends long before its blocking read would.
func (n *rigNode) endsBefore(limit time.Duration) {
	n.tb.Helper()
	n.cancel()
	select {
	case <-n.finished:
	case <-time.After(limit):
		n.tb.Error("the blocking read was waited for")
	}
}

func TestIdleRunEndsAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.start("a:1", r.longReads)
	r.settled(r.publish(10))
	r.blocked()
	n.endsBefore(10 * time.Second)
	consumers, err := r.rdb.XInfoConsumers(t.Context(), r.keys.events, "gateway").Result()
	require.NoError(t, err)
	require.Empty(t, consumers)
}

func TestIdleRunEndsAtOnceOnACluster(t *testing.T) {
	t.Parallel()
	r := rigAt(t, redistest.Start(t, "--cluster-enabled", "yes").Addr())
	require.NoError(t, r.rdb.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err())
	r.eventually("cluster formed", func() bool { return r.rdb.Exists(t.Context(), r.keys.events).Err() == nil })
	n := r.start("a:1", func(c *Config, d *Deps) {
		client := func(patience time.Duration) redis.UniversalClient {
			u := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{r.addr}, MaxRetries: -1, ReadTimeout: patience})
			t.Cleanup(func() { _ = u.Close() })
			return u
		}
		c.Block, d.Redis, d.Blocking = 30*time.Second, client(3*time.Second), client(time.Minute)
	})
	r.settled(r.publish(10))
	r.blocked()
	n.endsBefore(10 * time.Second)
}

// A stop may come in any moment of a read: what was delivered is settled before Run ends.
func TestUnblockingLosesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.group()
	var ids []string
	for round := range 40 {
		n := r.start("a:"+strconv.Itoa(round), r.longReads)
		if round%2 == 0 {
			r.blocked()
		}
		n.cancel()
		ids = append(ids, r.publish(1+round%3)...)
		n.endsBefore(10 * time.Second)
		require.Empty(t, r.pending(), "round %d", round)
	}
	r.start("last:1")
	r.settled(ids)
	require.Zero(t, rigEach(r.nodes, func(s Stats) uint64 { return s.Reclaimed }))
}

// The stream's slot may move to another server while a connection to the old one is held.
func TestReadsFollowTheirSlot(t *testing.T) {
	t.Parallel()
	servers := []*redistest.Server{
		redistest.Start(t, "--cluster-enabled", "yes"), redistest.Start(t, "--cluster-enabled", "yes"),
	}
	r := rigAt(t, servers[0].Addr())
	from, to := r.rdb, servers[1].Client()
	host, port, err := net.SplitHostPort(servers[1].Addr())
	require.NoError(t, err)
	require.NoError(t, from.ClusterMeet(t.Context(), host, port).Err())
	require.NoError(t, from.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err())
	r.eventually("cluster formed", func() bool {
		return from.Exists(t.Context(), r.keys.events).Err() == nil &&
			strings.Contains(to.ClusterNodes(t.Context()).Val(), "0-16383")
	})
	client := func() *redis.ClusterClient {
		u := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{r.addr}, MaxRetries: -1})
		t.Cleanup(func() { _ = u.Close() })
		return u
	}
	n := r.start("a:1", func(_ *Config, d *Deps) { d.Redis, d.Blocking = client(), client() })
	r.settled(r.publish(10))
	require.NoError(t, from.Del(t.Context(), r.keys.events, r.keys.log, r.keys.committed).Err())

	slot := from.ClusterKeySlot(t.Context(), r.keys.events).Val()
	id := to.ClusterMyID(t.Context()).Val()
	for _, server := range []*redis.Client{to, from} {
		r.eventually("slot given away", func() bool {
			_ = from.Del(t.Context(), r.keys.events, r.keys.log, r.keys.committed).Err() // the consumer creates them again
			return server.Do(t.Context(), "CLUSTER", "SETSLOT", slot, "NODE", id).Err() == nil
		})
	}
	r.rdb = to
	before := n.Stats().Relayed
	var ids []string
	r.eventually("written on the new server", func() bool {
		got, err := to.XAdd(t.Context(), &redis.XAddArgs{Stream: r.keys.events, Values: rigEvent("{}")}).Result()
		if err == nil {
			ids = append(ids, got)
		}
		return len(ids) >= 5
	})
	r.eventually("relayed there", func() bool { return n.Stats().Relayed >= before+uint64(len(ids)) })
	require.Subset(t, r.relayed(), ids)
}
