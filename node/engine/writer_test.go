package engine

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

// dialNarrow opens a session between whose ends little fits.
func (r *rig) dialNarrow() (*client, *Session) {
	c, s := r.dial()
	require.NoError(r.t, c.net.(*net.TCPConn).SetReadBuffer(4<<10))
	require.NoError(r.t, s.ws.net.(*net.TCPConn).SetWriteBuffer(4<<10))
	return c, s
}

func (s *Session) isBlocked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ws.blocked
}

func (s *Session) waitingBytes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.bytes
}

// block writes to a session until its client's buffers are full, and returns how many messages that took.
func (r *rig) block(s *Session, uncharged bool) int {
	body := strings.Repeat("x", 2000)
	for i := 0; ; i++ {
		if s.isBlocked() {
			return i
		}
		require.Less(r.t, i, 100_000)
		require.True(r.t, s.WriteFrames(message(fmt.Sprintf("%d:%s", i, body)), false, uncharged))
	}
}

func (c *client) expectInOrder(n int) {
	for i := range n {
		number, _, _ := strings.Cut(c.text(), ":")
		require.Equal(c.t, fmt.Sprint("4", i), number)
	}
}

func TestWriterResumesInOrder(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxQueueBytes, c.MaxQueueFrames = 1<<30, 1<<20 }, nil)
	c, s := r.dialNarrow()
	n := r.block(s, false)
	for range 50 {
		require.True(t, s.WriteFrames(message(fmt.Sprintf("%d:%s", n, strings.Repeat("y", 3000))), false, false))
		n++
	}
	require.True(t, s.isBlocked())
	require.False(t, s.WriteFrames(message("dropped"), true, false), "volatile")
	require.EqualValues(t, 1, r.server.Stats().VolatileDropped)
	c.expectInOrder(n)
	r.eventually(func() bool { return !s.isBlocked() }, "the writers' again")
	require.True(t, s.WriteFrames(message("volatile"), true, false))
	require.Equal(t, "4volatile", c.text())
	r.eventually(func() bool { return s.waitingBytes() == 0 }, "nothing is left")
}

// The time that a client had when it was behind must not hang over it once it has caught up.
func TestWriterAfterAClientHasCaughtUp(t *testing.T) {
	const stall = time.Second
	r := newRig(t, func(c *Config) { c.MaxQueueBytes, c.MaxQueueFrames, c.StallTimeout = 1<<30, 1<<20, stall }, nil)
	c, s := r.dial() // narrow ends would take their time
	why := closings(s)
	n := r.block(s, false)
	c.expectInOrder(n)
	r.eventually(func() bool { return !s.isBlocked() }, "the writers' again")
	select { // nothing is sent for longer than a client may take
	case reason := <-why:
		t.Fatal(reason)
	case <-time.After(stall + stall/4):
	}
	require.True(t, s.WriteFrames(message("later"), false, false))
	require.Equal(t, "4later", c.text())
}

func TestWriterGivesUpAClientThatStandsStill(t *testing.T) {
	r := newRig(t, func(c *Config) { c.StallTimeout = 100 * time.Millisecond }, nil)
	c, s := r.dialNarrow()
	why := closings(s)
	var reason string
	r.eventually(func() bool {
		r.block(s, true) // again if the kernel has taken what it had refused at first
		select {
		case reason = <-why:
			return true
		default:
			return false
		}
	}, "it is given up")
	require.Equal(t, reasonFailed, reason)
	require.EqualValues(t, 1, r.server.Stats().SlowConsumers)
	_, err := io.Copy(io.Discard, c.net)
	require.False(t, err != nil && isTimeout(err), "the connection is closed")
}

func TestSlowConsumerIsClosed(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"bytes":  func(c *Config) { c.MaxQueueBytes = 100_000 },
		"frames": func(c *Config) { c.MaxQueueFrames = 10 },
	} {
		r := newRig(t, change, nil)
		_, s := r.dialNarrow()
		why := closings(s)
		r.block(s, false)
		for range 12 {
			s.WriteFrames(message(strings.Repeat("x", 10_000)), false, false)
		}
		require.Equal(t, reasonFailed, within(t, why), name)
		require.EqualValues(t, 1, r.server.Stats().SlowConsumers, name)
		r.stop()
	}
}

