package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// orderWait is for what takes a second or two on an idle machine.
const orderWait = 60 * time.Second

// orderBench is a group of consumers on one Redis.
type orderBench struct {
	t      *testing.T
	addr   string
	redis  *redis.Client
	handle HandleFunc
}

func newOrderBench(t *testing.T, addr string) *orderBench {
	b := &orderBench{t: t, addr: addr, redis: redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1})}
	t.Cleanup(func() { _ = b.redis.Close() })
	b.handle = func(ev Event) (Relay, error) {
		var data struct {
			Fail  string
			Grant string
		}
		if err := json.Unmarshal(ev.Data, &data); err != nil {
			return Relay{}, err
		}
		relay := Relay{Log: []string{"nsp", "/", "data", string(ev.Data)}}
		switch data.Fail {
		case "panic":
			panic("a fault in the handler")
		case "reject":
			return Relay{}, &RejectError{Reason: "no_route", Err: errors.New("nobody")}
		case "error":
			return Relay{}, errors.New("unnamed")
		}
		if data.Grant != "" {
			relay.Grants = []Grant{{Solicitud: "7", User: data.Grant}}
		}
		return relay, nil
	}
	return b
}

// start runs a consumer with short times; end stops it in order, kill takes its Redis away first, as a crash does.
func (b *orderBench) start(name string, change func(*Config)) (c *Consumer, end, kill func()) {
	b.t.Helper()
	cfg := DefaultConfig()
	cfg.Consumer = name
	cfg.Batch = 50
	cfg.Block, cfg.MinIdle = 50*time.Millisecond, 300*time.Millisecond
	cfg.ReclaimEvery, cfg.TrimEvery, cfg.StopTimeout = 50*time.Millisecond, 100*time.Millisecond, 2*time.Second
	if change != nil {
		change(&cfg)
	}
	commands := redis.NewClient(&redis.Options{Addr: b.addr, MaxRetries: -1, ReadTimeout: 2 * time.Second, ContextTimeoutEnabled: true})
	blocking := redis.NewClient(&redis.Options{Addr: b.addr, MaxRetries: -1, ReadTimeout: 2 * time.Second, ContextTimeoutEnabled: true})
	c, err := New(cfg, Deps{Redis: commands, Blocking: blocking, Handle: b.handle, Log: orderQuiet()})
	require.NoError(b.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Run(ctx)
	}()
	closeClients := func() { _, _ = commands.Close(), blocking.Close() }
	end = sync.OnceFunc(func() {
		cancel()
		<-done
		closeClients()
	})
	kill = func() {
		closeClients()
		end()
	}
	b.t.Cleanup(end)
	return c, end, kill
}

// write adds n events and returns their ids.
func (b *orderBench) write(n int, data string) []string {
	b.t.Helper()
	pipe := b.redis.Pipeline()
	cmds := make([]*redis.StringCmd, n)
	for i := range n {
		cmds[i] = pipe.XAdd(b.t.Context(), &redis.XAddArgs{Stream: "{teloo}:events", Values: []string{"event", "oferta_x", "data", data}})
	}
	_, err := pipe.Exec(b.t.Context())
	require.NoError(b.t, err)
	ids := make([]string, n)
	for i, cmd := range cmds {
		ids[i] = cmd.Val()
	}
	return ids
}

// sources are the source ids of the log's entries, in the log's order.
func (b *orderBench) sources() []string {
	entries, err := b.redis.XRange(b.t.Context(), "{teloo}:log", "-", "+").Result()
	if err != nil {
		return nil
	}
	var ids []string
	for _, e := range entries {
		if e.Values["nsp"] != nil {
			ids = append(ids, fmt.Sprint(e.Values["src"]))
		}
	}
	return ids
}

func (b *orderBench) awaitLog(want []string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return len(b.sources()) >= len(want) }, orderWait, 20*time.Millisecond)
	require.Equal(b.t, want, b.sources())
}

func (b *orderBench) dead() []map[string]any {
	entries, err := b.redis.XRange(b.t.Context(), "{teloo}:dead", "-", "+").Result()
	require.NoError(b.t, err)
	letters := make([]map[string]any, len(entries))
	for i, e := range entries {
		letters[i] = e.Values
	}
	return letters
}

func TestOrderOverThreeConsumers(t *testing.T) {
	b := newOrderBench(t, redistest.Start(t).Addr())
	for i := range 3 {
		b.start(fmt.Sprintf("n%d:1", i), nil)
	}
	var want []string
	for range 20 {
		want = append(want, b.write(200, `{}`)...)
	}
	b.awaitLog(want)
}

