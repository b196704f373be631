package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var errNoPort = errors.New("no free port found")

// process is one child. Its log is a file, so that a killed child's last words are kept.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed once the child was waited for

	mayEnd atomic.Bool // its end is what the harness wants
}

// spawnPlan says how a child runs. Without out, its output is the log's.
type spawnPlan struct {
	dir, name string // of the log
	cwd       string // if not dir
	env       []string
	in, out   *os.File
}

// spawn starts a child that dies with the harness.
func spawn(plan spawnPlan, command string, args ...string) (*process, error) {
	p := &process{name: plan.name, log: filepath.Join(plan.dir, plan.name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()                                  // the child has its own descriptor
	p.cmd = exec.CommandContext(context.Background(), command, args...) //nolint:gosec // the harness's own choice
	p.cmd.Dir = cmp.Or(plan.cwd, plan.dir)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, plan.env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if plan.in != nil {
		p.cmd.Stdin = plan.in
	}
	if plan.out != nil {
		p.cmd.Stdout = plan.out
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", plan.name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal sends sig; a signal that ends the child makes its end an expected one.
func (p *process) signal(sig syscall.Signal) {
	if sig == syscall.SIGKILL || sig == syscall.SIGTERM {
		p.mayEnd.Store(true)
	}
	if p.running() {
		_ = p.cmd.Process.Signal(sig)
	}
}

// end sends sig and waits for the end; after bound it kills and says so.
func (p *process) end(sig syscall.Signal, bound time.Duration) error {
	p.signal(sig)
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		p.signal(syscall.SIGKILL)
		<-p.done
		return fmt.Errorf("%s did not end within %v of %v", p.name, bound, sig)
	}
}

// Recovered panics cost one message or client, and are faults all the same.
var traces = regexp.MustCompile(`^(panic: |fatal error: |WARNING: DATA RACE)` +
	`|handler panicked|recovered from a panic|panic recovered|http: panic serving`)

// fault says why this child ended that should not have, or what its log holds that no log may hold; "" is health.
func (p *process) fault() string {
	if !p.running() && !p.mayEnd.Load() {
		return fmt.Sprintf("%s ended by itself: %v", p.name, p.cmd.ProcessState)
	}
	log, err := os.Open(p.log)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = log.Close() }() // only read
	lines := bufio.NewScanner(log)
	lines.Buffer(make([]byte, 0, 64<<10), 16<<20)
	for lines.Scan() {
		if traces.Match(lines.Bytes()) {
			return p.name + ": " + lines.Text()
		}
	}
	return ""
}

// handedOut are the ports that freePort has given: who got one may not use it yet, and uses it again after a restart.
var handedOut sync.Map

// freePort gives a port that is free for TCP and UDP on loopback, below the range from which the kernel takes those of
// outgoing connections; none twice.
func freePort() (int, error) {
	for range 1000 {
		port := 15_000 + rand.IntN(17_000) //nolint:gosec // not a secret
		if _, given := handedOut.LoadOrStore(port, struct{}{}); !given && bindable(port) {
			return port, nil
		}
	}
	return 0, errNoPort
}

func bindable(port int) bool {
	var config net.ListenConfig
	tcp, err := config.Listen(context.Background(), "tcp", loopback(port))
	if err != nil {
		return false
	}
	_ = tcp.Close()
	udp, err := config.ListenPacket(context.Background(), "udp", loopback(port))
	if err != nil {
		return false
	}
	_ = udp.Close()
	return true
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// until polls condition until it is true; the error says what was waited for. condition's last error is part of it.
func until(ctx context.Context, what string, bound time.Duration, condition func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, bound, fmt.Errorf("not within %v", bound))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %w", what, context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// pause waits for d, or less if ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