// What is uncharged is bounded, too: by far more.
func TestUnchargedIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		size   int
	}{
		"frames": {func(c *Config) { c.MaxQueueFrames = 10 }, 1},
		"bytes":  {func(c *Config) { c.MaxQueueBytes = 50_000 }, 10_000},
	} {
		r := newRig(t, c.change, nil)
		_, s := r.dialNarrow()
		why := closings(s)
		r.block(s, true)
		sent := 0
		for s.WriteFrames(message(strings.Repeat("x", c.size)), false, true) {
			sent++
			require.Less(t, sent, 1000, name)
		}
		require.Greater(t, sent, 10, name)
		require.Equal(t, reasonFailed, within(t, why), name)
		require.EqualValues(t, 1, r.server.Stats().SlowConsumers, name)
		r.stop()
	}
}

// Who is blocked and pings is not answered without bound.
func TestPongsAreBounded(t *testing.T) {
	got := make(chan string, 1)
	r := newRig(t, func(c *Config) { c.MaxQueueFrames = 10 }, received(got))
	c, s := r.dialNarrow()
	r.eventually(func() bool {
		r.block(s, true)
		require.True(t, s.WriteFrames(message(strings.Repeat("x", 20_000)), false, true))
		return s.waitingBytes() > 200_000
	}, "more waits than the kernel may yet take of what it had refused")
	require.Equal(t, "open", s.ReadyState())
	for range 1000 {
		c.send(ws.OpPing, "x")
	}
	c.send(ws.OpText, "4done")
	require.Equal(t, "done", within(t, got), "all are handled")
	s.mu.Lock()
	frames := s.queue.chargedFrames
	s.mu.Unlock()
	require.Equal(t, 11, frames)
	require.Equal(t, "open", s.ReadyState())
}

func TestBlockedSessionHoldsNoOthersUp(t *testing.T) {
	r := newRig(t, nil, nil)
	_, stuck := r.dialNarrow()
	r.block(stuck, true)
	c, s := r.dial()
	for i := range 1000 {
		require.True(t, stuck.WriteFrames(message("x"), false, true))
		require.True(t, s.WriteFrames(message(fmt.Sprintf("%d:", i)), false, false))
	}
	c.expectInOrder(1000)
	require.True(t, stuck.isBlocked())
}

// A session for which more and more comes has its turn, and no more.
func TestBusySessionHoldsNoOthersUp(t *testing.T) {
	r := newRig(t, nil, nil)
	busy, busySession := r.dial()
	go func() { _, _ = io.Copy(io.Discard, busy.from) }()
	var over atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		frame := message(strings.Repeat("x", 60_000))
		for !over.Load() {
			busySession.WriteFrames(frame, false, true)
		}
	}()
	c, s := r.dial()
	for i := range 50 {
		require.True(t, s.WriteFrames(message(strconv.Itoa(i)), false, false))
		require.Equal(t, fmt.Sprint("4", i), c.text())
	}
	over.Store(true)
	<-done
	busySession.Close(true)
}

// parked is a session on a connection that no writer serves.
func parked(t *testing.T) (*Session, *sender, net.Conn) {
	r := newRig(t, nil, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	near, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = far.Close(), near.Close() })
	s := &Session{id: "parked", server: r.server}
	s.alarm.session = s
	s.ws = newConn(near, newWriter(), nil)
	require.True(t, r.server.keep(s))
	return s, newSender(), far
}

func TestTurnEndsAfterItsBytes(t *testing.T) {
	s, d, far := parked(t)
	go func() { _, _ = io.Copy(io.Discard, far) }()
	require.NoError(t, s.ws.net.(*net.TCPConn).SetWriteBuffer(4<<20))
	for range 2 {
		s.queue.push(make([]byte, turnBytes), false)
	}
	s.queue.push([]byte("rest"), false)
	s.ws.scheduled = true
	d.serve(s, false)
	require.False(t, s.isBlocked(), "the kernel took it all")
	require.Equal(t, turnBytes+4, s.waitingBytes(), "one turn's worth has gone")
	require.True(t, s.ws.scheduled, "and the rest has another turn")
	require.Equal(t, []*Session{s}, s.ws.writer.ready)
	require.False(t, s.ws.writing)
}

func TestWriterSendsManyFramesAtOnce(t *testing.T) {
	s, d, far := parked(t)
	for range 100 {
		s.queue.push([]byte("0123456789"), true)
	}
	d.serve(s, false)
	require.EqualValues(t, 100, s.ws.writer.sent.frames.Load())
	require.EqualValues(t, 1, s.ws.writer.sent.writes.Load())
	_, err := io.ReadFull(far, make([]byte, 1000))
	require.NoError(t, err)
}

