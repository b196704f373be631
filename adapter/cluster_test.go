package adapter

import (
	"context"
	"encoding/base64"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func startCluster(t *testing.T, addr string, size int) []*testNode {
	t.Helper()
	nodes := make([]*testNode, size)
	for i := range nodes {
		nodes[i] = startNode(t, addr, testConfig(fmt.Sprintf("n%d:1", i)))
	}
	eventually(t, "all nodes are subscribed", func() bool {
		uids, err := nodes[0].cluster.members(context.Background(), "/")
		return err == nil && len(uids) == size-1
	})
	return nodes
}

func TestBroadcastsReachTheRightSocketsOfAllNodesOnceAndInOneOrder(t *testing.T) {
	server := redistest.Start(t)
	nodes := startCluster(t, server.Addr(), 3)
	var all, both []*client
	for _, n := range nodes {
		a, b := n.connect("a"), n.connect("a", "b")
		all, both = append(all, a, b), append(both, b)
	}
	var group sync.WaitGroup
	const each = 50
	for i, n := range nodes {
		group.Go(func() {
			for k := range each {
				_ = n.io.To("a", "b").Emit("ev", i, k, "é<>")
			}
		})
	}
	group.Wait()
	for _, c := range all {
		eventually(t, "all events", func() bool { return c.count() >= 3*each })
		require.Equal(t, all[0].got(), c.got(), "one order everywhere, none twice")
	}
	require.Contains(t, all[0].got(), `["ev",0,7,"é<>"]`)
	nodes[1].io.To("a").Except("b").Emit("only a")
	nodes[1].io.In("b").Emit("only b")
	for _, c := range both {
		eventually(t, "event", func() bool { return c.count() == 3*each+1 })
		require.Equal(t, `["only b"]`, c.got()[3*each])
	}
	eventually(t, "event", func() bool { return all[4].count() == 3*each+1 })
	require.Equal(t, `["only a"]`, all[4].got()[3*each])
	require.Equal(t, uint64(3*each+2), nodes[0].cluster.Stats().Delivered)
	require.Equal(t, nodes[0].cluster.Stats().Position, nodes[2].cluster.Stats().Position)
}

func TestLocalBroadcastsStayOnTheNode(t *testing.T) {
	server := redistest.Start(t)
	nodes := startCluster(t, server.Addr(), 2)
	near, far := nodes[0].connect("r"), nodes[1].connect("r")
	var seen []any
	var mu sync.Mutex
	nodes[0].socket(near.sid).OnAnyOutgoing(func(args ...any) {
		mu.Lock()
		seen = append(seen, args...)
		mu.Unlock()
	})
	_ = nodes[0].io.Local().To("r").Emit("near", 1)
	// A broadcast to one local socket goes to one node, so it needs no log.
	_ = nodes[0].io.To(socket.Room(near.sid)).Emit("direct")
	near.expect(`["near",1]`, `["direct"]`)
	nodes[1].publish("last")
	far.expect(`["last"]`)
	near.expect(`["near",1]`, `["direct"]`, `["last"]`)
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []any{"near", 1.0, "direct", "last", near.lastOffset()}, seen)
	require.Zero(t, nodes[0].cluster.Stats().Published)
}

