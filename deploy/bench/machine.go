package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// clockTick is the unit of CPU time in /proc on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// pinnedVar marks a process that has been restarted on its core.
const pinnedVar = "TELOO_BENCH_PINNED"

// pin restarts this program on one core, so that all its threads, and Redis after it, run there.
func pin(core int) error {
	if os.Getenv(pinnedVar) != "" {
		return nil
	}
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(core)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pinning to core %d: %w", core, err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(self, os.Args, append(os.Environ(), pinnedVar+"=1")) //nolint:gosec // this very program
}

// cpuTime is what a process has used, user and system.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat")) //nolint:gosec // under /proc
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold spaces.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, errors.New("short /proc/PID/stat")
	}
	user, err1 := strconv.Atoi(string(fields[11]))
	system, err2 := strconv.Atoi(string(fields[12]))
	return time.Duration(user+system) * clockTick, errors.Join(err1, err2)
}

// residentKB is a process's resident memory.
func residentKB(pid int) (float64, error) {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strconv.ParseFloat(strings.Fields(rest)[0], 64)
		}
	}
	return 0, errors.New("no VmRSS")
}

func openFiles(pid int) (int, error) {
	files, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
	return len(files), err
}

// Machine says what the figures were measured on and with.
type Machine struct {
	When     string            `json:"when"`
	CPU      string            `json:"cpu"`
	Cores    int               `json:"cores"`
	MemoryGB float64           `json:"memory_gb"`
	Kernel   string            `json:"kernel"`
	Versions map[string]string `json:"versions"`
}

func describeMachine(root string) Machine {
	m := Machine{When: time.Now().UTC().Format("2006-01-02 15:04 MST"), Cores: onlineCores(), Versions: map[string]string{}}
	m.CPU = procValue("/proc/cpuinfo", "model name")
	kb, _ := strconv.ParseFloat(strings.Fields(procValue("/proc/meminfo", "MemTotal") + " 0")[0], 64)
	m.MemoryGB = kb / (1 << 20)
	m.Kernel = output(root, "uname", "-sr")
	m.Versions["gateway"] = output(root, "git", "describe", "--tags", "--always", "--dirty")
	m.Versions["go"] = runtime.Version()
	m.Versions["node"] = output(root, "node", "--version")
	m.Versions["redis"] = strings.Fields(output(root, "redis-server", "--version") + " ? ? ?")[2]
	for _, p := range []string{"socket.io", "@socket.io/redis-streams-adapter", "ws", "redis"} {
		m.Versions[p] = packageVersion(filepath.Join(root, peersDir, "node", "node_modules", p, "package.json"))
	}
	m.Versions["centrifuge"] = output(filepath.Join(root, peersDir, "centrifuge"), "go", "list", "-m", "-f", "{{.Version}}", "github.com/centrifugal/centrifuge")
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if strings.HasSuffix(dep.Path, "gobwas/ws") {
				m.Versions["gobwas/ws"] = dep.Version
			}
		}
	}
	return m
}

func onlineCores() int {
	n := 0
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(cpuinfo)) {
		if strings.HasPrefix(line, "processor") {
			n++
		}
	}
	return n
}

func procValue(path, key string) string {
	content, _ := os.ReadFile(path) //nolint:gosec // under /proc
	for line := range strings.Lines(string(content)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return "?"
}

func packageVersion(path string) string {
	content, _ := os.ReadFile(path) //nolint:gosec // a package file of the peers
	for line := range strings.Lines(string(content)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), `"version": "`); ok {
			return strings.TrimRight(rest, `",`)
		}
	}
	return "not installed"
}

func output(dir, name string, args ...string) string {
	cmd := exec.Command(name, args...) //nolint:gosec,noctx // this program's own commands, all short
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(out))
}
