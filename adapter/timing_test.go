package adapter

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// notedSink is a sink that is asked when it has written.
type notedSink struct {
	sink

	marks []int64
}

func (s *notedSink) NoteWritten(mark int64) { s.marks = append(s.marks, mark) }

// TestTimedDelivery: each event of the stream is told once, and one of the last of its receivers is asked.
func TestTimedDelivery(t *testing.T) {
	a := bareAdapter()
	var told []streamID
	a.c.delivered = func(ms, seq uint64, _ bool) { told = append(told, streamID{ms, seq}) }
	sinks := make([]notedSink, 20)
	for i := range sinks {
		a.attach(fmt.Sprint("s", i), &sinks[i], "r")
	}
	asked := func() (where []int) {
		for i := range sinks {
			for _, mark := range sinks[i].marks {
				require.EqualValues(t, 7, mark)
				where = append(where, i)
			}
			sinks[i].marks = nil
		}
		return where
	}
	seen := map[int]bool{}
	for seq := range uint64(16) {
		source := streamID{7, seq}
		a.deliver(delivery{frame: eventFrame(streamID{8, seq}, flags{}), opts: options{Rooms: []string{"r"}}, source: source})
		require.Equal(t, source, told[len(told)-1])
		where := asked()
		require.Len(t, where, 1)
		require.GreaterOrEqual(t, where[0], len(sinks)-8, "one of the last")
		seen[where[0]] = true
	}
	require.Len(t, seen, 8, "not always the same")

	a.deliver(delivery{frame: eventFrame(streamID{9, 0}, flags{}), opts: options{Rooms: []string{"r"}}})
	require.Len(t, told, 16, "what is no event of the stream has no time")
	a.deliver(delivery{frame: eventFrame(streamID{9, 1}, flags{}), opts: options{Rooms: []string{"nobody"}}, source: streamID{7, 99}})
	require.Len(t, told, 16, "nor has what nobody receives")
	require.Empty(t, asked())
}

func TestTimedDeliveryAllocatesNothing(t *testing.T) {
	a := bareAdapter()
	a.c.delivered = func(uint64, uint64, bool) {}
	sinks := make([]silentSink, 100)
	for i := range sinks {
		a.attach(fmt.Sprint("s", i), &sinks[i], "r")
	}
	d := delivery{frame: eventFrame(streamID{}, flags{}), opts: options{Rooms: []string{"r"}}, source: streamID{7, 1}}
	plain := d
	plain.source = streamID{}
	without := testing.AllocsPerRun(100, func() { a.deliver(plain) })
	require.InDelta(t, without, testing.AllocsPerRun(100, func() { a.deliver(d) }), 0)
}

// silentSink takes everything and keeps nothing.
type silentSink struct{}

func (*silentSink) WriteFrames([][]byte, bool, bool) bool { return true }
func (*silentSink) NoteWritten(int64)                     {}

// TestClocksAreLookedAtOften: an entry's time is that of the entry before only if few sockets were handed frames since.
func TestClocksAreLookedAtOften(t *testing.T) {
	a := bareAdapter()
	var looked []bool
	a.c.delivered = func(_, _ uint64, soon bool) { looked = append(looked, !soon) }
	for i := range 100 {
		a.attach(fmt.Sprint("s", i), &silentSink{}, "all", socket.Room(fmt.Sprint("r", i/20)))
	}
	deliver := func(rooms ...string) bool {
		a.deliver(delivery{frame: eventFrame(streamID{}, flags{}), opts: options{Rooms: rooms}, source: streamID{7, 1}})
		return looked[len(looked)-1]
	}
	a.c.untimed = -1
	require.True(t, deliver("r0"), "the first of what was read at once")
	require.False(t, deliver("r0"))
	require.False(t, deliver("r1"))
	require.False(t, deliver("r2"))
	require.True(t, deliver("r3"), "80 sockets later")
	require.False(t, deliver("r0"))
	require.True(t, deliver("all"), "many at once")
}

func TestBehind(t *testing.T) {
	server := redistest.Start(t)
	n := startNode(t, server.Addr(), testConfig("a:1"))
	eventually(t, "the log is read", func() bool {
		b, err := n.cluster.Behind(t.Context())
		return err == nil && b.Waiting.IsZero() && n.cluster.Ready()
	})
	client := server.Client()
	fields, err := EncodeBroadcast("n", Broadcast{Nsp: "/", Event: "ev", Rooms: []string{"r"}, Args: raw(payload)})
	require.NoError(t, err)
	n.cluster.deliverMu.Lock() // so that it is not delivered
	id, err := client.XAdd(t.Context(), &redis.XAddArgs{Stream: logKey, Values: fields}).Result()
	if err == nil {
		var b Behind
		b, err = n.cluster.Behind(t.Context())
		if err == nil && b.Waiting.IsZero() {
			err = fmt.Errorf("nothing waits of %d", b.Length)
		}
	}
	n.cluster.deliverMu.Unlock()
	require.NoError(t, err)
	eventually(t, "it was delivered", func() bool {
		b, err := n.cluster.Behind(t.Context())
		return err == nil && b.Waiting.IsZero() && n.cluster.Stats().Position >= id
	})
	require.Positive(t, n.cluster.Stats().RingEntries)
	require.Positive(t, n.cluster.Stats().RingBytes)
}

func TestRingCoverage(t *testing.T) {
	r := newRing(ringLimits{entries: 3, bytes: 1 << 20, age: time.Hour})
	require.Zero(t, r.coverage())
	for i := range uint64(3) {
		r.add(&logged{id: streamID{ms: 5000 + 1000*i}})
	}
	require.Equal(t, 2*time.Second, r.coverage(), "from the first entry of a log that it has whole")
	r.add(&logged{id: streamID{ms: 9000}})
	require.Equal(t, 4*time.Second, r.coverage(), "from behind the one that was dropped")
}
