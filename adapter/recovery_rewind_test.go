package adapter

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// addOwn writes an entry that is not of the event stream.
func (p tape) addOwn(id, room, event string) {
	p.t.Helper()
	fields, err := EncodeBroadcast("core:1", Broadcast{Event: event, Rooms: []string{room}})
	require.NoError(p.t, err)
	require.NoError(p.t, p.c.XAdd(context.Background(), &redis.XAddArgs{Stream: logKey, ID: id, Values: fields}).Err())
}

// A client that was away when the log lost its tail comes back before the tail's events are committed again.
func TestWhatALostTailHeldComesToWhoNeverHadIt(t *testing.T) {
	server := redistest.Start(t)
	p := tape{t, server.Client()}
	l := openLobby(t, server.Addr(), testConfig("a:1"))
	out, stays := newVisitor(t, "out", "r"), newVisitor(t, "stays", "r")
	out.mustVisit(l, false)
	stays.mustVisit(l, false)
	p.add("100-1", "1-1", "r", "a")
	out.expect("| a")
	out.stored(p.c, isLive)
	out.cut()
	dump := p.dump()
	p.add("200-0", "1-2", "r", "b")
	p.add("200-1", "1-3", "elsewhere", "x")
	stays.expect("| a b")
	l.caughtUp(p.c)
	p.goBack(dump)
	l.wentBack(1)
	out.mustVisit(l, true)
	late := newVisitor(t, "late", "r")
	late.mustVisit(l, false)
	p.add("150-0", "1-2", "r", "b")
	p.add("150-1", "1-3", "elsewhere", "x")
	p.add("150-2", "1-4", "r", "c")
	out.expect("| a b c")
	stays.expect("| a b c")
	late.expect("| b c")
	dump = p.dump()
	p.add("200-0", "1-5", "r", "d")
	stays.expect("| a b c d")
	l.caughtUp(p.c)
	p.goBack(dump)
	l.wentBack(2)
	p.add("160-0", "1-5", "r", "d")
	p.add("160-1", "1-6", "r", "e")
	out.expect("| a b c d e")
	stays.expect("| a b c d e")
	late.expect("| b c d e")
}

// Events of the lost tail are committed again behind others: to whom had them they are repetitions now and later.
func TestWhatALostTailHeldIsNotRepeatedByARecovery(t *testing.T) {
	for name, test := range map[string]struct{ cutBefore, away, elsewhere bool }{
		"cut afterwards":                    {},
		"away meanwhile":                    {cutBefore: true, away: true},
		"away meanwhile, back on the other": {cutBefore: true, away: true, elsewhere: true},
		"cut before":                        {cutBefore: true},
		"cut before, back on another node":  {cutBefore: true, elsewhere: true},
		"cut afterwards, back on the other": {elsewhere: true},
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			p := tape{t, server.Client()}
			a := openLobby(t, server.Addr(), testConfig("a:1"))
			b := openLobby(t, server.Addr(), testConfig("b:1"))
			back := a
			if test.elsewhere {
				back = b
			}
			v := newVisitor(t, "u", "r")
			v.mustVisit(a, false)
			p.add("100-1", "1-1", "r", "a")
			v.expect("| a")
			v.stored(p.c, isLive)
			dump := p.dump()
			p.add("200-0", "1-2", "r", "b")
			v.expect("| a b")
			b.caughtUp(p.c)
			p.goBack(dump)
			a.wentBack(1)
			b.wentBack(1)
			p.addOwn("149-0", "r", "joined")
			v.expect("| a b joined")
			v.stored(p.c, func(r record) bool { return isLive(r) && r.Had == "1-2" })
			if test.cutBefore {
				v.cut()
			}
			if test.cutBefore && !test.away {
				v.mustVisit(back, true)
			}
			p.add("150-0", "1-2", "r", "b")
			a.caughtUp(p.c)
			b.caughtUp(p.c)
			if !test.away {
				eventually(t, "its offset passes the repetition", func() bool { return v.lastOffset() == "150-0" })
			}
			for range 2 {
				v.mustVisit(back, true)
			}
			p.add("151-0", "1-3", "r", "c")
			v.expect("| a b joined c")
		})
	}
}

// What was under way to a client when its connection broke is not what it had.
func TestWhatALostTailHeldIsSentToWhoDidNotReceiveIt(t *testing.T) {
	server := redistest.Start(t)
	p := tape{t, server.Client()}
	l := openLobby(t, server.Addr(), testConfig("a:1"))
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	p.add("100-1", "1-1", "r", "a")
	v.expect("| a")
	v.stored(p.c, isLive)
	dump := p.dump()
	p.add("200-0", "1-2", "r", "b")
	v.expect("| a b")
	p.goBack(dump)
	l.wentBack(1)
	v.stored(p.c, func(r record) bool { return isLive(r) && r.Had == "1-2" })
	v.cut()
	v.events = v.events[:2]
	v.at("100-1").mustVisit(l, true)
	p.add("150-0", "1-2", "r", "b")
	v.expect("| a b")
	v.cut()
	v.mustVisit(l, true)
	p.add("151-0", "1-3", "r", "c")
	v.expect("| a b c")
}

// The event stream of a new Redis counts anew.
func TestMarksOfALostTailEndWithTheEventStream(t *testing.T) {
	server := redistest.Start(t)
	p := tape{t, server.Client()}
	l := openLobby(t, server.Addr(), testConfig("a:1"))
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	p.add("100-1", "1-1", "r", "a")
	v.expect("| a")
	dump := p.dump()
	p.add("200-0", "1-9", "r", "b")
	v.expect("| a b")
	p.goBack(dump)
	l.wentBack(1)
	require.NoError(t, p.c.XAdd(context.Background(), &redis.XAddArgs{Stream: logKey, ID: "150-0", Values: []string{"src", "0-0"}}).Err())
	p.add("151-0", "1-2", "r", "c")
	v.expect("| a b c")
}

func TestARingKnowsTheSourcesThatItDropped(t *testing.T) {
	r := newRing(ringLimits{entries: 2, bytes: 1 << 20, age: 1 << 40})
	for i := range uint64(4) {
		r.keep(&logged{id: streamID{ms: 10 + i}, source: streamID{ms: 1 + i}})
	}
	r.forgetAbove(streamID{ms: 11})
	require.Zero(t, r.all.len())
	require.Equal(t, streamID{ms: 2}, r.source)
	r.keep(&logged{id: streamID{ms: 20}, source: streamID{ms: 2}})
	r.forgetAbove(streamID{ms: 5})
	require.Equal(t, streamID{}, r.source, "which of the dropped ones are lost is not known")
}