func TestOrderWhenConsumersDieBetweenReadAndCommit(t *testing.T) {
	b := newOrderBench(t, redistest.Start(t).Addr())
	survivor, _, _ := b.start("survivor:1", nil)
	require.Eventually(t, func() bool { return survivor.State() == StateConsuming }, orderWait, 10*time.Millisecond)
	var want []string
	for round := range 5 {
		// A ghost takes entries and never settles them; a consumer crashes under way.
		_, _, kill := b.start(fmt.Sprintf("victim:%d", round), nil)
		ids := b.write(100, `{}`)
		_, _ = b.redis.XReadGroup(t.Context(), &redis.XReadGroupArgs{
			Group: "gateway", Consumer: fmt.Sprintf("ghost:%d", round), Streams: []string{"{teloo}:events", ">"}, Count: 30, Block: -1,
		}).Result()
		ids = append(ids, b.write(300, `{}`)...)
		want = append(want, ids...)
		kill()
		survivor.Reclaim(fmt.Sprintf("ghost:%d", round))
		survivor.Reclaim(fmt.Sprintf("victim:%d", round))
	}
	b.awaitLog(want)
	require.Empty(t, b.dead(), "dying is no fault of the entries")
}

func TestOrderThroughARedisCrash(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	b := newOrderBench(t, server.Addr())
	for i := range 2 {
		b.start(fmt.Sprintf("n%d:1", i), nil)
	}
	want := b.write(1000, `{}`)
	server.Kill()
	server.Launch()
	want = append(want, b.write(1000, `{}`)...)
	b.awaitLog(want)
}

func TestOrderAfterGroupAndStreamAreLost(t *testing.T) {
	b := newOrderBench(t, redistest.Start(t).Addr())
	c, _, _ := b.start("n:1", nil)
	want := b.write(100, `{}`)
	b.awaitLog(want)

	require.NoError(t, b.redis.XGroupDestroy(t.Context(), "{teloo}:events", "gateway").Err())
	want = append(want, b.write(100, `{}`)...)
	b.awaitLog(want)

	require.NoError(t, b.redis.Del(t.Context(), "{teloo}:events").Err())
	require.NoError(t, b.redis.XAdd(t.Context(), &redis.XAddArgs{
		Stream: "{teloo}:events", ID: "5-1", Values: []string{"event", "oferta_x", "data", `{}`},
	}).Err())
	b.awaitLog(append(want, "5-1"))
	require.Equal(t, uint64(1), c.Stats().StreamsReset)
	resets := 0
	entries, err := b.redis.XRange(t.Context(), "{teloo}:log", "-", "+").Result()
	require.NoError(t, err)
	for _, e := range entries {
		if e.Values["nsp"] == nil && e.Values["src"] == "0-0" {
			resets++
		}
	}
	require.Equal(t, 1, resets, "readers are told of the new stream")

	require.NoError(t, b.redis.FlushAll(t.Context()).Err())
	b.awaitLog(b.write(100, `{}`))
}

func TestDeadLettersBetweenGoodEvents(t *testing.T) {
	b := newOrderBench(t, redistest.Start(t).Addr())
	c, _, _ := b.start("n:1", nil)
	var want []string
	for _, bad := range []string{`{"Fail":"panic"}`, `{"Fail":"reject"}`, `{"Fail":"error"}`, `[]`, `not JSON`} {
		b.write(1, bad)
		want = append(want, b.write(2, `{}`)...)
	}
	b.awaitLog(want)
	var reasons []string
	for _, letter := range b.dead() {
		reasons = append(reasons, fmt.Sprint(letter["dead_reason"]))
		require.Equal(t, "oferta_x", letter["event"], "the original fields are kept")
		for _, field := range []string{"dead_source_id", "dead_node", "dead_deliveries", "dead_at"} {
			require.NotEmpty(t, letter[field], field)
		}
	}
	require.Len(t, reasons, 5)
	require.Subset(t, reasons, []string{"no_route", "unroutable", "bad_data"})
	require.NotZero(t, c.Stats().Panics)
}

