package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// devRedis is the Redis of a demonstration: in this process, or a redis-server that keeps nothing on disk.
type devRedis struct {
	kind string
	port int
	stop func()
}

// startDevRedis starts the Redis that was chosen. The embedded one has every command that the scripts use.
func startDevRedis(ctx context.Context, choice string, log *slog.Logger) (*devRedis, error) {
	if choice == "server" {
		return startRedisServer(ctx)
	}
	return startEmbedded(log)
}

// startRedisServer runs the installed redis-server on a free port.
func startRedisServer(ctx context.Context) (*devRedis, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errors.New("redis-server is not installed")
	}
	dir, err := os.MkdirTemp("", "gateway-dev-")
	if err != nil {
		return nil, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	// Not bound to ctx: the nodes leave first.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), path, "--bind", devHost, "--port", strconv.Itoa(port), "--dir", dir, "--save", "", "--appendonly", "no") //nolint:gosec // found in PATH, as asked for
	// Nor ended by the terminal's Ctrl-C.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	stop := func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	}
	if err := awaitRedis(ctx, net.JoinHostPort(devHost, strconv.Itoa(port))); err != nil {
		stop()
		return nil, err
	}
	return &devRedis{kind: "a redis-server of its own", port: port, stop: stop}, nil
}

func awaitRedis(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1})
	defer func() { _ = client.Close() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := client.Ping(ctx).Err()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("redis-server does not answer: %w", err)
		case <-tick.C:
		}
	}
}

func freePort(ctx context.Context) (int, error) {
	l, err := listen(ctx, devHost, 0)
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it is a TCP listener's
	return port, l.Close()
}
