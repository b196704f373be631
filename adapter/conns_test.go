package adapter

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// blockedReaders waits until Redis holds a read of the log.
func blockedReader(t *testing.T, c *redis.Client) {
	t.Helper()
	eventually(t, "the reader is blocked", func() bool {
		info, err := c.Info(context.Background(), "clients").Result()
		return err == nil && strings.Contains(info, "blocked_clients:1")
	})
}

func TestRunEndsWhileAReadOfTheLogBlocks(t *testing.T) {
	server := redistest.Start(t)
	cfg := testConfig("a:1")
	cfg.Block = 30 * time.Second
	n := startNode(t, server.Addr(), cfg)
	blockedReader(t, server.Client())
	begin := time.Now()
	n.cancel()
	<-n.done
	require.Less(t, time.Since(begin), 5*time.Second)
	require.Zero(t, n.cluster.Stats().ReadErrors)
}

func TestTheReaderNoticesConnectionsOfEveryKindOfClient(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t, "--cluster-enabled", "yes")
	admin := server.Client()
	require.NoError(t, admin.ClusterAddSlotsRange(ctx, 0, 16383).Err())
	eventually(t, "the cluster is up", func() bool {
		info, err := admin.ClusterInfo(ctx).Result()
		return err == nil && strings.Contains(info, "cluster_state:ok")
	})
	cluster := func() redis.UniversalClient {
		c := redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: []string{server.Addr()}, MaxRetries: -1, MaxRedirects: -1,
		})
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	cfg := testConfig("a:1")
	cfg.Sharded, cfg.Block = true, 30*time.Second
	n := startNode(t, server.Addr(), cfg, func(d *Deps) { d.Redis, d.Blocking = cluster(), cluster() })
	c := n.connect("r")
	n.publish("one", "r")
	c.expect(events("one")...)
	require.NotZero(t, n.cluster.conns.dials.Load())
	blockedReader(t, admin)
	begin := time.Now()
	n.cancel()
	<-n.done
	require.Less(t, time.Since(begin), 5*time.Second)
}