func TestValuesThatHaveNoFormAreCountedAndNeverSent(t *testing.T) {
	server := redistest.Start(t)
	n := startNode(t, server.Addr(), testConfig("n:1"))
	c := n.connect("r")
	_ = n.io.To("r").Emit("bad", func() {}, make(chan int))
	_ = n.io.Local().To("r").Emit("bad", map[string]any{"f": func() {}})
	n.io.Timeout(time.Second).To("r").EmitWithAck("bad", make(chan int))(func([]any, error) {})
	_ = n.io.To("r").Emit("good", map[string]any{"b": []byte{1, 2}})
	c.expect(`451-["good",{"b":{"_placeholder":true,"num":0}}]`)
	require.Equal(t, uint64(3), n.cluster.Stats().EncodeFailed)
	eventually(t, "attachment", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.binary) == 1 })
	require.Equal(t, [][]byte{{1, 2}}, c.binary)
	ctx := context.Background()
	err := n.cluster.Publish(ctx, Broadcast{Event: "bad", Args: raw("{")})
	require.ErrorIs(t, err, ErrInvalidBroadcast)
	// Binary travelled as base64 of msgpack, as official members send it.
	entries, err := server.Client().XRange(ctx, "{teloo}:log", "-", "+").Result()
	require.NoError(t, err)
	require.Len(t, entries, 1)
	packed, err := base64.StdEncoding.DecodeString(entries[0].Values["data"].(string))
	require.NoError(t, err)
	require.Equal(t, byte(0x82), packed[0])
}

func TestJoinLeaveAndDisconnectReachAllNodesInTheLogsOrder(t *testing.T) {
	server := redistest.Start(t)
	nodes := startCluster(t, server.Addr(), 2)
	a, b := nodes[0].connect("r"), nodes[1].connect("r")
	io := nodes[0].io
	_ = io.To("x").Emit("before")
	io.In("r").SocketsJoin("x", "y")
	_ = io.To("x").Emit("joined")
	io.In("y").SocketsLeave("x")
	_ = io.To("x").Emit("after")
	_ = io.To("y").Emit("still")
	for _, c := range []*client{a, b} {
		c.expect(`["joined"]`, `["still"]`)
	}
	io.Local().In("r").SocketsJoin("near")
	_ = io.To("near").Emit("near")
	a.expect(`["joined"]`, `["still"]`, `["near"]`)
	// What was sent before arrives before the connection ends.
	_ = io.To("y").Emit("bye")
	io.In("y").DisconnectSockets(false)
	a.expect(`["joined"]`, `["still"]`, `["near"]`, `["bye"]`, "41")
	b.expect(`["joined"]`, `["still"]`, `["bye"]`, "41")
	for _, n := range nodes {
		a := n.cluster.adapterOf("/")
		eventually(t, "rooms are empty", func() bool { return a.Sids().Len() == 0 && a.Rooms().Len() == 0 })
	}
	c := nodes[1].connect("r")
	io.DisconnectSockets(true)
	eventually(t, "connection closed", c.isClosed)
}

func TestRoomViewsAreCopies(t *testing.T) {
	server := redistest.Start(t)
	n := startNode(t, server.Addr(), testConfig("n:1"))
	c := n.connect("r")
	a := n.io.Sockets().Adapter()
	sid := socket.SocketId(c.sid)
	require.ElementsMatch(t, []socket.Room{"r", socket.Room(sid)}, a.SocketRooms(sid).Keys())
	require.ElementsMatch(t, []socket.Room{"r", socket.Room(sid)}, n.socket(c.sid).Rooms().Keys())
	ids, ok := a.Rooms().Load("r")
	require.True(t, ok)
	require.Equal(t, []socket.SocketId{sid}, ids.Keys())
	rooms, ok := a.Sids().Load(sid)
	require.True(t, ok)
	require.Equal(t, 2, rooms.Len())
	require.True(t, a.Sockets(nil).Has(sid))
	require.Nil(t, a.SocketRooms("nobody"))
	session, err := a.RestoreSession("pid", "1-1")
	require.NoError(t, err)
	require.Nil(t, session)
	var events []any
	var mu sync.Mutex
	for _, name := range []string{"leave-room", "delete-room", "create-room", "join-room"} {
		_ = a.On(eventName(name), func(args ...any) {
			mu.Lock()
			events = append(append(events, name), args...)
			mu.Unlock()
		})
	}
	n.socket(c.sid).Leave("r")
	n.socket(c.sid).Leave("r")
	n.socket(c.sid).Join("q")
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []any{
		"leave-room", socket.Room("r"), sid, "delete-room", socket.Room("r"),
		"create-room", socket.Room("q"), "join-room", socket.Room("q"), sid,
	}, events)
}

