package adapter

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// sink is a connection that takes everything and keeps what it was asked last.
type sink struct {
	taken               int
	frames              [][]byte
	volatile, uncharged bool
	closed              bool
}

func (s *sink) WriteFrames(frames [][]byte, volatile, uncharged bool) bool {
	s.taken++
	s.frames, s.volatile, s.uncharged = frames, volatile, uncharged
	return !s.closed
}

// bareAdapter is a namespace's adapter without a server.
func bareAdapter() *nspAdapter {
	return &nspAdapter{c: &Cluster{log: slog.New(slog.DiscardHandler)}, name: "/", table: newRoomTable()}
}

// attach makes a socket of the table one whose connection is to.
func (a *nspAdapter) attach(id string, to frameWriter, rooms ...socket.Room) *member {
	a.table.add(socket.SocketId(id), rooms, streamID{})
	m := a.table.member(socket.SocketId(id))
	m.conn, m.served = to, true
	m.link.Store(linkDirect)
	m.out.Store(nil)
	return m
}

func eventFrame(id streamID, f flags) *frame {
	return newFrame("/", packetBody{array: []byte(`["ev",` + payload + `]`), offset: id}, f)
}

func TestABroadcastHandsTheOneFrameToEveryConnection(t *testing.T) {
	a := bareAdapter()
	var sinks [3]sink
	for i := range sinks {
		a.attach(fmt.Sprint("s", i), &sinks[i], "r", "q")
	}
	f := eventFrame(streamID{ms: 5}, flags{})
	d := delivery{frame: f, opts: options{Rooms: []string{"r", "q"}}, uncharged: true}
	require.Equal(t, uint64(3), a.deliver(d))
	for i := range sinks {
		require.Equal(t, 1, sinks[i].taken, "once, although it is in both rooms")
		require.Same(t, &f.frames[0][0], &sinks[i].frames[0][0])
		require.True(t, sinks[i].uncharged)
		require.False(t, sinks[i].volatile)
	}
	require.Zero(t, a.deliver(d), "an entry is sent once")
	require.Equal(t, uint64(3), a.c.count.writes.Load())

	sinks[0].closed = true
	d = delivery{frame: eventFrame(streamID{}, flags{Volatile: true}), opts: options{}}
	require.Equal(t, uint64(3), a.deliver(d))
	require.Equal(t, uint64(5), a.c.count.writes.Load(), "what a connection dropped does not count")
	require.True(t, sinks[1].volatile)
	require.False(t, sinks[1].uncharged)
}

func TestWhoIsHaltedIsSentNothingMore(t *testing.T) {
	a := bareAdapter()
	var s sink
	m := a.attach("s", &s, "r")
	m.halt()
	require.Zero(t, a.deliver(delivery{frame: eventFrame(streamID{ms: 1}, flags{}), opts: options{Rooms: []string{"r"}}}))
	a.post(m, nil, job{frame: eventFrame(streamID{}, flags{})})
	require.Zero(t, s.taken)
}

func TestWhoIsSentAwayIsSentNothingAfterIt(t *testing.T) {
	a := bareAdapter()
	var s sink
	m := a.attach("s", &s, "r")
	asked := make(chan struct{})
	a.post(m, nil, job{do: func(*socket.Socket) { close(asked) }})
	require.Zero(t, a.deliver(delivery{frame: eventFrame(streamID{ms: 1}, flags{}), opts: options{Rooms: []string{"r"}}}))
	require.Zero(t, s.taken)
	<-asked
	a.c.tasks.wait(patience)
}

func TestListenersForOutgoingPacketsHearOfFrames(t *testing.T) {
	server := redistest.Start(t)
	n := startNode(t, server.Addr(), testConfig("a:1"))
	var mu sync.Mutex
	var heard []string
	_ = n.io.On("connection", func(args ...any) {
		args[0].(*socket.Socket).OnAnyOutgoing(func(args ...any) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, args[0].(string))
		})
	})
	c := n.connect("r")
	n.publish("e1", "r")
	n.publish("e2", "r")
	c.expect(events("e1", "e2")...)
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []string{"joined", "e1", "e2"}, heard)
}

