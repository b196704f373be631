package main

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func TestADemonstrationIsForDevelopmentOnly(t *testing.T) {
	for _, environment := range []string{"staging", "production"} {
		for _, args := range [][]string{{"serve", "--demo"}, {"flow"}} {
			r := gateway(t, good("ENVIRONMENT="+environment, "HOST=127.0.0.1", "PORT=1", "REDIS_PORT=1"), "", args...)
			require.Equal(t, exitFailure, r.code, args)
			require.Contains(t, r.stderr, "is not development", args)
		}
	}
}

func TestADemonstrationIsOnLoopbackUnlessHostIsSet(t *testing.T) {
	for host, want := range map[string]string{"": "127.0.0.1", "0.0.0.0": "0.0.0.0"} {
		cfg := Config{Environment: envDevelopment, RedisMode: redisSingle, RedisHost: "127.0.0.1", RedisPort: 1, Host: host}
		page, err := openDemo(&cfg)
		require.NoError(t, err)
		page.close()
		require.Equal(t, want, cfg.Host)
	}
}

func TestFlowWritesToTheConfiguredRedis(t *testing.T) {
	server := redistest.Start(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer func() { _ = client.Close() }()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var out, errs bytes.Buffer
	a := &app{stdout: &out, stderr: &errs, environ: good("REDIS_URL=redis://" + server.Addr())}
	ended := make(chan int, 1)
	go func() { ended <- a.run(ctx, []string{"--env-file", "", "flow", "--every", "5ms"}) }()
	require.Eventually(t, func() bool {
		n, err := client.XLen(context.Background(), "{teloo}:events").Result()
		return err == nil && n > 3
	}, 20*time.Second, 10*time.Millisecond)
	stop()
	require.Equal(t, exitOK, <-ended, errs.String())
}
