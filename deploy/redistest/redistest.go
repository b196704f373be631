// Package redistest starts real redis-server processes for tests, each on a free loopback port and with a directory of
// its own, and ends them with the test. It is imported by tests alone.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// startTimeout bounds how long a server may take to answer its first PING.
const startTimeout = 20 * time.Second

// Server is one redis-server process. Its methods are for the test's own goroutine.
type Server struct {
	tb   testing.TB
	port int
	dir  string
	args []string
	cmd  *exec.Cmd
}

// Start runs a redis-server with args (redis.conf directives as "--name", "value") added to its own, and stops it when
// the test ends. Without args it keeps nothing on disk.
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	s := &Server{tb: tb, port: freePort(tb), dir: tb.TempDir(), args: args}
	s.Launch()
	tb.Cleanup(s.Kill)
	return s
}

// Addr is the server's host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Client returns a client without retries, as the gateway's are; it is closed with the test.
func (s *Server) Client() *redis.Client {
	s.tb.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1})
	s.tb.Cleanup(func() { _ = c.Close() })
	return c
}

// Launch starts the process again after Kill, on the same port and directory.
func (s *Server) Launch() {
	s.tb.Helper()
	args := append([]string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", s.dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no",
	}, s.args...)
	s.cmd = exec.Command("redis-server", args...) //nolint:gosec // the arguments are the test's own
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatalf("starting redis-server: %v", err)
	}
	if err := s.waitReady(); err != nil {
		s.Kill()
		s.tb.Fatal(err)
	}
}

// Kill ends the process with SIGKILL and waits for it. It is safe to call twice.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// Pause stops the process with SIGSTOP, so that it neither answers nor closes; Resume continues it.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume continues a paused process.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig os.Signal) {
	s.tb.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.tb.Fatalf("signalling redis-server: %v", err)
	}
}

func (s *Server) waitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	c := redis.NewClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1})
	defer func() { _ = c.Close() }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := c.Ping(ctx).Err()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("redis-server on %s: %w", s.Addr(), errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("finding a free port: %v", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// StartReplica runs a redis-server that follows the one at addr, and returns once it is in step with it.
func StartReplica(tb testing.TB, addr string, args ...string) *Server {
	tb.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		tb.Fatalf("the master's address: %v", err)
	}
	s := Start(tb, append([]string{"--replicaof", host, port, "--repl-diskless-sync-delay", "0"}, args...)...)
	s.await("in step with its master", func(ctx context.Context, c *redis.Client) bool {
		info, err := c.Info(ctx, "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
	return s
}

// Promote makes a replica a master.
func (s *Server) Promote() {
	s.tb.Helper()
	if err := s.Client().Do(context.Background(), "REPLICAOF", "NO", "ONE").Err(); err != nil {
		s.tb.Fatalf("promoting redis-server on %s: %v", s.Addr(), err)
	}
}

func (s *Server) await(what string, ok func(context.Context, *redis.Client) bool) {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	c := s.Client()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok(ctx, c) {
		select {
		case <-ctx.Done():
			s.tb.Fatalf("redis-server on %s is not %s within %v", s.Addr(), what, startTimeout)
		case <-tick.C:
		}
	}
}