func TestDeliveringAllocatesNothing(t *testing.T) {
	a := bareAdapter()
	var s sink
	for i := range 1000 {
		a.attach(fmt.Sprint("s", i), &s, "r", "q")
	}
	for name, rooms := range map[string][]string{"one room": {"r"}, "two rooms": {"r", "q"}, "everyone": nil} {
		f := eventFrame(streamID{}, flags{})
		d := delivery{frame: f, opts: options{Rooms: rooms}}
		require.LessOrEqual(t, testing.AllocsPerRun(10, func() { a.deliver(d) }), 3.0, name)
	}
}

func TestAnOutboxIsGoneOnceWhatWaitedHasBeenHandedOver(t *testing.T) {
	m := newMember("s")
	box := m.out.Load()
	require.Equal(t, putOpening, box.put(job{}))
	var s sink
	box.retire(m, &s)
	require.Equal(t, linkQueued, m.link.Load(), "it is being drained")
	require.Len(t, box.take(nil), 1)
	require.Nil(t, box.take(nil))
	require.Equal(t, putDrain, box.put(job{}), "something came in between")
	box.retire(m, &s)
	require.Equal(t, linkQueued, m.link.Load(), "another drains")
	require.Len(t, box.take(nil), 1)
	require.Nil(t, box.take(nil))
	box.retire(m, &s)
	require.Equal(t, linkDirect, m.link.Load())
	require.Nil(t, m.out.Load())
	require.Equal(t, putDirect, box.put(job{}), "who had the outbox in hand already is told")

	halted := newMember("h")
	box = halted.out.Load()
	halted.halt()
	box.retire(halted, &s)
	require.Equal(t, linkHalted, halted.link.Load())
	require.Equal(t, putDead, box.put(job{}))
}

// BenchmarkDeliver delivers an entry to 5,000 sockets.
func BenchmarkDeliver(b *testing.B) {
	const members = 5000
	run := func(rooms []string, between func(a *nspAdapter, i int)) func(*testing.B) {
		return func(b *testing.B) {
			a := bareAdapter()
			sinks := make([]sink, members)
			for i := range sinks {
				a.attach(fmt.Sprint("s", i), &sinks[i], "r", "q")
			}
			f := eventFrame(streamID{ms: 1}, flags{})
			d := delivery{frame: f, opts: options{Rooms: rooms}}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				f.id.ms++
				if n := a.deliver(d); n < members {
					b.Fatal(n)
				}
				if between != nil {
					between(a, i)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/members, "ns/delivery")
		}
	}
	b.Run("one room", run([]string{"r"}, nil))
	b.Run("two rooms", run([]string{"r", "q"}, nil))
	b.Run("everyone", run(nil, nil))
	var extra sink
	b.Run("joins alternating", run([]string{"r"}, func(a *nspAdapter, i int) {
		id := fmt.Sprint("x", i%100)
		if i/100%2 == 0 {
			a.attach(id, &extra, "r")
		} else {
			a.table.removeAll(socket.SocketId(id))
		}
	}))
}

// BenchmarkJoin joins and leaves a room of 10,000, by itself and with a walk of the room between.
func BenchmarkJoin(b *testing.B) {
	for name, walks := range map[string]bool{"alone": false, "walks between": true} {
		b.Run(name, func(b *testing.B) {
			table := newRoomTable()
			for i := range 10_000 {
				table.add(socket.SocketId(fmt.Sprint("s", i)), []socket.Room{"r"}, streamID{})
			}
			b.ReportAllocs()
			for b.Loop() {
				table.add("s5000", []socket.Room{"q"}, streamID{})
				table.remove("s5000", "r")
				if walks {
					table.walk(options{Rooms: []string{"r"}}, func(*member) {})
				}
				table.add("s5000", []socket.Room{"r"}, streamID{})
				table.remove("s5000", "q")
			}
		})
	}
}
