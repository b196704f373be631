package adapter

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// ghost makes the cluster see a member, dead:1, that never answers.
func ghost(t *testing.T, c *redis.Client) { t.Helper(); ghostOf(t, c, "dead:1") }

func ghostOf(t *testing.T, c *redis.Client, uid string) {
	t.Helper()
	sub := c.Subscribe(context.Background(), publicChannel("{teloo}", "/"), privateChannel("{teloo}", "/", uid))
	for range 2 {
		_, err := sub.Receive(context.Background())
		require.NoError(t, err)
	}
	t.Cleanup(func() { _ = sub.Close() })
}

func fetch(op interface {
	FetchSockets() func(func([]*socket.RemoteSocket, error))
},
) (found map[string]*socket.RemoteSocket, err error) {
	found = make(map[string]*socket.RemoteSocket)
	op.FetchSockets()(func(sockets []*socket.RemoteSocket, e error) {
		err = e
		for _, s := range sockets {
			found[string(s.Id())] = s
		}
	})
	return found, err
}

func TestFetchSocketsAsksAllNodes(t *testing.T) {
	for _, sharded := range []bool{false, true} {
		server := redistest.Start(t)
		var nodes []*testNode
		for _, uid := range []string{"a:1", "b:1", "c:1"} {
			cfg := testConfig(uid)
			cfg.Sharded = sharded
			nodes = append(nodes, startNode(t, server.Addr(), cfg))
		}
		a, b, c := nodes[0].connect("r"), nodes[1].connect("r", "s"), nodes[2].connect("s")
		nodes[1].socket(b.sid).SetData(struct {
			User string `json:"user"`
			Big  int64  `json:"big"`
		}{"u1", 1 << 53})
		nodes[2].socket(c.sid).SetData(func() {})
		nodes[1].socket(b.sid).Handshake().Auth = map[string]any{
			"token": "secret", "pid": "secret", "offset": "1-0", "kept": "yes",
		}
		nodes[1].socket(b.sid).Handshake().Headers["Cookie"] = "secret"
		found, err := fetch(nodes[0].io)
		require.NoError(t, err)
		require.Len(t, found, 3)
		require.Equal(t, map[string]any{"user": "u1", "big": int64(1 << 53)}, found[b.sid].Data())
		require.ElementsMatch(t, []socket.Room{"r", "s", socket.Room(b.sid)}, found[b.sid].Rooms().Keys())
		require.Nil(t, found[c.sid].Data(), "data that cannot be sent is left out")
		theirs, own := found[b.sid].Handshake(), nodes[1].socket(b.sid).Handshake()
		require.Equal(t, map[string]any{"kept": "yes"}, theirs.Auth, "credentials stay on their node")
		require.NotContains(t, theirs.Headers, "Cookie")
		require.Equal(t, own.Time, theirs.Time)
		require.Equal(t, own.Issued, theirs.Issued)
		require.Equal(t, own.Address, theirs.Address)
		require.Contains(t, theirs.Query, "EIO")
		require.Equal(t, own.Query, theirs.Query, "as the library has it")
		require.Equal(t, own.Headers["Connection"], theirs.Headers["Connection"])

		found, err = fetch(nodes[2].io.In("r").Except("s"))
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.Contains(t, found, a.sid)
		found, err = fetch(nodes[1].io.Local())
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.Equal(t, int64(3), nodes[1].io.Sockets().Adapter().ServerCount())

		// What a remote socket does goes through the cluster.
		found, err = fetch(nodes[0].io.In("s").Except("r"))
		require.NoError(t, err)
		found[c.sid].Join("q")
		require.NoError(t, found[c.sid].Emit("hi", 1))
		_ = nodes[0].io.To("q").Emit("q")
		c.expect(`["hi",1]`, `["q"]`)
	}
}

func TestRequestsDoNotWaitForTheDead(t *testing.T) {
	server := redistest.Start(t)
	cfg := testConfig("a:1")
	cfg.RequestTimeout = time.Hour
	n := startNode(t, server.Addr(), cfg)
	other := startNode(t, server.Addr(), testConfig("b:1"))
	n.connect()
	other.connect()
	ghost(t, server.Client())
	found, err := fetch(n.io.Timeout(50 * time.Millisecond))
	require.ErrorIs(t, err, ErrRequestTimeout)
	require.Len(t, found, 2, "those that answered are there")
	require.Equal(t, uint64(1), n.cluster.Stats().RequestTimeouts)

	n.cluster.NodeLeft("stranger:1")
	done := make(chan struct{})
	go func() {
		defer close(done)
		found, err = fetch(n.io)
	}()
	eventually(t, "only the dead is missing", func() bool {
		return n.cluster.peers.missing("dead:1")
	})
	n.cluster.NodeLeft("stranger:1")
	n.cluster.NodeLeft("dead:1")
	n.cluster.NodeLeft("dead:1")
	<-done
	require.NoError(t, err)
	require.Len(t, found, 2)

	acked := make(chan []any, 1)
	require.NoError(t, n.io.ServerSideEmit("ev", func(values []any, err error) { acked <- append(values, err) }))
	eventually(t, "asked", func() bool { return n.cluster.peers.pending() == 1 })
	n.stop()
	values := <-acked
	require.ErrorIs(t, values[len(values)-1].(error), ErrStopped)
}

