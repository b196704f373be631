package adapter

import (
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/node/taskqueue"
)

// delivery is a frame on its way to the sockets of this node that options select.
type delivery struct {
	frame *frame
	opts  options
	// uncharged says that the delivery is late for a reason that is ours: it does not count against what may wait for a
	// socket.
	uncharged bool
	// again is the source of an event of a lost tail: members that had it are told the id only. 0-0 if it is none.
	again   streamID
	source  streamID // the event; 0-0: none is named
	passing *frame   // tells it
	// prepare is called for each socket before it is sent the frame. May be nil.
	prepare func(*socket.Socket)
}

// job is a packet to write, or something to do to the socket between packets.
type job struct {
	frame     *frame
	do        func(*socket.Socket)
	note      *ref // where the frame's number is noted; may be nil
	uncharged bool
}

// deliver hands a frame to all matching local sockets that have not had it, and returns how many there are. A frame of
// the log is delivered under the delivery lock.
func (a *nspAdapter) deliver(d delivery) uint64 {
	var receivers, written uint64
	var last lateness
	f := d.frame
	logged := !f.id.isZero()
	notes := a.c.notesOf(f)
	a.table.walk(d.opts, func(m *member) {
		link := m.link.Load()
		if link == linkHalted {
			return
		}
		var s *socket.Socket
		if link != linkDirect || d.prepare != nil || logged && !m.served {
			if s = m.socketIn(a.nsp); s == nil || !s.Connected() {
				return
			}
		}
		if logged {
			// A recovered socket is served by Resume first, in the log's order.
			if f.id.compare(m.upTo) <= 0 || !m.served && s.Recovered() {
				return
			}
			m.upTo = f.id
		}
		if !d.again.isZero() && d.again.compare(m.had) <= 0 {
			a.pass(&d, m, s)
			return
		}
		note := notes.place(receivers, m)
		receivers++
		if d.prepare != nil {
			d.prepare(s)
		}
		switch {
		case link != linkDirect:
			a.post(m, s, job{frame: f, uncharged: d.uncharged, note: note})
		case m.write(f, d.uncharged, note):
			last[written%uint64(len(last))] = m
			written++
		}
	})
	a.c.count.writes.Add(written)
	notes.noteDelivery(&d, receivers)
	a.timed(d.source, &last, receivers, written)
	return receivers
}

// write hands a frame to a connection that takes those, and reports whether that took it.
func (m *member) write(f *frame, uncharged bool, note *ref) bool {
	return writeTo(m.conn, m, f, uncharged, note)
}

func writeTo(conn frameWriter, m *member, f *frame, uncharged bool, note *ref) bool {
	if note == nil {
		return conn.WriteFrames(f.frames, f.volatile, uncharged)
	}
	number := give(conn, f, uncharged)
	note.fill(m.serial, number)
	return number != frameRefused
}

// pass makes the offset of a member's client move past an entry that it is not sent.
func (a *nspAdapter) pass(d *delivery, m *member, s *socket.Socket) {
	if d.frame.id.isZero() || !m.served {
		return
	}
	if d.passing == nil {
		d.passing = syncFrame(a.name, d.frame.id)
	}
	a.post(m, s, job{frame: d.passing})
}

// post sees to a job's being done, in order. It never blocks.
func (a *nspAdapter) post(m *member, s *socket.Socket, j job) {
	box := m.out.Load()
	if box == nil {
		a.hand(m, s, j)
		return
	}
	switch box.put(j) {
	case putDrain:
		a.c.tasks.spawn(func() { a.drain(m, s, box) })
	case putOpening:
		// The library connects a socket on this queue: packets posted meanwhile follow its CONNECT and what its
		// connection handlers emitted.
		taskqueue.Enqueue(s, func() { a.drain(m, s, box) })
	case putSlow:
		a.c.count.slowSockets.Add(1)
		a.c.log.Info("closing a socket that takes no packets", "nsp", a.name, "sid", string(m.id))
		a.c.tasks.spawn(func() { s.Conn().Close(true) })
	case putDirect:
		a.hand(m, s, j)
	case putQueued, putDead:
	}
}

// hand does a job of a socket whose connection takes frames itself.
func (a *nspAdapter) hand(m *member, s *socket.Socket, j job) {
	switch {
	case m.link.Load() == linkHalted:
	case j.do != nil:
		// What comes behind it is not for this socket any more.
		m.halt()
		a.c.tasks.spawn(func() { a.c.guard("write", func() { j.do(s) }) })
	case m.write(j.frame, j.uncharged, j.note):
		a.c.count.writes.Add(1)
	}
}

// drain does what waits in a socket's outbox, and then takes that out of the way if the connection can do without.
func (a *nspAdapter) drain(m *member, s *socket.Socket, box *outbox) {
	conn, direct := s.Conn().(frameWriter)
	var batch []job
	for {
		batch = box.take(batch)
		if batch == nil {
			break
		}
		for i, j := range batch {
			if !box.halted() {
				a.c.guard("write", func() { a.perform(m, s, conn, j) })
			}
			batch[i] = job{}
			if i%64 == 63 {
				box.noteProgress()
			}
		}
	}
	if direct && len(s.ListenersAnyOutgoing()) == 0 {
		box.retire(m, conn)
	}
}

// perform does a job; conn is nil if the connection does not take frames.
func (a *nspAdapter) perform(m *member, s *socket.Socket, conn frameWriter, j job) {
	if j.do != nil {
		j.do(s)
		return
	}
	if !s.Connected() {
		return
	}
	if len(s.ListenersAnyOutgoing()) > 0 {
		s.NotifyOutgoingListeners()(j.frame.library().packet())
	}
	if conn == nil {
		j.frame.writeTo(s)
		j.note.fill(m.serial, frameUncount)
	} else if !writeTo(conn, m, j.frame, j.uncharged, j.note) {
		return
	}
	a.c.count.writes.Add(1)
}
