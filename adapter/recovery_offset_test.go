package adapter

import (
	"testing"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// The stock client keeps its offset over a fresh connect: if `connected` does not arrive, it comes back with the new
// session's id and an offset from before that.
func TestAnOffsetFromBeforeTheSessionDoesNotRecover(t *testing.T) {
	server := redistest.Start(t)
	l := openLobby(t, server.Addr(), testConfig("a:1"))
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	l.tell("r", "e1")
	v.expect("| e1")
	v.cut()
	l.tell("r", "e2")
	l.caughtUp(server.Client())
	v.pid = "an-ended-session"
	eventually(t, "a CONNECT arrives", func() bool { return v.dial(l) == nil })
	v.stored(server.Client(), isLive)
	_ = v.conn.Close()
	v.agreed = v.agreed[:1] // nobody has read `connected`
	v.mustVisit(l, false)
}

func TestTheSessionsBeginningIsKeptOverTakeovers(t *testing.T) {
	server := redistest.Start(t)
	l := openLobby(t, server.Addr(), testConfig("a:1"))
	l.tell("r", "before")
	l.caughtUp(server.Client())
	before := l.cluster.Stats().Position
	l.tell("r", "last")
	l.caughtUp(server.Client())
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	for range 2 {
		v.emit("join", "more")
		v.cut()
		v.mustVisit(l, true)
		v.emit("leave", "more") // so that it is written once more
	}
	v.cut()
	v.at(before).mustVisit(l, false)
}

func TestASessionBegunInALostTailRecovers(t *testing.T) {
	server := redistest.Start(t)
	p := tape{t, server.Client()}
	l := openLobby(t, server.Addr(), testConfig("a:1"))
	p.add("100-1", "1-1", "r", "a")
	l.caughtUp(p.c)
	dump := p.dump()
	p.add("200-0", "1-2", "elsewhere", "b")
	l.caughtUp(p.c)
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	p.goBack(dump, [4]string{"150-0", "1-3", "r", "c"})
	l.wentBack(1)
	v.expect("| c")
	v.stored(p.c, func(r record) bool { return isLive(r) && r.Rooms["r"] == "100-1" })
	v.cut()
	p.add("150-1", "1-4", "r", "d")
	l.caughtUp(p.c)
	v.mustVisit(l, true)
	v.expect("| c d")
}