func TestWriterLeavesASessionToWhoWritesToIt(t *testing.T) {
	s, d, _ := parked(t)
	s.queue.push([]byte("x"), true)
	s.ws.scheduled, s.ws.writing = true, true
	d.serve(s, false)
	require.False(t, s.ws.scheduled)
	require.True(t, s.ws.writing)
	require.Equal(t, 1, s.waitingBytes())
}

// Who sends more than the writers get away writes himself.
func TestSenderHelpsWithALongQueue(t *testing.T) {
	s, _, far := parked(t)
	go func() { _, _ = io.Copy(io.Discard, far) }()
	for range 10 * longFrames {
		require.True(t, s.WriteFrames(message("x"), false, false))
		require.LessOrEqual(t, s.queue.chargedFrames, longFrames)
	}
	require.NotZero(t, s.ws.writer.sent.frames.Load(), "though no writer runs")
	require.Equal(t, "open", s.ReadyState())
}

func TestWriterEndsASessionWhoseConnectionIsGone(t *testing.T) {
	s, d, _ := parked(t)
	why := closings(s)
	require.NoError(t, s.ws.net.Close())
	s.queue.push([]byte("x"), true)
	d.serve(s, false)
	require.Equal(t, reasonFailed, within(t, why))
	d.serve(s, false) // it may still be in a writer's list
}

// pipeConn has no socket beneath it, as with TLS.
type pipeConn struct{ net.Conn }

func TestConnectionWithoutASocket(t *testing.T) {
	s, d, _ := parked(t)
	near, far := net.Pipe()
	defer far.Close()
	s.ws = newConn(pipeConn{near}, newWriter(), nil)
	require.Nil(t, s.ws.raw)
	require.True(t, s.WriteFrames([][]byte{[]byte("hello")}, false, false))
	d.serve(s, false)
	got := make([]byte, 5)
	_, err := io.ReadFull(far, got)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))

	go func() { _, _ = far.Write(masked(true, ws.OpText, "4hi")) }()
	err = s.ws.read(func() int { return 100 }, func(_ ws.OpCode, payload []byte) bool {
		require.Equal(t, "4hi", string(payload))
		return false
	})
	require.ErrorIs(t, err, errEnded)
	s.end(reasonForced, nil)
	require.Error(t, s.ws.receive())
}

// A client that goes in the middle of its own messages, with answers unread: its kernel resets the connection when the next
// answer comes. What it sent before lies in ours.
func TestAFailedWriteDoesNotOvertakeWhatWasReceived(t *testing.T) {
	const n = 2000
	var handled atomic.Int64
	work := make(chan func(), n+100)
	r := newRig(t, nil, func(s *Session) {
		s.OnClosing(func(done func()) { work <- done })
		_ = s.On("data", func(...any) {
			work <- func() {
				handled.Add(1)
				s.WriteFrames(message("ack"), false, false)
			}
		})
	})
	turn := make(chan struct{})
	var worker sync.WaitGroup
	worker.Go(func() {
		for fn := range work {
			if handled.Load() == 2 {
				<-turn // the client has gone then
			}
			fn()
		}
	})
	t.Cleanup(func() {
		r.stop()
		close(work)
		worker.Wait()
	})
	c, s := r.dial()
	why := closings(s)
	_, err := c.net.Write(bytes.Repeat(masked(true, ws.OpText, "4event"), n))
	require.NoError(t, err)
	r.eventually(func() bool { return handled.Load() == 2 }, "two are answered")
	require.NoError(t, c.net.Close())
	close(turn)
	reason := within(t, why)
	require.EqualValues(t, n, handled.Load(), reason)
}

// Live events behind a replay are not the client's fault, however many: it is the replay that it is busy with.
func TestWhatWaitsBehindAReplayIsNotCharged(t *testing.T) {
	r := newRig(t, nil, nil)
	c, s := r.dialNarrow()
	replay := r.block(s, true)
	const live = 2000
	for range live {
		require.True(t, s.WriteFrames(message("live"), false, false))
	}
	require.Zero(t, r.server.Stats().SlowConsumers)
	for range replay + live {
		c.next()
	}
	r.block(s, false)
	for s.WriteFrames(message("live"), false, false) {
		runtime.Gosched()
	}
	r.eventually(func() bool { return r.server.Stats().SlowConsumers == 1 }, "now it is")
}
