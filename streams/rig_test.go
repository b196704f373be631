package streams

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

const (
	rigDeadline = 40 * time.Second
	rigTick     = 10 * time.Millisecond
	rigReset    = "0-0" // src of the entry that tells readers of a new event stream
)

// rig is one Redis with any number of consumers.
type rig struct {
	tb   testing.TB
	addr string
	rdb  *redis.Client
	keys keys

	nodes []*rigNode // owned by the test's goroutine
}

// rigNode is one running consumer with clients of its own.
type rigNode struct {
	*Consumer

	tb       testing.TB
	clients  [2]*redis.Client
	cancel   context.CancelFunc
	finished chan struct{}
	once     sync.Once
}

func newRig(tb testing.TB) *rig {
	tb.Helper()
	return rigAt(tb, redistest.Start(tb).Addr())
}

func rigAt(tb testing.TB, addr string) *rig {
	tb.Helper()
	r := &rig{tb: tb, addr: addr, keys: newKeys(DefaultConfig().Prefix)}
	r.rdb = r.client()
	return r
}

func (r *rig) client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: r.addr, MaxRetries: -1})
	r.tb.Cleanup(func() { _ = c.Close() })
	return c
}

func rigConfig(name string) Config {
	cfg := DefaultConfig()
	cfg.Consumer = name
	cfg.Batch = 64
	cfg.Block = 50 * time.Millisecond
	cfg.MinIdle = 400 * time.Millisecond
	cfg.HandleTimeout = 300 * time.Millisecond
	cfg.ReclaimEvery = 50 * time.Millisecond
	cfg.TrimEvery = time.Hour
	cfg.StopTimeout = 2 * time.Second
	return cfg
}

func rigHandle(ev Event) (Relay, error) {
	switch string(ev.Data) {
	case `{"do":"panic"}`:
		panic("told to")
	case `{"do":"fail"}`:
		return Relay{}, errors.New("told to")
	case `{"do":"reject"}`:
		return Relay{}, &RejectError{Reason: "no_such_client"}
	case `{"do":"odd"}`:
		return Relay{Log: []string{"alone"}}, nil
	case `{"do":"grants"}`:
		return Relay{Log: []string{"name", ev.Name}, Grants: make([]Grant, maxGrants+1)}, nil
	}
	return Relay{Log: []string{"name", ev.Name, "data", string(ev.Data)}}, nil
}

// start runs a consumer until the test ends; change may alter its configuration and dependencies.
func (r *rig) start(name string, change ...func(*Config, *Deps)) *rigNode {
	r.tb.Helper()
	n := &rigNode{tb: r.tb, clients: [2]*redis.Client{r.client(), r.client()}, finished: make(chan struct{})}
	cfg := rigConfig(name)
	deps := Deps{
		Redis: n.clients[0], Blocking: n.clients[1], Handle: rigHandle, Log: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&cfg, &deps)
	}
	var err error
	n.Consumer, err = New(cfg, deps)
	require.NoError(r.tb, err)
	var ctx context.Context
	ctx, n.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(n.finished)
		if err := n.Run(ctx); err != nil {
			r.tb.Errorf("Run: %v", err)
		}
	}()
	r.tb.Cleanup(n.stop)
	r.nodes = append(r.nodes, n)
	return n
}

// stop ends the consumer in order.
func (n *rigNode) stop() {
	n.once.Do(func() {
		n.cancel()
		select {
		case <-n.finished:
		case <-time.After(rigDeadline):
			n.tb.Errorf("Run of %s did not return", n.cfg.Consumer)
		}
	})
}

// crash takes its Redis away at once, as the death of its process would.
func (n *rigNode) crash() {
	_ = n.clients[0].Close()
	_ = n.clients[1].Close()
	n.stop()
}

// publish writes count events, in pipelines, and returns their ids.
func (r *rig) publish(count int) []string {
	r.tb.Helper()
	ids := make([]string, 0, count)
	for len(ids) < count {
		pipe := r.rdb.Pipeline()
		for i := range min(200, count-len(ids)) {
			pipe.XAdd(r.tb.Context(), &redis.XAddArgs{Stream: r.keys.events, Values: rigEvent(fmt.Sprintf(`{"n":%d}`, len(ids)+i))})
		}
		done, err := pipe.Exec(r.tb.Context())
		require.NoError(r.tb, err)
		for _, cmd := range done {
			ids = append(ids, cmd.(*redis.StringCmd).Val())
		}
	}
	return ids
}

