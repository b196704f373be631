package conformance

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestClientClosesAWebSocket(t *testing.T) {
	s := start(t, nil)
	for name, c := range map[string]struct {
		close   func(w *wsConn)
		code    int
		reasons []string
	}{
		"with a code":         {func(w *wsConn) { w.write(closeFrame(closeNormal)) }, closeNormal, []string{"transport close"}},
		"going away":          {func(w *wsConn) { w.write(closeFrame(1001)) }, 1001, []string{"transport close"}},
		"with a reason":       {func(w *wsConn) { w.write(frame(true, opClose, append([]byte{0x0f, 0xa0}, "bye"...))) }, 4000, []string{"transport close"}},
		"without a code":      {func(w *wsConn) { w.write(frame(true, opClose, nil)) }, closeNoCode, []string{"transport close"}},
		"by a half-close":     {func(w *wsConn) { _ = w.CloseWrite() }, closeNoFrame, []string{"transport close", "transport error"}},
		"by a reset":          {func(w *wsConn) { w.reset() }, closeNoFrame, []string{"transport close", "transport error"}},
		"in the middle":       {func(w *wsConn) { w.write([]byte{0x81, 0xff, 0}); _ = w.CloseWrite() }, closeNoFrame, []string{"transport close", "transport error"}},
		"before its messages": {func(w *wsConn) { w.write(join(closeFrame(closeNormal), textFrame("4late"))) }, closeNormal, []string{"transport close"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			w, h := s.openWS()
			c.close(w)
			if e := w.ended(); c.code != closeNoFrame {
				require.Equal(t, c.code, e.code)
				require.Empty(t, e.messages)
			}
			s.closedWith(h.SID, c.reasons...)
		})
	}
}

func TestClosePacketByWebSocket(t *testing.T) {
	s := start(t, impatient)
	w, h := s.openWS()
	w.send("1")
	w.ended()
	if differs(t, node, "a close packet by WebSocket is not known, and waits for the ping timeout") {
		s.closedWith(h.SID, "ping timeout")
		return
	}
	s.closedWith(h.SID, "transport close")
}

func TestClosePacketByPolling(t *testing.T) {
	s := start(t, nil)
	t.Run("while a poll waits", func(t *testing.T) {
		s := s.on(t)
		p, h := s.openPoll()
		answered, _ := p.hang()
		p.push("1")
		r := <-answered
		require.NoError(t, r.err)
		require.Contains(t, []string{"6", "1"}, r.body)
		s.closedWith(h.SID, "transport close")
		p.refused()
	})
	t.Run("while none does, after a message", func(t *testing.T) {
		s := s.on(t)
		p, h := s.openPoll()
		p.push("4hello" + separator + "1")
		s.closedWith(h.SID, "transport close")
		p.refused()
	})
}

func TestServerClosesAWebSocket(t *testing.T) {
	s := start(t, nil)
	t.Run("in order", func(t *testing.T) {
		s := s.on(t)
		w, h := s.openWS()
		w.send("4!close")
		e := w.ended()
		require.Contains(t, []int{closeNormal, closeNoCode}, e.code)
		require.Empty(t, e.messages)
		s.closedWith(h.SID, "forced close")
	})
	t.Run("after what it has to say", func(t *testing.T) {
		s := s.on(t)
		w, h := s.openWS()
		w.send("4!burst-close 200 1000")
		e := w.ended()
		require.Len(t, e.messages, 200)
		requireNumbered(t, 200, e.messages)
		require.Contains(t, []int{closeNormal, closeNoCode}, e.code)
		s.closedWith(h.SID, "forced close")
	})
	t.Run("at once", func(t *testing.T) {
		s := s.on(t)
		w, h := s.openWS()
		w.send("4!discard")
		w.ended()
		s.closedWith(h.SID, "forced close")
	})
}