func TestPoisonIsHandledAloneAndThenBuried(t *testing.T) {
	b := newOrderBench(t, redistest.Start(t).Addr())
	require.NoError(t, b.redis.XGroupCreateMkStream(t.Context(), "{teloo}:events", "gateway", "0").Err())
	ids := b.write(3, `{}`)
	_, err := b.redis.XReadGroup(t.Context(), &redis.XReadGroupArgs{
		Group: "gateway", Consumer: "ghost:1", Streams: []string{"{teloo}:events", ">"}, Count: 10, Block: -1,
	}).Result()
	require.NoError(t, err)
	// The middle one was being handled alone when its handler was killed.
	require.NoError(t, b.redis.Do(t.Context(), "XCLAIM", "{teloo}:events", "gateway", "ghost:1", 0, ids[1], "RETRYCOUNT", solitaryMark+3).Err())
	b.start("n:1", nil)
	b.awaitLog([]string{ids[0], ids[2]})
	letters := b.dead()
	require.Len(t, letters, 1)
	require.Equal(t, ReasonPoison, letters[0]["dead_reason"])
	require.Equal(t, ids[1], letters[0]["dead_source_id"])
}

func TestWaitingIsNotDying(t *testing.T) {
	b := newOrderBench(t, redistest.Start(t).Addr())
	require.NoError(t, b.redis.XGroupCreateMkStream(t.Context(), "{teloo}:events", "gateway", "0").Err())
	ids := b.write(1, `{}`)
	hold := func() {
		require.NoError(t, b.redis.Do(t.Context(), "XCLAIM", "{teloo}:events", "gateway", "ghost:1", 0, ids[0], "JUSTID").Err())
	}
	_, err := b.redis.XReadGroup(t.Context(), &redis.XReadGroupArgs{
		Group: "gateway", Consumer: "ghost:1", Streams: []string{"{teloo}:events", ">"}, Count: 1, Block: -1,
	}).Result()
	require.NoError(t, err)
	c, _, _ := b.start("n:1", nil)
	ids = append(ids, b.write(20, `{}`)...)
	// The ghost lives on for several times MinIdle.
	for until := time.Now().Add(2 * time.Second); time.Now().Before(until); {
		hold()
		require.Empty(t, b.sources())
	}
	require.NotZero(t, c.Stats().Waits)
	require.NotZero(t, c.Stats().Renewed)
	b.awaitLog(ids)
	require.Empty(t, b.dead())
}

func TestDedupeAndGrants(t *testing.T) {
	b := newOrderBench(t, redistest.Start(t).Addr())
	c, end, _ := b.start("n:1", nil)
	p := NewPublisher(b.redis, "{teloo}")
	var ids []string
	for range 3 {
		got, err := p.Publish(t.Context(), Event{Name: "oferta_x", Data: json.RawMessage(`{"Grant":"u"}`), EventID: "once"})
		require.NoError(t, err)
		ids = append(ids, got...)
	}
	last := b.write(1, `{}`)
	b.awaitLog([]string{ids[0], last[0]})
	require.Equal(t, uint64(2), c.Stats().Duplicates)
	expiry, err := b.redis.ZScore(t.Context(), "{teloo}:grants:7", "u").Result()
	require.NoError(t, err)
	require.Greater(t, expiry, float64(time.Now().UnixMilli()))
	end()
	require.Equal(t, StateStopped, c.State())
	consumers, err := b.redis.XInfoConsumers(t.Context(), "{teloo}:events", "gateway").Result()
	require.NoError(t, err)
	require.Empty(t, consumers, "an idle consumer is deleted by its own end")
	require.ErrorIs(t, c.Run(t.Context()), ErrAlreadyRun)
}

func TestTrimmingSparesWhatOthersStillNeed(t *testing.T) {
	b := newOrderBench(t, redistest.Start(t).Addr())
	require.NoError(t, b.redis.XGroupCreateMkStream(t.Context(), "{teloo}:events", "audit", "0").Err())
	b.start("n:1", func(c *Config) { c.LogMaxEntries = 1000 })
	ids := b.write(3000, `{}`)
	require.Eventually(t, func() bool {
		sources := b.sources()
		return len(sources) > 0 && sources[len(sources)-1] == ids[len(ids)-1]
	}, orderWait, 20*time.Millisecond)
	require.Less(t, len(b.sources()), 1500, "the log is capped")
	require.Equal(t, int64(3000), b.redis.XLen(t.Context(), "{teloo}:events").Val(), "the other group has read nothing yet")
	require.NoError(t, b.redis.XGroupDestroy(t.Context(), "{teloo}:events", "audit").Err())
	require.Eventually(t, func() bool { return b.redis.XLen(t.Context(), "{teloo}:events").Val() < 500 }, orderWait, 20*time.Millisecond)
}

func TestOnTheEmbeddedRedis(t *testing.T) {
	m := miniredis.RunT(t)
	b := newOrderBench(t, m.Addr())
	b.start("n:1", nil)
	b.awaitLog(b.write(100, `{}`))
}
