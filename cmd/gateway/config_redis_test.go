package main

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func options(t *testing.T, blocking bool, environ ...string) *redis.UniversalOptions {
	t.Helper()
	r := read(t, good(environ...)...)
	require.Empty(t, r.Faults)
	return r.Config.redisOptions(blocking)
}

func TestRedisOptions(t *testing.T) {
	o := options(t, false, "NODE_NAME=n1", "REDIS_HOST=h", "REDIS_PORT=1", "REDIS_DB=2", "REDIS_USERNAME=u", "REDIS_PASSWORD=p")
	require.Equal(t, []string{"h:1"}, o.Addrs)
	require.Equal(t, "gateway:n1", o.ClientName)
	require.Equal(t, []any{"u", "p", 2}, []any{o.Username, o.Password, o.DB})
	require.Equal(t, -1, o.MaxRetries)
	require.Equal(t, -1, o.MaxRedirects)
	require.Equal(t, maintnotifications.ModeDisabled, o.MaintNotificationsConfig.Mode)
	require.LessOrEqual(t, o.DialTimeout, 3*time.Second)
	require.LessOrEqual(t, o.ReadTimeout, 3*time.Second)
	require.Nil(t, o.TLSConfig)
	require.False(t, o.IsClusterMode)

	blocking := options(t, true)
	require.Greater(t, blocking.ReadTimeout, 2*time.Second)
	require.Less(t, blocking.PoolSize, o.PoolSize)
}

func TestRedisURL(t *testing.T) {
	o := options(t, false, "REDIS_URL=rediss://u:p%40@h:2/3", "REDIS_HOST=ignored")
	require.Equal(t, []string{"h:2"}, o.Addrs)
	require.Equal(t, []any{"u", "p@", 3}, []any{o.Username, o.Password, o.DB})
	require.Empty(t, o.TLSConfig.ServerName, "the host's")

	o = options(t, false, "REDIS_URL=redis://u:p@h", "REDIS_PASSWORD=q", "REDIS_TLS=true")
	require.Equal(t, []string{"h:6379"}, o.Addrs)
	require.Equal(t, "q", o.Password)
	require.NotNil(t, o.TLSConfig)
}

func TestRedisModes(t *testing.T) {
	closing := func(o *redis.UniversalOptions) redis.UniversalClient {
		c := redis.NewUniversalClient(o)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	o := options(t, false, "REDIS_MODE=cluster", "REDIS_ADDRS=127.0.0.1:1", "REDIS_MASTER_NAME=left-over")
	require.True(t, o.IsClusterMode)
	require.IsType(t, &redis.ClusterClient{}, closing(o))

	o = options(t, false, "REDIS_MODE=sentinel", "REDIS_ADDRS=127.0.0.1:1,127.0.0.1:2", "REDIS_MASTER_NAME=m", "REDIS_SENTINEL_PASSWORD=s", "REDIS_DB=4")
	require.Equal(t, []any{"m", "s", 4}, []any{o.MasterName, o.SentinelPassword, o.DB})
	require.IsType(t, &redis.Client{}, closing(o))

	require.IsType(t, &redis.Client{}, closing(options(t, false)))
}

// TestStoppedRedisDoesNotHang: the process neither answers nor closes its connections.
func TestStoppedRedisDoesNotHang(t *testing.T) {
	server := redistest.Start(t)
	c := read(t, good("NODE_NAME=n1", "REDIS_URL=redis://"+server.Addr())...).Config
	client := c.newRedis(false)
	defer func() { _ = client.Close() }()
	ctx := context.Background()
	name, err := client.Do(ctx, "CLIENT", "GETNAME").Text()
	require.NoError(t, err)
	require.Equal(t, "gateway:n1", name)

	server.Pause()
	defer server.Resume()
	start := time.Now()
	require.Error(t, client.Ping(ctx).Err())
	require.Less(t, time.Since(start), 8*time.Second)
	start = time.Now()
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	require.Error(t, client.XRead(short, &redis.XReadArgs{Streams: []string{"s", "0"}, Block: 2 * time.Second}).Err())
	require.Less(t, time.Since(start), 2*time.Second, "the context's deadline bounds a blocking read")
}

func TestCommandsThatWereNeverRunSaySo(t *testing.T) {
	server := redistest.Start(t)
	require.NoError(t, server.Client().ConfigSet(t.Context(), "requirepass", "right").Err())
	host, port, err := net.SplitHostPort(server.Addr())
	require.NoError(t, err)
	r := read(t, good("REDIS_HOST="+host, "REDIS_PORT="+port, "REDIS_PASSWORD=wrong")...)
	require.Empty(t, r.Faults)
	client := r.Config.newRedis(false)
	defer func() { require.NoError(t, client.Close()) }()
	for _, pipe := range []redis.Pipeliner{client.Pipeline(), client.TxPipeline()} {
		added := pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: "s", Values: []string{"a", "b"}})
		info := pipe.XInfoStream(t.Context(), "s")
		_, err := pipe.Exec(t.Context())
		require.ErrorContains(t, err, "WRONGPASS")
		require.ErrorContains(t, added.Err(), "WRONGPASS")
		require.ErrorContains(t, info.Err(), "WRONGPASS")
	}
}
