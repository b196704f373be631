package ingress

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/adapter"
	"github.com/teloo/realtime-gateway/deploy/redistest"
)

const patience = 30 * time.Second

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// rig is one Redis with any number of nodes.
type rig struct {
	t   *testing.T
	s   *redistest.Server
	rdb redis.UniversalClient
}

func newRig(t *testing.T) *rig {
	s := redistest.Start(t)
	return &rig{t: t, s: s, rdb: s.Client()}
}

// node is a running ingress; before is called ahead of each append to the log.
type node struct {
	*Ingress

	stop func()
}

func (r *rig) config(name string) Config {
	cfg := DefaultConfig()
	cfg.Emitter, cfg.Python, cfg.Legacy = "socket.io", "socketio", []string{"a", "b"}
	cfg.Identity = name
	cfg.Lease = 400 * time.Millisecond
	return cfg
}

func (r *rig) start(cfg Config, before func() error) *node {
	r.t.Helper()
	return r.startOn(r.s.Client(), cfg, before, nil)
}

// startOn is start with a client, and with another place to subscribe at, if server is not nil.
func (r *rig) startOn(
	rdb redis.UniversalClient, cfg Config, before func() error, server func(context.Context) (redis.UniversalClient, string, error),
) *node {
	r.t.Helper()
	clusterConfig := adapter.DefaultConfig()
	clusterConfig.UID = cfg.Identity
	cluster, err := adapter.New(clusterConfig, adapter.Deps{Redis: rdb, Blocking: rdb})
	require.NoError(r.t, err)
	g, err := New(cfg, Deps{
		Redis: rdb,
		Log: func(ctx context.Context, lease, value string, entries [][]string) (int, error) {
			if before != nil {
				if err := before(); err != nil {
					return 0, err
				}
			}
			return cluster.AppendFenced(ctx, lease, value, entries)
		},
		Events: func(ctx context.Context, lease, value string, events []Payload) (int, error) {
			if rdb.Get(ctx, lease).Val() != value {
				return 0, adapter.ErrNotHeld
			}
			for i, ev := range events {
				if err := rdb.RPush(ctx, "events", ev.Channel+" "+ev.JSON).Err(); err != nil {
					return i, err
				}
			}
			return len(events), nil
		},
		NotHeld: func(err error) bool { return errors.Is(err, adapter.ErrNotHeld) },
	})
	require.NoError(r.t, err)
	if server != nil {
		g.server = server
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	n := &node{Ingress: g, stop: sync.OnceFunc(func() { cancel(); require.NoError(r.t, <-ended) })}
	r.t.Cleanup(n.stop)
	return n
}

func (r *rig) listener(nodes ...*node) *node {
	r.t.Helper()
	var found *node
	eventually(r.t, "one listens", func() bool {
		i := slices.IndexFunc(nodes, func(n *node) bool { return n.Stats().Listening })
		if i >= 0 {
			found = nodes[i]
		}
		return i >= 0
	})
	return found
}

// emit publishes as a Python manager does and returns how many subscribers there were.
func (r *rig) emit(n int) int64 {
	heard, err := r.rdb.Publish(context.Background(), "socketio", fmt.Sprintf(`{"method":"emit","event":"e","data":%d,"host_id":"h"}`, n)).Result()
	require.NoError(r.t, err)
	return heard
}

// logged are the numbers that are in the log.
func (r *rig) logged() []int {
	entries, err := r.rdb.XRange(context.Background(), "{teloo}:log", "-", "+").Result()
	require.NoError(r.t, err)
	var all []int
	for _, e := range entries {
		data, _ := e.Values["data"].(string)
		var n int
		_, rest, _ := strings.Cut(data, `"e",`)
		_, err := fmt.Sscanf(rest, "%d", &n)
		require.NoError(r.t, err, data)
		all = append(all, n)
	}
	return all
}

// through waits at a gate while it is locked.
func through(gate *sync.Mutex) func() error {
	return func() error {
		gate.Lock()
		defer gate.Unlock()
		return nil
	}
}

func once(t *testing.T, all []int) {
	t.Helper()
	for i := 1; i < len(all); i++ {
		require.Less(t, all[i-1], all[i], "each once, and in order")
	}
}

func TestOneOfSeveralListensAndAppendsOnceAndInOrder(t *testing.T) {
	r := newRig(t)
	nodes := []*node{r.start(r.config("n1"), nil), r.start(r.config("n2"), nil), r.start(r.config("n3"), nil)}
	first := r.listener(nodes...)
	for n := range 500 {
		require.EqualValues(t, 1, r.emit(n))
	}
	eventually(t, "all are there", func() bool { return first.Stats().Of(Python, Accepted) == 500 })
	all := r.logged()
	once(t, all)
	require.Len(t, all, 500)
}

func TestAHolderThatSleptAppendsNothing(t *testing.T) {
	r := newRig(t)
	var sleeping sync.Mutex // what the first one's appends wait for
	one := r.start(r.config("n1"), through(&sleeping))
	r.listener(one)
	require.EqualValues(t, 1, r.emit(0))
	eventually(t, "it has appended", func() bool { return len(r.logged()) == 1 })
	sleeping.Lock()
	require.EqualValues(t, 1, r.emit(1))
	eventually(t, "it has received", func() bool { return one.Stats().Queued == 0 })
	// Another has the lease for a moment and appends what it hears; then it is free again.
	require.NoError(t, r.rdb.Set(t.Context(), "{teloo}:ingress", "n2#1", 0).Err())
	require.Positive(t, r.emit(2))
	eventually(t, "the first one knows", func() bool { return !one.Stats().Listening })
	require.NoError(t, r.rdb.Del(t.Context(), "{teloo}:ingress").Err())
	sleeping.Unlock()
	eventually(t, "what it had is counted", func() bool { return one.Stats().Of(Python, Superseded) >= 1 })
	r.listener(one)
	require.EqualValues(t, 1, r.emit(3))
	eventually(t, "it goes on", func() bool { return slices.Equal(r.logged(), []int{0, 3}) })
	require.EqualValues(t, 2, one.Stats().Terms)
}

// An append whose outcome is unknown may still be carried out: nothing must overtake it.
func TestAFailedAppendEndsTheTerm(t *testing.T) {
	r := newRig(t)
	var calls atomic.Int64
	one := r.start(r.config("n1"), func() error {
		if calls.Add(1) == 2 {
			return errors.New("no answer in time")
		}
		return nil
	})
	r.listener(one)
	require.EqualValues(t, 1, r.emit(0))
	eventually(t, "it has appended", func() bool { return one.Stats().Of(Python, Accepted) == 1 })
	require.EqualValues(t, 1, r.emit(1))
	eventually(t, "a new term", func() bool { return one.Stats().Terms == 2 && one.Stats().Listening })
	require.EqualValues(t, 1, r.emit(2))
	eventually(t, "it goes on", func() bool { return slices.Equal(r.logged(), []int{0, 2}) })
	require.EqualValues(t, 1, one.Stats().Of(Python, Failed))
}

func TestItGoesOnAfterRedisWasAway(t *testing.T) {
	r := newRig(t)
	one := r.start(r.config("n1"), nil)
	r.listener(one)
	r.s.Kill()
	eventually(t, "it knows", func() bool { return !one.Stats().Listening })
	r.s.Launch()
	r.listener(one)
	eventually(t, "it hears", func() bool { return r.emit(7) == 1 })
	eventually(t, "it appends", func() bool { return len(r.logged()) > 0 })
}

func TestALostSubscriptionIsReplacedInTheSameTerm(t *testing.T) {
	r := newRig(t)
	one := r.start(r.config("n1"), nil)
	r.listener(one)
	require.EqualValues(t, 1, r.rdb.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Val())
	eventually(t, "it is counted", func() bool { return one.Stats().SubscriptionsLost == 1 })
	r.listener(one)
	require.EqualValues(t, 1, r.emit(1))
	eventually(t, "it goes on", func() bool { return slices.Equal(r.logged(), []int{1}) })
	require.EqualValues(t, 1, one.Stats().Terms)
}

func TestAHolderThatMayNotListenLetsOthersTry(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.rdb.Do(t.Context(), "ACL", "SETUSER", "default", "resetchannels", "&socketio").Err())
	cfg := r.config("n1")
	cfg.SubscribeTimeout = 50 * time.Millisecond
	one := r.start(cfg, nil)
	eventually(t, "several terms", func() bool { return one.Stats().Terms >= 2 })
	eventually(t, "none has the lease", func() bool { return r.rdb.Exists(t.Context(), "{teloo}:ingress").Val() == 0 })
	require.False(t, one.Stats().Listening)
	require.NoError(t, r.rdb.Do(t.Context(), "ACL", "SETUSER", "default", "allchannels").Err())
	r.listener(one)
}

