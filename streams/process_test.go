package streams

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	ossignal "os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// The environment that makes TestWorkerProcess a consumer of its own.
const (
	workerAddr = "STREAMS_WORKER_ADDR"
	workerName = "STREAMS_WORKER_NAME"
)

const deadly = `{"do":"kill"}`

// TestWorkerProcess is the body of the processes that the tests below start.
func TestWorkerProcess(t *testing.T) {
	addr := os.Getenv(workerAddr)
	if addr == "" {
		t.Skip("only as a process of another test")
	}
	client := func() *redis.Client {
		c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1})
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	handle := func(ev Event) (Relay, error) {
		if string(ev.Data) == deadly {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return rigHandle(ev)
	}
	c, err := New(rigConfig(os.Getenv(workerName)), Deps{
		Redis: client(), Blocking: client(), Handle: handle, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	ctx, stop := ossignal.NotifyContext(t.Context(), syscall.SIGTERM)
	defer stop()
	require.NoError(t, c.Run(ctx))
}

// worker is one such process.
type worker struct {
	cmd *exec.Cmd
	end chan struct{} // closed when it has ended
}

func (r *rig) worker(name string) *worker {
	r.tb.Helper()
	self, err := os.Executable()
	require.NoError(r.tb, err)
	cmd := exec.CommandContext(context.WithoutCancel(r.tb.Context()), self, "-test.run=^TestWorkerProcess$")
	cmd.Env = append(os.Environ(), workerAddr+"="+r.addr, workerName+"="+name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(r.tb, cmd.Start())
	w := &worker{cmd: cmd, end: make(chan struct{})}
	go func() {
		defer close(w.end)
		_ = cmd.Wait()
	}()
	r.tb.Cleanup(w.kill)
	return w
}

// kill ends the process with SIGKILL.
func (w *worker) kill() {
	_ = w.cmd.Process.Kill()
	<-w.end
}

// terminate ends the process in order.
func (w *worker) terminate() {
	_ = w.cmd.Process.Signal(syscall.SIGTERM)
	<-w.end
}

func (w *worker) ended() bool {
	select {
	case <-w.end:
		return true
	default:
		return false
	}
}

func TestProcessesKilledByPoison(t *testing.T) {
	r := newRig(t)
	want := r.publish(20)
	poison := r.add(rigEvent(deadly)...)
	want = append(want, r.publish(20)...)

	deaths := 0
	w := r.worker("n:0")
	for len(r.dead()) == 0 {
		r.eventually("the poison kills or is dead", func() bool { return w.ended() || len(r.dead()) > 0 })
		if w.ended() {
			deaths++
			require.LessOrEqual(t, deaths, 4)
			w = r.worker(fmt.Sprintf("n:%d", deaths))
		}
	}
	r.settled(want)
	require.Equal(t, 4, deaths, "twice among others, twice alone")
	letter := r.dead()[0].Values
	require.Equal(t, ReasonPoison, letter["dead_reason"])
	require.Equal(t, poison, letter["dead_source_id"])
	require.JSONEq(t, deadly, letter["data"].(string))
	w.terminate()
	require.True(t, w.cmd.ProcessState.Success())
}

func TestProcessesKilledAtRandom(t *testing.T) {
	r := newRig(t)
	workers := make([]*worker, 3)
	for i := range workers {
		workers[i] = r.worker(fmt.Sprintf("n%d:0", i))
	}
	var want []string
	started := time.Now()
	for round := 1; round <= 9; round++ {
		want = append(want, r.publish(1500)...)
		progress := len(want) - 1000 + 97*round
		r.eventually("consuming", func() bool { return len(r.relayed()) >= progress })
		i := round % len(workers)
		workers[i].kill()
		workers[i] = r.worker(fmt.Sprintf("n%d:%d", i, round))
	}
	r.settled(want)
	t.Logf("%d events, 9 deaths, %s", len(want), time.Since(started))
	for _, w := range workers {
		w.terminate()
	}
	consumers, err := r.rdb.XInfoConsumers(t.Context(), r.keys.events, "gateway").Result()
	require.NoError(t, err)
	for _, c := range consumers {
		require.Zero(t, c.Pending)
	}
}