// missing reports whether some request waits for uid alone.
func (r *requests) missing(uid string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range r.open {
		if _, in := q.missing[uid]; in && q.pending == 1 {
			return true
		}
	}
	return false
}

func (r *requests) pending() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open)
}

func TestServerSideEmit(t *testing.T) {
	server := redistest.Start(t)
	nodes := startCluster(t, server.Addr(), 3)
	var mu sync.Mutex
	var heard [][]any
	for i, n := range nodes {
		_ = n.io.On("tell", func(args ...any) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, args)
		})
		_ = n.io.On("ask", func(args ...any) {
			ack := args[len(args)-1].(socket.Ack)
			// A listener may itself ask the cluster.
			found, err := fetch(n.io)
			ack([]any{i, len(found), err == nil}, nil)
			ack([]any{"again"}, nil)
		})
		_ = n.io.On("mute", func(...any) {})
	}
	require.NoError(t, nodes[0].io.ServerSideEmit("tell", "x", 1, []byte{7}, map[string]any{"k": 1.5}))
	eventually(t, "both others heard", func() bool { mu.Lock(); defer mu.Unlock(); return len(heard) == 2 })
	require.Equal(t, []any{"x", int64(1), []byte{7}, map[string]any{"k": 1.5}}, heard[0])

	answers := make(chan []any, 1)
	require.NoError(t, nodes[0].io.ServerSideEmit("ask", func(values []any, err error) {
		require.NoError(t, err)
		answers <- values
	}))
	require.ElementsMatch(t, []any{int64(1), int64(2)}, <-answers)

	require.Error(t, nodes[0].io.ServerSideEmit("tell", func() {}))
	require.ErrorIs(t, nodes[0].cluster.adapterOf("/").ServerSideEmit(nil), errNoEvent)
	for _, n := range nodes[1:] {
		n.stop()
	}
	eventually(t, "alone", func() bool {
		uids, err := nodes[0].cluster.members(context.Background(), "/")
		return err == nil && len(uids) == 0
	})
	require.NoError(t, nodes[0].io.ServerSideEmit("ask", func(values []any, err error) { answers <- append(values, err) }))
	require.Equal(t, []any{nil}, <-answers)
	server.Kill()
	require.Error(t, nodes[0].io.ServerSideEmit("tell"))
	require.Error(t, nodes[0].io.ServerSideEmit("ask", func([]any, error) {}))
	found, err := fetch(nodes[0].io)
	require.Error(t, err)
	require.Empty(t, found)
	require.NotZero(t, nodes[0].cluster.Stats().RequestFailed)
	require.GreaterOrEqual(t, nodes[0].io.Sockets().Adapter().ServerCount(), int64(1))
}

func TestAServerSideEmitThatIsNotAnsweredTimesOut(t *testing.T) {
	server := redistest.Start(t)
	cfg := testConfig("a:1")
	cfg.RequestTimeout = 50 * time.Millisecond
	n := startNode(t, server.Addr(), cfg)
	ghost(t, server.Client())
	answers := make(chan error, 1)
	require.NoError(t, n.io.ServerSideEmit("ask", func(_ []any, err error) { answers <- err }))
	require.ErrorIs(t, <-answers, ErrRequestTimeout)
}

func TestBroadcastsWithAcknowledgements(t *testing.T) {
	server := redistest.Start(t)
	nodes := startCluster(t, server.Addr(), 3)
	var all []*client
	for i, ack := range []string{`["a","second"]`, `["b"]`, `[]`} {
		all = append(all, nodes[i].connectTo("/", ack, "r"))
	}
	type outcome struct {
		values []any
		err    error
	}
	ask := func(op *socket.BroadcastOperator) outcome {
		got := make(chan outcome, 1)
		op.EmitWithAck("question", map[string]any{"n": 1})(func(values []any, err error) { got <- outcome{values, err} })
		return <-got
	}
	got := ask(nodes[0].io.Timeout(patience).To("r"))
	require.NoError(t, got.err)
	require.ElementsMatch(t, []any{"a", "b", nil}, got.values)
	for _, c := range all {
		c.expect(`["question",{"n":1}]`)
	}
	got = ask(nodes[1].io.Timeout(time.Second).Local().To("r"))
	require.Error(t, got.err, "the collector counts servers, and only one was asked")
	require.Equal(t, []any{"b"}, got.values)
}