func TestNamespacesAreApart(t *testing.T) {
	server := redistest.Start(t)
	nodes := []*testNode{
		startNode(t, server.Addr(), testConfig("a:1")), startNode(t, server.Addr(), testConfig("b:1")),
	}
	for _, n := range nodes {
		n.io.Of("/admin", func(args ...any) {})
		eventually(t, "ready with the new namespace", n.cluster.Ready)
	}
	eventually(t, "both have the namespace", func() bool {
		uids, err := nodes[0].cluster.members(context.Background(), "/admin")
		return err == nil && len(uids) == 1
	})
	admin, plain := nodes[1].connectTo("/admin", ""), nodes[1].connect()
	_ = nodes[0].io.Of("/admin", nil).Emit("for admins")
	_ = nodes[0].io.Emit("for all", 1)
	admin.expect(`["for admins"]`)
	plain.expect(`["for all",1]`)
	// A namespace that is closed here, and one that only others have, cost an entry nothing but itself.
	nodes[1].io.Of("/admin", nil).Adapter().Close()
	_ = nodes[0].io.Of("/admin", nil).Emit("lost")
	_ = nodes[0].io.Emit("on")
	plain.expect(`["for all",1]`, `["on"]`)
	require.Equal(t, uint64(1), nodes[1].cluster.Stats().UnknownNamespace)
}

func TestRunsOnMiniredis(t *testing.T) {
	mini := miniredis.RunT(t)
	nodes := startCluster(t, mini.Addr(), 2)
	a, b := nodes[0].connect("r"), nodes[1].connect("r")
	nodes[0].publish("one", "r")
	_ = nodes[1].io.To("r").Emit("two")
	nodes[1].io.In("r").SocketsJoin("s")
	_ = nodes[1].io.To("s").Emit("three")
	for _, c := range []*client{a, b} {
		c.expect(`["one"]`, `["two"]`, `["three"]`)
	}
	nodes[0].io.FetchSockets()(func(sockets []*socket.RemoteSocket, err error) {
		require.NoError(t, err)
		require.Len(t, sockets, 2)
	})
	require.Equal(t, int64(2), nodes[0].io.Sockets().Adapter().ServerCount())
	cut, err := nodes[0].cluster.appendPosition(context.Background())
	require.NoError(t, err)
	require.Zero(t, cut)
	mini.FlushAll()
	eventually(t, "new log noticed", func() bool { return nodes[0].cluster.Stats().Resets == 1 })
	nodes[0].publish("four", "r")
	a.expect(`["one"]`, `["two"]`, `["three"]`, `["four"]`)
}

func TestConfigFaultsAreReportedTogether(t *testing.T) {
	err := Config{}.Validate()
	for _, name := range []string{
		"Prefix", "UID", "Block", "RequestTimeout", "PositionEvery", "LogMaxAge", "LogMaxEntries", "PublishQueue", "ReadCount",
	} {
		require.ErrorContains(t, err, name)
	}
	require.NoError(t, testConfig("n:1").Validate())
	_, err = New(DefaultConfig(), Deps{})
	require.ErrorContains(t, err, "UID")
	require.ErrorContains(t, err, "Deps.Redis")
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	defer func() { require.NoError(t, client.Close()) }()
	c, err := New(testConfig("n:1"), Deps{Redis: client, Blocking: client})
	require.NoError(t, err)
	require.True(t, c.lead())
	c.onGap("nothing happens")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(t, c.Run(ctx))
	require.ErrorIs(t, c.Run(ctx), ErrRunning)
	require.False(t, c.Ready())
	require.ErrorIs(t, c.Publish(context.Background(), Broadcast{Event: "late"}), ErrStopped)
	require.Equal(t, uint64(1), c.Stats().PublishFailed)
}
