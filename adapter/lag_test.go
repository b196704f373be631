package adapter

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func TestLagIsToldWhateverTheOtherClockSays(t *testing.T) {
	for _, offset := range []uint64{0, 1_700_000_000_000} {
		var l lag
		at := func(ms uint64) streamID { return streamID{ms: offset + ms} }
		l.advance(10_000)
		require.Zero(t, l.of(at(9_990)), "nothing is known yet")
		l.advance(20_000)
		require.Zero(t, l.of(at(19_997)))
		require.InDelta(t, 2000, l.of(at(17_997)).Milliseconds(), 20)
		// After an outage.
		l.advance(50_000)
		require.InDelta(t, 29_000, l.of(at(20_997)).Milliseconds(), 60)
		require.Less(t, l.of(at(49_900)), lateAfter)
	}
	// A clock that was set back is believed in the end.
	var l lag
	l.of(streamID{ms: 5000})
	l.advance(1000)
	require.Equal(t, 5*time.Second, (l.of(streamID{ms: 1000}) + 500*time.Millisecond).Truncate(time.Second))
	for now := int64(1010); now < 6_000_000; now += 10 {
		l.advance(now)
		l.of(streamID{ms: uint64(now)})
	}
	require.Less(t, l.of(streamID{ms: 6_000_000 - 10}), lateAfter)
}

func TestWhatIsCaughtUpWithAfterAnOutageIsNotCharged(t *testing.T) {
	needsOwnConnections(t)
	server := redistest.Start(t)
	p := startProxy(t, server.Addr())
	n := startNode(t, server.Addr(), testConfig("a:1"), p.through())
	c := n.connect("r")
	conn := n.socket(c.sid).Conn().(*framedConn)
	n.publish("before", "r")
	c.expect(events("before")...)
	p.setCut(true)
	begin := time.Now()
	want := events("before")
	for i := range 20 {
		n.publish(fmt.Sprint("missed", i), "r")
		want = append(want, fmt.Sprintf(`["missed%d"]`, i))
	}
	eventually(t, "they are old", func() bool { return time.Since(begin) > lateAfter+500*time.Millisecond })
	p.setCut(false)
	c.expect(want...)
	eventually(t, "the reader is at the log's end", n.cluster.Ready)
	n.publish("after", "r")
	c.expect(append(want, events("after")...)...)
	for event, uncharged := range map[string]bool{"before": false, "missed0": true, "missed19": true, "after": false} {
		took := conn.took(event)
		require.Len(t, took, 1, event)
		require.Equal(t, uncharged, took[0].uncharged, event)
	}
}

func TestAReplayIsOfTheSameFramesAndNotCharged(t *testing.T) {
	needsOwnConnections(t)
	server := redistest.Start(t)
	l := openLobby(t, server.Addr(), testConfig("a:1"))
	v, w := newVisitor(t, "u", "r"), newVisitor(t, "w", "r")
	v.mustVisit(l, false)
	w.mustVisit(l, false)
	l.tell("r", "e1")
	v.expect("| e1")
	v.cut()
	l.tell("r", "e2", "e3")
	w.expect("| e1 e2 e3")
	v.mustVisit(l, true)
	v.expect("| e1 e2 e3")
	l.tell("r", "e4")
	v.expect("| e1 e2 e3 e4")
	conns := [2]*framedConn{l.socketOf("u").Conn().(*framedConn), l.socketOf("w").Conn().(*framedConn)}
	for event, replayed := range map[string]bool{"e2": true, "e3": true, "e4": false} {
		again, first := conns[0].took(event), conns[1].took(event)
		require.Len(t, again, 1, event)
		require.Len(t, first, 1, event)
		require.Same(t, &first[0].frames[0][0], &again[0].frames[0][0], event)
		require.Equal(t, replayed, again[0].uncharged, event)
		require.False(t, first[0].uncharged, event)
	}
}
