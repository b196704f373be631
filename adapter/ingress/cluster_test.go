package ingress

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// redisCluster is three masters, the first of which has the lease and the log.
type redisCluster struct {
	servers [3]*redistest.Server
	clients [3]*redis.Client
	all     *redis.ClusterClient
}

func newRedisCluster(t *testing.T) *redisCluster {
	t.Helper()
	c := &redisCluster{}
	var addrs []string
	var buses []int
	for i := range c.servers {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		bus := l.Addr().(*net.TCPAddr).Port
		require.NoError(t, l.Close())
		c.servers[i] = redistest.Start(t, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus), "--cluster-node-timeout", "60000")
		c.clients[i] = c.servers[i].Client()
		addrs, buses = append(addrs, c.servers[i].Addr()), append(buses, bus)
	}
	_, port, err := net.SplitHostPort(addrs[0])
	require.NoError(t, err)
	// {teloo} is in the first part.
	for i, part := range [][2]int{{0, 9999}, {10000, 12999}, {13000, 16383}} {
		if i > 0 {
			require.NoError(t, c.clients[i].Do(t.Context(), "CLUSTER", "MEET", "127.0.0.1", port, buses[0]).Err())
		}
		require.NoError(t, c.clients[i].Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", part[0], part[1]).Err())
	}
	for _, one := range c.clients {
		eventually(t, "the cluster is complete", func() bool {
			info := one.ClusterInfo(t.Context()).Val()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
	}
	c.all = redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, MaxRetries: -1})
	t.Cleanup(func() { _ = c.all.Close() })
	return c
}

// at subscribes at one of the servers.
func (c *redisCluster) at(i int) func(context.Context) (redis.UniversalClient, string, error) {
	return func(context.Context) (redis.UniversalClient, string, error) {
		return c.clients[i], c.servers[i].Addr(), nil
	}
}

// What the first holder was told, and has appended, is still on its way to the server where the next one subscribes. That
// the next one is in time to be told it, too, is not in the test's hands: it is tried some times.
func TestWhatIsOnItsWayThroughARedisClusterIsNotTakenTwice(t *testing.T) {
	c := newRedisCluster(t)
	r := &rig{t: t, rdb: c.all}
	sent, told := 0, uint64(0)
	for i := 0; i < 5 && told == 0; i++ {
		sent, told = c.overtake(r, i, sent)
		all := r.logged()
		once(t, all)
		require.Len(t, all, sent)
	}
	t.Log("messages of the first one's that the second was told:", told)
}

// overtake has one node listen, stop, and be followed by another that subscribes before all that the first one had has
// reached its server. It returns how many were sent by now, and how many both were told.
func (c *redisCluster) overtake(r *rig, attempt, sent int) (int, uint64) {
	r.t.Helper()
	const many = 2000
	pad := strings.Repeat("x", 20<<10)
	publish := func() {
		message := fmt.Sprintf(`{"method":"emit","event":"e","data":%d,"pad":%q}`, sent, pad)
		require.NoError(r.t, c.clients[2].Publish(r.t.Context(), "socketio", message).Err())
		sent++
	}
	cfg := r.config(fmt.Sprint("first", attempt))
	cfg.QueueBytes = 256 << 20
	one := r.startOn(c.all, cfg, nil, c.at(0))
	r.listener(one)
	c.servers[1].Pause()
	for range many {
		publish()
	}
	eventually(r.t, "all are appended", func() bool { return one.Stats().Of(Python, Accepted) == many })
	one.stop()
	cfg.Identity = fmt.Sprint("second", attempt)
	two := r.startOn(c.all, cfg, nil, c.at(1))
	eventually(r.t, "the next one has the lease", func() bool { return two.Stats().Terms > 0 })
	// It gets to the subscription before it has come to the end of what others have sent it. The sleeps wait for nothing: they
	// are for how long the server runs, so briefly, and how long it stands still.
	for range 60 {
		c.servers[1].Resume()
		time.Sleep(200 * time.Microsecond)
		c.servers[1].Pause()
		time.Sleep(5 * time.Millisecond)
	}
	c.servers[1].Resume()
	r.listener(two)
	publish()
	eventually(r.t, "it goes on", func() bool { return two.Stats().Of(Python, Accepted) > 0 })
	two.stop()
	return sent, two.Stats().Of(Python, Superseded)
}

func TestOnARedisClusterNothingIsLostWhenTheHolderStops(t *testing.T) {
	c := newRedisCluster(t)
	r := &rig{t: t, rdb: c.all}
	one := r.startOn(c.all, r.config("n1"), nil, nil)
	r.listener(one)
	two := r.startOn(c.all, r.config("n2"), nil, nil)
	r.rdb = c.clients[2]
	stop := r.flow()
	one.stop()
	r.listener(two)
	eventually(t, "it goes on", func() bool { return two.Stats().Of(Python, Accepted) > 10 })
	sent := stop()
	r.rdb = c.all
	eventually(t, "all are there", func() bool { return len(r.logged()) >= sent-int(one.Stats().Of(Python, Superseded)) })
	once(t, r.logged())
	require.EqualValues(t, 1, two.Stats().Handovers)
	require.Len(t, r.logged(), sent)
}