func TestEachSourceGoesWhereItBelongs(t *testing.T) {
	r := newRig(t)
	cfg := r.config("n1")
	cfg.MaxMessage, cfg.MaxEvent = 2048, 1024
	one := r.start(cfg, nil)
	r.listener(one)
	publish := func(channel, payload string) {
		require.EqualValues(t, 1, r.rdb.Publish(t.Context(), channel, payload).Val(), channel)
	}
	publish("a", `{"event":"x"}`)
	publish("socket.io-request#/#", `{"type":4,"opts":{"rooms":["s"],"except":[]}}`)
	publish("b", "not checked here")
	publish("socket.io#/#", "not msgpack")
	publish("socketio", "\x80\x04cposix\nsystem\n.")
	publish("socketio", `{"method":"callback"}`)
	publish("socketio", `{"method":"emit","event":"sync"}`)
	publish("socketio", strings.Repeat("x", 2049))
	publish("a", strings.Repeat("x", 1025))
	publish("a", "last")
	eventually(t, "all is done", func() bool { return one.Stats().Of(Legacy, Accepted) == 3 })
	require.Equal(t, []string{`a {"event":"x"}`, "b not checked here", "a last"}, r.rdb.LRange(t.Context(), "events", 0, -1).Val())
	require.EqualValues(t, 1, r.rdb.XLen(t.Context(), "{teloo}:log").Val())
	got := map[string]uint64{}
	one.Stats().Each(func(source, outcome string, n uint64) {
		if n > 0 {
			got[source+" "+outcome] = n
		}
	})
	require.Equal(t, map[string]uint64{
		"legacy accepted": 3, "legacy too_large": 1, "emitter accepted": 1, "emitter invalid": 1, "python pickle": 1, "python ignored": 1, "python reserved": 1,
		"python too_large": 1,
	}, got)
	require.Zero(t, r.rdb.Publish(t.Context(), "socket.ioX#/#", "x").Val())
}

