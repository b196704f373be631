package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one child. What it writes is in a file.
type process struct {
	name, log string
	cmd       *exec.Cmd
	gone      chan struct{} // closed once the child was waited for
}

// spawn starts a child that dies with this process, if not before.
func spawn(dir, name string, env []string, command string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), gone: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()                                  // the child has its own descriptor
	p.cmd = exec.CommandContext(context.Background(), command, args...) //nolint:gosec // this program's own choice
	p.cmd.Dir, p.cmd.Env = dir, append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.gone)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) running() bool {
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

// stop ends the child, at the latest after a while by force.
func (p *process) stop() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.gone:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.gone
	}
}

// count counts the lines of the child's log that contain text, and returns the first of them.
func (p *process) count(text string) (n int, first string) {
	log, err := os.Open(p.log)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = log.Close() }() // only read
	lines := bufio.NewScanner(log)
	lines.Buffer(make([]byte, 0, 64<<10), 16<<20)
	for lines.Scan() {
		if bytes.Contains(lines.Bytes(), []byte(text)) {
			if n++; n == 1 {
				first = lines.Text()
			}
		}
	}
	return n, first
}

// clockTick is the unit of CPU time in /proc on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// usage is what a process has, and has used.
type usage struct {
	cpu            time.Duration
	threads, files int
	residentKB     int
}

// usage reads /proc.
func (p *process) usage() (u usage, err error) {
	dir := filepath.Join("/proc", strconv.Itoa(p.pid()))
	stat, err := os.ReadFile(filepath.Join(dir, "stat")) //nolint:gosec // under /proc
	if err != nil {
		return u, err
	}
	// The name in parentheses may hold spaces.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 22 {
		return u, errors.New("short /proc/PID/stat")
	}
	number := func(i int) int {
		n, convErr := strconv.Atoi(fields[i])
		err = errors.Join(err, convErr)
		return n
	}
	u.cpu = time.Duration(number(11)+number(12)) * clockTick
	u.threads, u.residentKB = number(17), number(21)*os.Getpagesize()/1024
	files, dirErr := os.ReadDir(filepath.Join(dir, "fd"))
	u.files = len(files)
	return u, errors.Join(err, dirErr)
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

// until polls holds until it is true or time is up; the error says what was waited for.
func until(ctx context.Context, what string, bound time.Duration, holds func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, bound, fmt.Errorf("not within %v", bound))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := holds()
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
