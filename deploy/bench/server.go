package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/teloo/realtime-gateway/deploy/bench/load"
)

const (
	peersDir     = "deploy/bench/peers"
	jwtSecret    = "a-secret-of-the-benchmark-only-32-bytes-long"
	startTimeout = 30 * time.Second
)

// peer is a server to be measured.
type peer struct {
	name     string
	title    string
	protocol load.Protocol
	command  []string
	dir      string
	env      []string
	ready    string // path that answers 200 when it serves
}

// peers builds what has to be built and returns the servers by name.
func peers(ctx context.Context, root, tmp, gateway string, names []string) ([]peer, error) {
	known := map[string]peer{
		"gateway":          {title: "gateway", command: []string{gateway, "--env-file", "", "serve"}, ready: "/health/ready"},
		"node":             {title: "Node socket.io", command: []string{"node", "gateway.mjs"}, dir: filepath.Join(root, peersDir, "node")},
		"centrifuge":       {title: "centrifuge", protocol: load.Centrifuge, command: []string{filepath.Join(tmp, "centrifuge")}},
		"centrifuge-redis": {title: "centrifuge, Redis broker", protocol: load.Centrifuge, command: []string{filepath.Join(tmp, "centrifuge")}, env: []string{"BENCH_BROKER=redis"}},
		"centrifuge-delay": {title: "centrifuge, WriteDelay 10 ms", protocol: load.Centrifuge, command: []string{filepath.Join(tmp, "centrifuge")}, env: []string{"BENCH_WRITE_DELAY=10ms"}},
	}
	var chosen []peer
	for _, name := range names {
		p, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("-peers: %q is none of gateway, node, centrifuge, centrifuge-redis, centrifuge-delay", name)
		}
		p.name = name
		if p.ready == "" {
			p.ready = "/"
		}
		var err error
		switch name {
		case "gateway":
			if gateway == "" {
				p.command[0] = filepath.Join(tmp, "gateway")
				err = build(ctx, root, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", p.command[0], "./cmd/gateway")
			}
		case "node":
			if _, missing := os.Stat(filepath.Join(p.dir, "node_modules")); missing != nil {
				err = build(ctx, p.dir, "npm", "ci", "--no-audit", "--no-fund")
			}
		default:
			err = build(ctx, filepath.Join(root, peersDir, "centrifuge"), "go", "build", "-trimpath", "-o", p.command[0], ".")
		}
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, p)
	}
	return chosen, nil
}

func build(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the builds above
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %v: %w", name, args, err)
	}
	return nil
}

// process is a server that this program started.
type process struct {
	cmd  *exec.Cmd
	log  string
	gone chan struct{} // closed when it has ended
}

// start runs command on a core; what it writes goes to the file log.
func start(core int, dir string, env []string, log string, command ...string) (*process, error) {
	out, err := os.Create(log) //nolint:gosec // in this run's own directory
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	args := append([]string{"-c", strconv.Itoa(core)}, command...)
	cmd := exec.Command("taskset", args...) //nolint:gosec,noctx // ended by stop
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, append(os.Environ(), env...), out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, log: log, gone: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(p.gone)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	<-p.gone
}

// await polls ok until it succeeds, the process has ended, or time is up.
func (p *process) await(ctx context.Context, what string, ok func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w; it wrote:\n%s", what, err, tail(p.log))
		case <-p.gone:
			return fmt.Errorf("%s has ended; it wrote:\n%s", what, tail(p.log))
		case <-tick.C:
		}
	}
}

func tail(path string) string {
	content, err := os.ReadFile(path) //nolint:gosec // in this run's own directory
	if err != nil {
		return err.Error()
	}
	return string(content[max(0, len(content)-2000):])
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // done at once
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("no TCP address")
	}
	return addr.Port, nil
}

// startRedis starts a Redis that keeps nothing on disk, on the load's core.
func startRedis(ctx context.Context, tmp string, core int) (*process, string, error) {
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	p, err := start(core, tmp, nil, filepath.Join(tmp, "redis.log"), "redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(port),
		"--save", "", "--appendonly", "no", "--dir", tmp)
	if err != nil {
		return nil, "", err
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1})
	defer func() { _ = c.Close() }()
	if err := p.await(ctx, "redis-server", func(ctx context.Context) error { return c.Ping(ctx).Err() }); err != nil {
		p.stop()
		return nil, "", err
	}
	return p, addr, nil
}

// startPeer starts a server on its core and returns its host:port.
func startPeer(ctx context.Context, p peer, tmp, redisAddr string, core int) (*process, string, error) {
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	env := append([]string{
		"PORT=" + strconv.Itoa(port), "HOST=127.0.0.1", "REDIS_URL=redis://" + redisAddr, "JWT_SECRET_KEY=" + jwtSecret,
		"GOMAXPROCS=1", "WS_MAX_CONNECTIONS=100000", "CONNECT_RATE=0", "LOG_LEVEL=warn", "NODE_NAME=bench",
		"HANDSHAKE_RATE=0", "MAX_SOCKETS_PER_USER=0", "EVENT_RATE=0",
	}, p.env...)
	proc, err := start(core, p.dir, env, filepath.Join(tmp, p.name+".log"), p.command...)
	if err != nil {
		return nil, "", err
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	err = proc.await(ctx, p.name, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+p.ready, nil)
		if err != nil {
			return err
		}
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	})
	if err != nil {
		proc.stop()
		return nil, "", err
	}
	return proc, addr, nil
}