func TestOneSocketsAcknowledgementIsItsFirstValue(t *testing.T) {
	server := redistest.Start(t)
	nodes := startCluster(t, server.Addr(), 2)
	near, far := nodes[0].connectTo("/", `["near"]`, "r"), nodes[1].connectTo("/", `["far",{"_placeholder":false}]`, "r")
	found, err := fetch(nodes[0].io)
	require.NoError(t, err)
	for c, want := range map[*client]string{near: "near", far: "far"} {
		got := make(chan []any, 1)
		_ = found[c.sid].Timeout(patience).Emit("q", func(values []any, err error) {
			require.NoError(t, err)
			got <- values
		})
		require.Equal(t, []any{want}, <-got)
	}
}

func TestABroadcastWithAcknowledgementsDoesNotWaitForTheDead(t *testing.T) {
	server := redistest.Start(t)
	n := startNode(t, server.Addr(), testConfig("a:1"))
	n.connectTo("/", `["a"]`, "r")
	ghost(t, server.Client())
	got := make(chan []any, 1)
	n.io.Timeout(patience).To("r").EmitWithAck("q")(func(values []any, err error) {
		require.NoError(t, err)
		got <- values
	})
	eventually(t, "asked", func() bool { return n.cluster.peers.pending() == 1 })
	n.cluster.NodeLeft("dead:1")
	require.Equal(t, []any{"a"}, <-got)

	expired := make(chan error, 1)
	n.io.Timeout(50 * time.Millisecond).To("r").EmitWithAck("q")(func(_ []any, err error) { expired <- err })
	require.Error(t, <-expired)
	eventually(t, "forgotten", func() bool { return n.cluster.Stats().RequestTimeouts == 1 })
	server.Kill()
	n.io.Timeout(50 * time.Millisecond).To("r").EmitWithAck("q")(func(_ []any, err error) { expired <- err })
	<-expired
	require.NotZero(t, n.cluster.Stats().RequestFailed)
}

func TestBadMessagesCostThemselves(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	nodes := startCluster(t, server.Addr(), 2)
	sender := server.Client()
	send := func(m message) {
		t.Helper()
		payload, err := m.pack()
		require.NoError(t, err)
		require.NoError(t, sender.Publish(ctx, publicChannel("{teloo}", "/"), payload).Err())
	}
	require.NoError(t, sender.Publish(ctx, publicChannel("{teloo}", "/"), "\xc1").Err())
	send(message{uid: "n0:1", nsp: "/", kind: typeFetchSockets, requestID: "own"})
	send(message{uid: "x", nsp: "/other", kind: typeFetchSockets, requestID: "1"})
	send(message{uid: "x", nsp: "/", kind: 99})
	send(message{uid: "x", nsp: "/", kind: typeFetchSockets, requestID: "1"})
	send(message{uid: "x", nsp: "/", kind: typeServerSideEmit, data: map[string]any{"packet": []any{}}})
	send(message{uid: "x", nsp: "/", kind: typeServerSideEmit, data: map[string]any{"packet": []any{"connection", 1}}})
	send(message{uid: "x", nsp: "/", kind: typeServerSideEmit, data: map[string]any{"packet": []any{1}}})
	send(message{uid: "x", nsp: "/", kind: typeBroadcast, requestID: "1"})
	send(message{uid: "x", nsp: "/", kind: typeBroadcast, requestID: "1", data: map[string]any{
		"opts": options{}.value(), "packet": map[string]any{"data": []any{"connect"}},
	}})
	send(message{uid: "x", nsp: "/", kind: typeFetchReply, requestID: "unknown"})
	n := nodes[0]
	eventually(t, "all seen", func() bool { return n.cluster.Stats().BadMessages >= 7 })
	found, err := fetch(n.io)
	require.NoError(t, err)
	require.Empty(t, found)
	stats := n.cluster.Stats()
	require.Zero(t, stats.DeliveryPanics)
	require.Empty(t, detailsFrom([]any{"x", map[string]any{}}))
	require.Equal(t, map[string]any{}, handshakeValue(nil))
}

func TestFullInboxesDropAndCount(t *testing.T) {
	n := prepareNode(t, "127.0.0.1:1", testConfig("a:1"))
	defer func() { n.http.Close() }()
	for range inboxQueue + 3 {
		n.cluster.inbox.queue(n.cluster.inbox.requests, func() {})
	}
	for range replyQueue + 2 {
		n.cluster.inbox.respond(message{uid: "x", nsp: "/"}, typeFetchReply, nil)
	}
	n.cluster.inbox.respond(message{uid: "x", nsp: "/"}, typeFetchReply, map[string]any{"bad": func() {}})
	require.Equal(t, uint64(5), n.cluster.Stats().MessagesDropped)
	require.Equal(t, uint64(1), n.cluster.Stats().RequestFailed)
}

