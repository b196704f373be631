package adapter

import (
	"context"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// payload is an event's data of some 200 bytes.
var payload = `{"solicitud_id":12345,"text":"` + strings.Repeat("x", 170) + `"}`

// BenchmarkLocalBroadcast writes one frame to each of 1,000 sockets, over TCP, and waits until all are written.
func BenchmarkLocalBroadcast(b *testing.B) {
	server := redistest.Start(b)
	n := startNode(b, server.Addr(), testConfig("a:1"))
	const members = 1000
	for range members {
		c := &client{t: b}
		eventually(b, "connection", func() bool { return n.handshake(c) == nil })
		conn := c.conn.NetConn()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.Copy(io.Discard, conn)
		}()
		b.Cleanup(func() { _ = conn.Close(); <-done })
	}
	eventually(b, "all are connected", func() bool { return n.io.Sockets().Sockets().Len() == members })
	for _, s := range n.io.Sockets().Sockets().Values() {
		s.Join("r")
	}
	a := n.cluster.adapterOf("/")
	fields, err := EncodeBroadcast("n", Broadcast{Event: "ev", Rooms: []string{"r"}, Args: raw(payload)})
	require.NoError(b, err)
	values := rawOf(fieldMap(fields))
	start := n.cluster.Stats().Writes
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		e, err := decodeEntry(values)
		require.NoError(b, err)
		a.deliver(delivery{frame: newFrame("/", e.packet, e.opts.Flags), opts: e.opts})
		want := start + uint64(i+1)*members
		eventually(b, "written", func() bool { return n.cluster.count.writes.Load() >= want })
	}
	b.ReportMetric(float64(b.N)*members/b.Elapsed().Seconds(), "deliveries/s")
}

// BenchmarkWalk visits 1,000 members, and the same 1,000 by two rooms.
func BenchmarkWalk(b *testing.B) {
	for name, rooms := range map[string][]string{"one room": {"r"}, "two rooms": {"r", "s"}} {
		b.Run(name, func(b *testing.B) {
			table := newRoomTable()
			for i := range 1000 {
				table.add(socket.SocketId(rune(i)), []socket.Room{"r", "s"}, streamID{})
			}
			visits := 0
			b.ReportAllocs()
			for b.Loop() {
				table.walk(options{Rooms: rooms}, func(*member) { visits++ })
			}
			require.Equal(b, b.N*1000, visits)
		})
	}
}

func BenchmarkEncodeBroadcast(b *testing.B) {
	bc := Broadcast{Event: "solicitud_created", Rooms: []string{"solicitud_1", "user_2", "admin"}, Args: raw(payload)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := EncodeBroadcast("n:1", bc); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeEntry decodes a log entry and frames its packet.
func BenchmarkDecodeEntry(b *testing.B) {
	fields, err := EncodeBroadcast("n:1", Broadcast{
		Event: "solicitud_created", Rooms: []string{"solicitud_1", "user_2", "admin"}, Args: raw(payload),
	})
	require.NoError(b, err)
	values := rawOf(fieldMap(fields))
	b.ReportAllocs()
	for b.Loop() {
		e, err := decodeEntry(values)
		if err != nil {
			b.Fatal(err)
		}
		_ = newFrame("/", e.packet, e.opts.Flags)
	}
}

// BenchmarkEntry takes one log entry, as the reader has it from Redis, to the one socket of its user's room, with the ring
// full, with and without a journal.
func BenchmarkEntry(b *testing.B) {
	b.Run("noted", func(b *testing.B) { benchmarkEntry(b, DefaultConfig().TraceEntries) })
	b.Run("not noted", func(b *testing.B) { benchmarkEntry(b, 0) })
}

func benchmarkEntry(b *testing.B, traceEntries int) {
	b.Helper()
	cfg := testConfig("a:1")
	cfg.RingMaxEntries, cfg.TraceEntries = 10_000, traceEntries
	c, err := New(cfg, Deps{Redis: redisClients(b, "127.0.0.1:1").redis, Blocking: redisClients(b, "127.0.0.1:1").blocking})
	require.NoError(b, err)
	a := bareAdapter()
	a.c = c
	c.nsps["/"] = a
	sinks := make([]sink, 1000)
	values := make([]*rawEntry, len(sinks))
	for i := range sinks {
		user := fmt.Sprint("user_", i)
		a.attach(fmt.Sprint("s", i), &sinks[i], socket.Room(user))
		fields, err := EncodeBroadcast("n:1", Broadcast{Event: "notificacion_nueva", Rooms: []string{user}, Args: raw(payload)})
		require.NoError(b, err)
		values[i] = rawOf(fieldMap(fields))
	}
	r := newReader(c)
	id := streamID{ms: 1_700_000_000_000}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		id.seq++
		v := values[i%len(values)]
		v.id, v.from, v.sourced = id, id.String(), true
		r.handle(v)
	}
	require.Equal(b, uint64(b.N), c.count.writes.Load())
}

// BenchmarkReadLog reads 1,000 entries from Redis.
func BenchmarkReadLog(b *testing.B) {
	server := redistest.Start(b)
	ctx := context.Background()
	pipe := server.Client().Pipeline()
	for i := range 1000 {
		fields, err := EncodeBroadcast("n:1", Broadcast{
			Event: "notificacion_nueva", Rooms: []string{fmt.Sprint("user_", i)}, Args: raw(payload),
		})
		require.NoError(b, err)
		pipe.XAdd(ctx, &redis.XAddArgs{Stream: logKey, Values: append(fields, fieldSrc, fmt.Sprintf("17000000000%d-0", i))})
	}
	_, err := pipe.Exec(ctx)
	require.NoError(b, err)
	clients := redisClients(b, server.Addr())
	c, err := New(testConfig("a:1"), Deps{Redis: clients.redis, Blocking: clients.blocking})
	require.NoError(b, err)
	r := newReader(c)
	began := processTime(b)
	b.ReportAllocs()
	for b.Loop() {
		entries, err := r.read(ctx, streamID{}, 1000)
		if err != nil || len(entries) != 1000 {
			b.Fatal(len(entries), err)
		}
	}
	b.ReportMetric(float64(processTime(b)-began)/float64(b.N)/1000, "cpu-ns/entry")
}

// processTime is the processor time that this process has used.
func processTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