func TestWhatWaitsIsBounded(t *testing.T) {
	r := newRig(t)
	cfg := r.config("n1")
	cfg.QueueMessages = 10
	var stuck sync.Mutex
	one := r.start(cfg, through(&stuck))
	r.listener(one)
	stuck.Lock()
	for n := range 100 {
		require.EqualValues(t, 1, r.emit(n))
	}
	eventually(t, "some are dropped", func() bool { return one.Stats().Of(Python, Overflow) > 0 && one.Stats().Queued <= 10 })
	stuck.Unlock()
	eventually(t, "all are accounted for", func() bool {
		s := one.Stats()
		return s.Of(Python, Overflow)+s.Of(Python, Accepted) == 100
	})
	once(t, r.logged())
}

func TestConfigurationsThatWouldDeliverTwice(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"nobody":                 func(c *Config) { c.Identity = "" },
		"a channel twice":        func(c *Config) { c.Legacy = []string{"a", "a"} },
		"python's, too":          func(c *Config) { c.Legacy = []string{"socketio"} },
		"an emitter's":           func(c *Config) { c.Legacy = []string{"socket.io#/#"} },
		"an emitter's requests'": func(c *Config) { c.Python = "socket.io-request#/#" },
		"the gateway's":          func(c *Config) { c.Legacy = []string{"{teloo}#/#"} },
		"the gateway's emitter":  func(c *Config) { c.Emitter = "{teloo}" },
		"no name":                func(c *Config) { c.Legacy = []string{""} },
		"a short lease":          func(c *Config) { c.Lease = time.Millisecond },
		"small messages":         func(c *Config) { c.MaxMessage = 1 },
		"a small queue":          func(c *Config) { c.QueueBytes = 1 },
		"no events":              func(c *Config) { c.MaxEvent = 0 },
		"no queue":               func(c *Config) { c.QueueMessages = 0 },
		"no patience":            func(c *Config) { c.SubscribeTimeout = 0 },
	} {
		cfg := (&rig{}).config("n1")
		require.NoError(t, cfg.Validate())
		change(&cfg)
		require.Error(t, cfg.Validate(), name)
	}
	require.False(t, DefaultConfig().On())
	cfg := DefaultConfig()
	cfg.Emitter = `a*[b]?\`
	_, patterns := cfg.Subscriptions()
	require.Equal(t, []string{`a\*\[b\]\?\\#*`, `a\*\[b\]\?\\-request#*`}, patterns)
}