func TestTheSubscriptionComesBack(t *testing.T) {
	server := redistest.Start(t)
	nodes := startCluster(t, server.Addr(), 2)
	server.Kill()
	eventually(t, "loss noticed", func() bool {
		return !nodes[0].cluster.subscribed.Load() && !nodes[1].cluster.subscribed.Load()
	})
	server.Launch()
	for _, n := range nodes {
		eventually(t, "ready again", n.cluster.Ready)
	}
	var calls atomic.Int64
	_ = nodes[1].io.On("hello", func(...any) { calls.Add(1) })
	require.NoError(t, nodes[0].io.ServerSideEmit("hello"))
	eventually(t, "heard", func() bool { return calls.Load() == 1 })
}

func TestAServerSideEmitThatNobodyListensToIsAnsweredAtOnce(t *testing.T) {
	server := redistest.Start(t)
	nodes := startCluster(t, server.Addr(), 3)
	_ = nodes[1].io.On("census", func(args ...any) { args[0].(socket.Ack)([]any{"one"}, nil) })
	type outcome struct {
		values []any
		err    error
	}
	got := make(chan outcome, 1)
	begin := time.Now()
	require.NoError(t, nodes[0].io.ServerSideEmit("census", func(values []any, err error) { got <- outcome{values, err} }))
	answers := <-got
	require.NoError(t, answers.err)
	require.ElementsMatch(t, []any{"one", nil}, answers.values)
	require.Less(t, time.Since(begin), 5*time.Second)
}

func TestASubscriptionThatRedisEndedIsMadeAgain(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	nodes := startCluster(t, server.Addr(), 2)
	b := &nodes[1].cluster.inbox
	b.mu.Lock()
	sub := b.sub
	b.mu.Unlock()
	// As Redis does by itself when a Cluster's slot moves.
	require.NoError(t, sub.Unsubscribe(ctx, privateChannel("{teloo}", "/", "n1:1")))
	eventually(t, "subscribed again", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		uids, err := nodes[0].cluster.members(ctx, "/")
		return err == nil && len(uids) == 1 && b.sub != nil && b.sub != sub
	})
	eventually(t, "ready", nodes[1].cluster.Ready)
	found, err := fetch(nodes[0].io)
	require.NoError(t, err)
	require.Empty(t, found)
}

func TestARequestTakesNoLongerThanItsTimeoutInAll(t *testing.T) {
	server := redistest.Start(t)
	n := startNode(t, server.Addr(), testConfig("a:1"), func(d *Deps) {
		d.Redis.AddHook(beforeCommand{"pubsub", func() { pause(context.Background(), 3*time.Second) }})
	})
	ghost(t, server.Client())
	begin := time.Now()
	_, err := fetch(n.io.Timeout(4 * time.Second))
	require.ErrorIs(t, err, ErrRequestTimeout)
	require.Less(t, time.Since(begin), 6*time.Second)
}

// TestAskReturnsWhatCame: a node that does not answer costs the asker his patience, and not the others' answers.
func TestAskReturnsWhatCame(t *testing.T) {
	server := redistest.Start(t)
	nodes := startCluster(t, server.Addr(), 3)
	for i, n := range nodes {
		_ = n.io.On("question", func(args ...any) {
			args[len(args)-1].(socket.Ack)([]any{[]byte{byte(i)}}, nil)
		})
	}
	ask := func(ctx context.Context) ([]any, error) {
		return nodes[0].cluster.adapterOf("/").Ask(ctx, []any{"question"})
	}
	answers, err := ask(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, []any{[]byte{1}, []byte{2}}, answers)

	ghost(t, server.Client())
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	answers, err = ask(short)
	require.ErrorIs(t, err, ErrRequestTimeout)
	require.ElementsMatch(t, []any{[]byte{1}, []byte{2}}, answers)
	require.Zero(t, nodes[0].cluster.peers.pending())

	_, err = nodes[0].cluster.adapterOf("/").Ask(t.Context(), nil)
	require.ErrorIs(t, err, errNoEvent)
	end, err := nodes[0].cluster.LogEnd(t.Context())
	require.NoError(t, err)
	require.Contains(t, end+"-", "-")
	server.Kill()
	_, err = ask(t.Context())
	require.Error(t, err)
	_, err = nodes[0].cluster.LogEnd(t.Context())
	require.Error(t, err)
}
