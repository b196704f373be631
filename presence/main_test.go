package presence

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// childEnv makes the test binary a node of its own, so that a test can kill -9 and stop a real process.
const childEnv = "PRESENCE_TEST_NODE"

func TestMain(m *testing.M) {
	if spec := os.Getenv(childEnv); spec != "" {
		if err := childNode(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// childNode runs a node with default timings on "addr name"; each line of stdin is a user to connect and join r1.
// With "addr name user" it has that user as a client, and kills itself at the moment when all this stands in Redis.
func childNode(spec string) error {
	addr, name, _ := strings.Cut(spec, " ")
	name, doomed, _ := strings.Cut(name, " ")
	client := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1})
	cfg := DefaultConfig()
	cfg.Name, cfg.Node = name, identity(name)
	p, err := New(cfg, Deps{Redis: client, Announce: announce})
	if err != nil {
		return err
	}
	if doomed != "" {
		p.Connect(doomed, "client")
		p.hooks.written = func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) }
	}
	go func() {
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() {
			p.Connect(lines.Text(), "client")
			p.Join(Member{Room: "r1", User: lines.Text(), Role: "client"})
		}
	}()
	return p.Run(context.Background())
}

func identity(name string) string { return fmt.Sprintf("%s:%d", name, time.Now().UnixMilli()) }

func announce(joined bool, m Member) []string {
	event := "user_left"
	if joined {
		event = "user_joined"
	}
	return []string{"event", event, "room", m.Room, "user", m.User, "role", m.Role}
}

// child is a node in a process of its own.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

func startChild(t *testing.T, addr, name string) *child {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+addr+" "+name)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	c := &child{t: t, cmd: cmd, stdin: stdin}
	t.Cleanup(c.kill)
	return c
}

// join has a client connect and join r1.
func (c *child) join(user string) {
	c.t.Helper()
	_, err := fmt.Fprintln(c.stdin, user)
	require.NoError(c.t, err)
}

// end waits for the process to end by itself.
func (c *child) end() {
	_ = c.cmd.Wait()
	c.cmd = nil
}

func (c *child) kill() {
	if c.cmd != nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
		c.cmd = nil
	}
}

func (c *child) signal(s syscall.Signal) { require.NoError(c.t, c.cmd.Process.Signal(s)) }

// node is one of several in this process.
type node struct {
	*Presence
	client  *redis.Client
	crashed atomic.Bool
	cancel  context.CancelFunc
	done    chan struct{}

	mu   sync.Mutex
	dead []string // guarded by mu; what OnNodeDead was told
}

type option func(*Config, *Deps, *hooks)

// fast has everything happen several times faster, which is what most tests want.
func fast(c *Config, _ *Deps, _ *hooks) {
	c.FlushEvery = 10 * time.Millisecond
	c.HeartbeatEvery = 250 * time.Millisecond
	c.HeartbeatDead = 2500 * time.Millisecond
	c.AbsentFor = 300 * time.Millisecond
	c.ReconnectGrace = 700 * time.Millisecond
	c.LeaveGrace = 700 * time.Millisecond
}

func startNode(t *testing.T, addr, name string, options ...option) *node {
	t.Helper()
	n := &node{client: redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1}), done: make(chan struct{})}
	cfg := DefaultConfig()
	cfg.Name, cfg.Node, cfg.Addr, cfg.Version = name, identity(name), name+":8003", "1.2.3"
	hk := hooks{crashed: n.crashed.Load}
	deps := Deps{Redis: n.client, Announce: announce, Log: slog.New(slog.DiscardHandler), OnNodeDead: func(id string) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.dead = append(n.dead, id)
	}}
	for _, o := range options {
		o(&cfg, &deps, &hk)
	}
	p, err := New(cfg, deps)
	require.NoError(t, err)
	p.hooks = hk
	n.Presence = p
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	go func() {
		defer close(n.done)
		_ = p.Run(ctx)
	}()
	t.Cleanup(n.crash)
	return n
}

// crash ends the node without a leave, its connections closed, as kill -9 does.
func (n *node) crash() {
	n.crashed.Store(true)
	n.stop()
}

func (n *node) stop() {
	n.cancel()
	<-n.done
	_ = n.client.Close()
}

func (n *node) told() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.dead...)
}

func (n *node) enter(user, role, room string) {
	n.Connect(user, role)
	n.Join(Member{Room: room, User: user, Role: role})
}

// exit undoes enter for a client in r1.
func (n *node) exit(user string) {
	n.Leave(Member{Room: "r1", User: user, Role: "client"})
	n.Disconnect(user, "client")
}

// patience is for what has no target time of its own: the machine may be busy with other tests.
const patience = 30 * time.Second

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, patience, 5*time.Millisecond, what)
}

// within fails if it takes longer than limit until condition holds; it says how long it took.
func within(t *testing.T, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	begin := time.Now()
	eventually(t, what, condition)
	took := time.Since(begin)
	t.Logf("%s: %v", what, took.Round(time.Millisecond))
	require.LessOrEqual(t, took, limit, what)
}

func (n *node) figures(users, connections int64, nodes int) func() bool {
	return func() bool {
		s, err := n.Stats(context.Background())
		return err == nil && s.ConnectedUsers == users && s.Connections == connections && len(s.Nodes) == nodes
	}
}

func ready(t *testing.T, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		eventually(t, "ready", n.Ready)
	}
	for _, n := range nodes {
		eventually(t, "the others seen", func() bool {
			v := n.view.Load()
			if v == nil || time.Since(v.calm) < n.cfg.ReconnectGrace {
				return false
			}
			live, _ := liveNodes(v.nodes)
			return len(live) >= len(nodes)
		})
	}
}

// announced returns the log's announcements as "user_joined room user role", in order.
func announced(t *testing.T, c redis.UniversalClient) []string {
	t.Helper()
	entries, err := c.XRange(context.Background(), "{teloo}:log", "-", "+").Result()
	require.NoError(t, err)
	out := make([]string, len(entries))
	for i, e := range entries {
		out[i] = fmt.Sprint(e.Values["event"], " ", e.Values["room"], " ", e.Values["user"], " ", e.Values["role"])
	}
	return out
}
