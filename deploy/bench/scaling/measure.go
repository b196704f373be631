package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// plan is what is measured: each rate with each number of readers.
type plan struct {
	Readers []int
	// Rates are entries a second.
	Rates []int
	Step  time.Duration
	// Tick is the time between two commits: the entries that are due by then are written as one.
	Tick time.Duration
	// Size is an entry's bytes.
	Size int
}

// point is what one number of readers and one rate came to.
type point struct {
	Readers, Rate int
	// Written and Taken are entries a second: written, and taken by all readers together.
	Written, Taken float64
	// CPU is of Redis, in cores; Out what it sent, in bytes a second.
	CPU, Out float64
	// Batch is how many entries a reader had at once.
	Batch float64
}

// behind is whether the readers did not keep up.
func (p point) behind() bool { return p.Taken < 0.95*p.Written*float64(p.Readers) }

const (
	logKey    = "{teloo}:log"
	readCount = 256
)

func measure(ctx context.Context, p plan) ([]point, error) {
	addr, stop, err := startRedis(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	var points []point
	for _, readers := range p.Readers {
		for _, rate := range p.Rates {
			at, err := measurePoint(ctx, addr, point{Readers: readers, Rate: rate}, p)
			if err != nil {
				return nil, fmt.Errorf("%d readers, %d entries/s: %w", readers, rate, err)
			}
			points = append(points, at)
		}
	}
	return points, nil
}

// startRedis runs the installed redis-server on a free port.
func startRedis(ctx context.Context) (addr string, stop func(), err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	addr = l.Addr().String()
	if err := l.Close(); err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "scaling")
	if err != nil {
		return "", nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.CommandContext(ctx, "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", dir) //nolint:gosec // a port of our own
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill() // it has nothing to keep
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	}
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer func() { _ = client.Close() }()
	for deadline := time.Now().Add(10 * time.Second); client.Ping(ctx).Err() != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			stop()
			return "", nil, errors.New("redis-server does not answer")
		}
	}
	return addr, stop, nil
}

func measurePoint(ctx context.Context, addr string, at point, p plan) (point, error) {
	client := redis.NewClient(&redis.Options{Addr: addr, PoolSize: at.Readers + 4, ReadTimeout: 10 * time.Second, MaxRetries: -1})
	defer func() { _ = client.Close() }()
	if err := client.Del(ctx, logKey).Err(); err != nil {
		return at, err
	}
	reading, stop := context.WithCancel(ctx)
	var taken, reads atomic.Int64
	var readers sync.WaitGroup
	for range at.Readers {
		readers.Go(func() { follow(reading, client, &taken, &reads) })
	}
	defer readers.Wait()
	defer stop()
	before, err := usage(ctx, client)
	if err != nil {
		return at, err
	}
	began := time.Now()
	written, err := write(ctx, client, at.Rate, p)
	if err != nil {
		return at, err
	}
	after, err := usage(ctx, client)
	if err != nil {
		return at, err
	}
	seconds := time.Since(began).Seconds()
	at.Written, at.Taken = float64(written)/seconds, float64(taken.Load())/seconds
	at.CPU, at.Out = (after.cpu-before.cpu)/seconds, (after.out-before.out)/seconds
	at.Batch = float64(taken.Load()) / float64(max(reads.Load(), 1))
	return at, nil
}

// follow reads the log as a node does: from the last position, with a look at whether that is still there.
func follow(ctx context.Context, client *redis.Client, taken, reads *atomic.Int64) {
	last := "0-0"
	for ctx.Err() == nil {
		pipe := client.Pipeline()
		read := pipe.XRead(ctx, &redis.XReadArgs{Streams: []string{logKey, last}, Count: readCount, Block: 200 * time.Millisecond})
		pipe.XRangeN(ctx, logKey, last, last, 1)
		_, _ = pipe.Exec(ctx) // nothing to read is an error, too
		for _, stream := range read.Val() {
			last = stream.Messages[len(stream.Messages)-1].ID
			taken.Add(int64(len(stream.Messages)))
			reads.Add(1)
		}
	}
}

// appendBatch adds ARGV[1] entries with the data ARGV[2], as one commit does.
var appendBatch = redis.NewScript(`
for i = 1, tonumber(ARGV[1]) do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', 100000, '*', 'uid', 'n1:1795914492167', 'nsp', '/', 'type', '3', 'data', ARGV[2], 'src', '1795914508217-0')
end
return 1`)

// write appends at a rate for a step, and returns how many there were.
func write(ctx context.Context, client *redis.Client, rate int, p plan) (written int, err error) {
	data := strings.Repeat("x", p.Size)
	began := time.Now()
	for now := range ticks(ctx, p.Tick) {
		passed := now.Sub(began)
		if passed >= p.Step {
			return written, nil
		}
		due := int(passed.Seconds()*float64(rate)) - written
		for due > 0 {
			n := min(due, readCount)
			if err := appendBatch.Run(ctx, client, []string{logKey}, n, data).Err(); err != nil {
				return written, err
			}
			written += n
			due -= n
		}
	}
	return written, ctx.Err()
}

// ticks yields the time at each tick until ctx ends.
func ticks(ctx context.Context, every time.Duration) func(yield func(time.Time) bool) {
	return func(yield func(time.Time) bool) {
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-t.C:
				if !yield(now) {
					return
				}
			}
		}
	}
}

// used is what Redis had used at a time: CPU in seconds, bytes sent.
type used struct{ cpu, out float64 }

func usage(ctx context.Context, client *redis.Client) (used, error) {
	info, err := client.Info(ctx, "cpu", "stats").Result()
	if err != nil {
		return used{}, err
	}
	var u used
	for line := range strings.SplitSeq(info, "\r\n") {
		name, text, _ := strings.Cut(line, ":")
		switch name {
		case "used_cpu_user", "used_cpu_sys":
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return used{}, err
			}
			u.cpu += v
		case "total_net_output_bytes":
			if u.out, err = strconv.ParseFloat(text, 64); err != nil {
				return used{}, err
			}
		}
	}
	return u, nil
}

func pointsTable(points []point) string {
	var b strings.Builder
	b.WriteString("| nodes reading | entries/s written | Redis' CPU | sent | entries a read | µs of Redis an entry and node | |\n|---|---|---|---|---|---|---|\n")
	for _, p := range points {
		note := ""
		if p.behind() {
			note = fmt.Sprintf("nodes take %.0f %%", 100*p.Taken/p.Written/float64(p.Readers))
		}
		fmt.Fprintf(&b, "| %d | %.0f | %.0f %% | %.1f MB/s | %.1f | %.1f | %s |\n",
			p.Readers, p.Written, 100*p.CPU, p.Out/1e6, p.Batch, 1e6*p.CPU/p.Taken, note)
	}
	return b.String()
}
