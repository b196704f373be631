package conformance

import (
	"bufio"
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// peerProcess is Node's engine.io in a child process, which ends with its standard input.
type peerProcess struct {
	cmd   *exec.Cmd
	stdin io.Closer
	addr  string
}

var peers = struct {
	sync.Mutex
	running map[limits]*peerProcess
}{running: map[limits]*peerProcess{}}

// peer returns the address of a child process with these limits.
func peer(t *testing.T, l limits) string {
	t.Helper()
	peers.Lock()
	defer peers.Unlock()
	if p := peers.running[l]; p != nil {
		return p.addr
	}
	p := startPeer(t, l)
	peers.running[l] = p
	return p.addr
}

func startPeer(t *testing.T, l limits) *peerProcess {
	t.Helper()
	options, err := json.Marshal(map[string]any{
		"pingInterval": l.PingInterval.Milliseconds(), "pingTimeout": l.PingTimeout.Milliseconds(),
		"upgradeTimeout": l.UpgradeTimeout.Milliseconds(), "connectTimeout": l.ConnectTimeout.Milliseconds(),
		"maxHttpBufferSize": l.MaxPayload, "allowEIO3": l.AllowEIO3, "allowed": allowedOrigin, "foreign": foreignOrigin,
	})
	require.NoError(t, err)
	cmd := exec.Command("node", "peer.mjs", string(options))
	errs := &strings.Builder{}
	cmd.Stderr = errs
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	port, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		_ = cmd.Wait()
		t.Fatalf("peer.mjs: %v: %s", err, errs)
	}
	return &peerProcess{cmd: cmd, stdin: stdin, addr: "127.0.0.1:" + strings.TrimSpace(port)}
}

// stopPeers ends the child processes.
func stopPeers() {
	peers.Lock()
	defer peers.Unlock()
	for _, p := range peers.running {
		_ = p.stdin.Close()
		timer := time.AfterFunc(deadline, func() { _ = p.cmd.Process.Kill() })
		_ = p.cmd.Wait()
		timer.Stop()
	}
}