func TestServerClosesPolling(t *testing.T) {
	s := start(t, nil)
	t.Run("while a poll waits", func(t *testing.T) {
		s := s.on(t)
		p, h := s.openPoll()
		answered, _ := p.hang()
		p.push("4!close")
		r := <-answered
		require.NoError(t, r.err)
		require.Equal(t, "1", r.body)
		s.closedWith(h.SID, "forced close")
		p.refused()
	})
	t.Run("while none does", func(t *testing.T) {
		s := s.on(t)
		p, h := s.openPoll()
		p.push("4!close")
		require.Equal(t, "1", last(p.drain()))
		s.closedWith(h.SID, "forced close")
	})
	t.Run("after what it has to say", func(t *testing.T) {
		s := s.on(t)
		p, h := s.openPoll()
		p.push("4!burst-close 50 1000")
		packets := slices.DeleteFunc(flat(p.drain()), func(packet string) bool { return packet == "6" })
		require.Equal(t, "1", packets[len(packets)-1])
		requireNumbered(t, 50, packets[:len(packets)-1])
		s.closedWith(h.SID, "forced close")
	})
	t.Run("at once", func(t *testing.T) {
		s := s.on(t)
		p, h := s.openPoll()
		p.push("4!discard")
		s.closedWith(h.SID, "forced close")
		p.refused()
	})
}

// The stock client counts events that come in one answer with the close as received only once it is connected again.
func TestEventsAndCloseComeInTwoAnswers(t *testing.T) {
	onlyOurs(t, "events and the close in two answers")
	s := start(t, nil)
	p, _ := s.openPoll()
	p.push("4!burst-close 3 1")
	answers := p.drain()
	require.Len(t, answers, 2)
	requireNumbered(t, 3, answers[0])
	require.Equal(t, []string{"1"}, answers[1])
}

func TestAClientThatDoesNotAnswerTheCloseIsNotWaitedForLong(t *testing.T) {
	onlyOurs(t, "CloseGrace")
	s := start(t, func(set *setup) { set.CloseGrace = 200 * time.Millisecond })
	w, h := s.openWS()
	w.send("4!close")
	f, err := w.read()
	require.NoError(t, err)
	require.Equal(t, byte(opClose), f.op)
	_, err = w.read()
	require.Error(t, err)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	s.closedWith(h.SID, "forced close")
	p, polled := s.openPoll()
	p.push("4!burst-close 3 1")
	s.closedWith(polled.SID, "forced close")
}

func TestOverlappingPolls(t *testing.T) {
	s := start(t, nil)
	p, h := s.openPoll()
	first, _ := p.hang()
	second := p.get()
	require.NoError(t, second.err)
	require.Equal(t, http.StatusBadRequest, second.status)
	r := <-first
	require.NoError(t, r.err)
	require.Equal(t, http.StatusOK, r.status)
	require.Equal(t, "1", r.body)
	s.closedWith(h.SID, "transport error")
	p.refused()
}

func TestAbortedPoll(t *testing.T) {
	s := start(t, nil)
	for range 5 {
		p, h := s.openPoll()
		_, cancel := p.hang()
		cancel()
		s.closedWith(h.SID, "transport error", "transport close")
		p.refused()
	}
}

func TestOverlappingPosts(t *testing.T) {
	s := start(t, nil)
	p, h := s.openPoll()
	slow := s.plain()
	slow.write(fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n4", p.path))
	// The server says nothing of a POST that it waits for, so the other one comes until they meet. It asks for no answer: too
	// many of those would end the session, too.
	refused := false
	for until := time.Now().Add(deadline); !refused && time.Now().Before(until); {
		r := p.post("6")
		refused = r.err != nil || r.status == http.StatusBadRequest
	}
	require.True(t, refused)
	s.closedWith(h.SID, "transport error")
	p.refused()
}

func TestAbortedPost(t *testing.T) {
	s := start(t, nil)
	p, h := s.openPoll()
	w := s.plain()
	w.write(fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n4half%s", p.path, separator+"4"))
	_ = w.CloseWrite()
	s.closedWith(h.SID, "transport error", "transport close", "parse error")
	p.refused()
}

func TestWhatWasSaidBeforeTheEndIsStillHeard(t *testing.T) {
	s := start(t, nil)
	w, h := s.openWS()
	w.write(join(textFrame("4!burst 3 1"), closeFrame(closeNormal)))
	e := w.ended()
	require.Equal(t, closeNormal, e.code)
	if *engineName == ours {
		requireNumbered(t, 3, e.messages)
	} else if len(e.messages) > 0 { // the server may have got the close first
		require.True(t, strings.HasPrefix(e.messages[0], "40:"))
	}
	s.closedWith(h.SID, "transport close", "transport error")
}