func rigEvent(data string, more ...string) []string {
	return append([]string{"event", "solicitud_updated", "data", data}, more...)
}

// add writes one entry of any form and returns its id.
func (r *rig) add(pairs ...string) string {
	r.tb.Helper()
	id, err := r.rdb.XAdd(r.tb.Context(), &redis.XAddArgs{Stream: r.keys.events, Values: pairs}).Result()
	require.NoError(r.tb, err)
	return id
}

// group creates the group, for consumers that are not Consumers.
func (r *rig) group() {
	r.tb.Helper()
	require.NoError(r.tb, r.rdb.XGroupCreateMkStream(r.tb.Context(), r.keys.events, "gateway", "0").Err())
}

// ghostReads has a consumer that never acknowledges read up to count entries.
func (r *rig) ghostReads(ghost string, count int64) []string {
	r.tb.Helper()
	got, err := r.rdb.XReadGroup(r.tb.Context(), &redis.XReadGroupArgs{
		Group: "gateway", Consumer: ghost, Streams: []string{r.keys.events, ">"}, Count: count, Block: -1,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return nil
	}
	require.NoError(r.tb, err)
	var ids []string
	for _, m := range got[0].Messages {
		ids = append(ids, m.ID)
	}
	return ids
}

// deliveries sets how often an entry was delivered to ghost:1, which renews it too.
func (r *rig) deliveries(id string, number int) {
	r.tb.Helper()
	require.NoError(r.tb, r.rdb.Do(r.tb.Context(), "XCLAIM", r.keys.events, "gateway", "ghost:1", 0, id,
		"RETRYCOUNT", number, "JUSTID").Err())
}

// srcs returns the log's source ids in its order.
func (r *rig) srcs() []string {
	entries, err := r.rdb.XRange(r.tb.Context(), r.keys.log, "-", "+").Result()
	if err != nil {
		return nil
	}
	out := make([]string, 0, len(entries))
	for _, e := range entries {
		src, _ := e.Values["src"].(string)
		out = append(out, src)
	}
	return out
}

// relayed returns the source ids without the entries that tell of a new event stream.
func (r *rig) relayed() []string {
	return slices.DeleteFunc(r.srcs(), func(src string) bool { return src == rigReset })
}

func (r *rig) dead() []redis.XMessage {
	entries, _ := r.rdb.XRange(r.tb.Context(), r.keys.dead, "-", "+").Result()
	return entries
}

func (r *rig) pending() []redis.XPendingExt {
	out, _ := r.rdb.XPendingExt(r.tb.Context(), &redis.XPendingExtArgs{
		Stream: r.keys.events, Group: "gateway", Start: "-", End: "+", Count: 100_000,
	}).Result()
	return out
}

func (r *rig) eventually(what string, f func() bool) {
	r.tb.Helper()
	require.Eventually(r.tb, f, rigDeadline, rigTick, what)
}

// settled waits until nothing is left to do and requires that the log has exactly these ids, in order.
func (r *rig) settled(want []string) {
	r.tb.Helper()
	r.eventually("everything settled", func() bool {
		n, err := r.rdb.XLen(r.tb.Context(), r.keys.log).Result()
		return err == nil && n >= int64(len(want)) && len(r.relayed()) >= len(want) && len(r.pending()) == 0
	})
	require.Equal(r.tb, want, r.relayed())
	// Only what has left the backlog is surely counted.
	r.eventually("nothing held", func() bool {
		return !slices.ContainsFunc(r.nodes, func(n *rigNode) bool {
			return n.State() != StateStopped && n.Stats().Backlog > 0
		})
	})
}

func rigEach(nodes []*rigNode, of func(Stats) uint64) uint64 {
	var sum uint64
	for _, n := range nodes {
		sum += of(n.Stats())
	}
	return sum
}
