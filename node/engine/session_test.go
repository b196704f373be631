package engine

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

func TestHoldMakesTheClientWait(t *testing.T) {
	got := make(chan string, 8)
	r := newRig(t, func(c *Config) { c.PingInterval, c.PingTimeout = 50*time.Millisecond, 50*time.Millisecond }, func(s *Session) {
		_ = s.On("data", func(args ...any) {
			text := args[0].(types.BufferInterface).String()
			if text == "first" {
				s.Hold()
				s.Hold()
			}
			got <- text
		})
	})
	c, s := r.dial()
	why := closings(s)
	_, err := c.net.Write(join(masked(true, ws.OpText, "4first"), masked(true, ws.OpText, "4second"), masked(true, ws.OpBinary, "third")))
	require.NoError(t, err)
	require.Equal(t, "first", within(t, got))
	select { // several heartbeats: an answer could be among what waits
	case text := <-got:
		t.Fatal(text)
	case reason := <-why:
		t.Fatal(reason)
	case <-time.After(400 * time.Millisecond):
	}
	s.Release()
	require.Equal(t, "second", within(t, got))
	require.Equal(t, "third", within(t, got))
	s.Release()
}

func TestEndLetsGoWhatIsHeld(t *testing.T) {
	r := newRig(t, nil, func(s *Session) { _ = s.On("data", func(...any) { s.Hold() }) })
	c, s := r.dial()
	why := closings(s)
	c.send(ws.OpText, "4x")
	r.eventually(func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.held != nil
	}, "held")
	s.Close(true)
	require.Equal(t, reasonForced, within(t, why))
	s.Hold()
	require.Nil(t, s.held, "a session that has ended holds nobody")
	r.stop() // which waits for the reader
}

func TestCloseComesAfterWhatWasReceived(t *testing.T) {
	r := newRig(t, nil, nil)
	c, s := r.dial()
	why := closings(s)
	dones := make(chan func(), 4)
	s.OnClosing(func(done func()) { dones <- done })
	s.OnClosing(func(done func()) { dones <- done })
	require.NoError(t, c.net.Close())
	first, second := within(t, dones), within(t, dones)
	require.Equal(t, "closed", s.ReadyState())
	first()
	first() // counts once
	select {
	case <-why:
		t.Fatal("the second is not done")
	case <-time.After(50 * time.Millisecond):
	}
	second()
	require.Equal(t, reasonClosed, within(t, why))
	s.OnClosing(func(func()) { t.Error("too late") })
}

func TestCloseWaitIsBounded(t *testing.T) {
	r := newRig(t, func(c *Config) { c.CloseWait = 50 * time.Millisecond }, nil)
	_, s := r.dial()
	why := closings(s)
	began := time.Now()
	s.OnClosing(func(func()) {})
	s.Close(true)
	require.Equal(t, reasonForced, within(t, why))
	require.GreaterOrEqual(t, time.Since(began), 50*time.Millisecond)
}

func TestFinalComesAfterWhatWasReceived(t *testing.T) {
	got := make(chan string, 8)
	r := newRig(t, func(c *Config) { c.Final = func(m []byte) bool { return string(m) == "bye" } }, received(got))
	c, s := r.dial()
	dones := make(chan func(), 4)
	s.OnClosing(func(done func()) { dones <- done })
	c.send(ws.OpText, "4hello")
	c.send(ws.OpText, "4bye")
	require.Equal(t, "hello", within(t, got))
	done := within(t, dones)
	select {
	case text := <-got:
		t.Fatal(text)
	case <-time.After(50 * time.Millisecond):
	}
	done()
	require.Equal(t, "bye", within(t, got))
	s.Close(true)
	within(t, dones)() // again, of the end
}

// Who sends faster than is handled has to wait, for which no heartbeat ends it.
func TestManyMessagesWaitUntilTheFirstAreHandled(t *testing.T) {
	for _, transport := range []string{transportWebSocket, transportPolling} {
		got := make(chan string, 4*settleEvery)
		r := newRig(t, func(c *Config) { c.PingInterval, c.PingTimeout = 50*time.Millisecond, 50*time.Millisecond }, received(got))
		dones := make(chan func(), 8)
		var s *Session
		if transport == transportWebSocket {
			var c *client
			c, s = r.dial()
			s.OnClosing(func(done func()) { dones <- done })
			frames := bytes.Repeat(masked(true, ws.OpBinary, "x"), 3*settleEvery)
			_, err := c.net.Write(frames)
			require.NoError(t, err)
		} else {
			var q string
			q, s = r.polling()
			s.OnClosing(func(done func()) { dones <- done })
			go r.post(q, strings.TrimSuffix(strings.Repeat("4x\x1e", 3*settleEvery), "\x1e"))
		}
		why := closings(s)
		for part := 1; part < 3; part++ {
			done := within(t, dones)
			select { // several heartbeats
			case reason := <-why:
				t.Fatal(reason)
			case <-time.After(300 * time.Millisecond):
			}
			require.Len(t, got, part*settleEvery, transport)
			done()
		}
		r.eventually(func() bool { return len(got) == 3*settleEvery }, transport)
		s.Close(true)
		within(t, dones)()
		within(t, why)
	}
}

// Decoded, a message can be many times as large, so that few large ones wait as many small ones do.
func TestLargeMessagesWaitUntilTheFirstAreHandled(t *testing.T) {
	got := make(chan string, 8)
	r := newRig(t, nil, received(got))
	c, s := r.dial()
	dones := make(chan func(), 8)
	s.OnClosing(func(done func()) { dones <- done })
	large := "4" + strings.Repeat("x", settleBytes/2)
	go func() {
		for range 5 {
			_, _ = c.net.Write(masked(true, ws.OpText, large)) // fails only when the test has
		}
	}()
	for range 2 {
		done := within(t, dones)
		within(t, got)
		within(t, got)
		require.Empty(t, got)
		done()
	}
	within(t, got)
	s.Close(true)
	within(t, dones)()
}

func TestUnacceptableMessagesEndTheSession(t *testing.T) {
	got := make(chan string, 8)
	acceptable := func(m []byte) bool { return string(m) != "bad" }
	r := newRig(t, func(c *Config) { c.Acceptable = acceptable }, received(got))
	c, s := r.dial()
	why := closings(s)
	c.send(ws.OpText, "4good")
	c.send(ws.OpText, "4bad")
	require.Equal(t, "good", within(t, got))
	require.Equal(t, ws.StatusInvalidFramePayloadData, c.ended())
	require.Equal(t, reasonMalformed, within(t, why))
	q, p := r.polling()
	why = closings(p)
	status, _ := r.do("POST", q, "4bad")
	require.Equal(t, 400, status)
	require.Equal(t, reasonMalformed, within(t, why))
	require.Empty(t, got)
}

func TestTheRequestIsForgotten(t *testing.T) {
	r := newRig(t, nil, nil)
	_, s := r.dial()
	require.Equal(t, "websocket", s.Request().Query().Peek("transport"))
	s.ForgetRequest()
	require.Empty(t, s.Request().Query().Peek("transport"))
	require.Empty(t, s.Request().Headers().Peek("User-Agent"))
}

// Who is busy with what waited for it, and takes it steadily, is alive: its answer may be behind all that.
func TestWhoTakesSteadilyIsNotTimedOut(t *testing.T) {
	const n, size = 3000, 10_000
	r := newRig(t, func(c *Config) { c.PingInterval, c.PingTimeout = 300*time.Millisecond, 300*time.Millisecond }, nil)
	c, s := r.dial()
	require.NoError(t, c.net.(*net.TCPConn).SetReadBuffer(256<<10))
	why := closings(s)
	one := message(strings.Repeat("x", size))
	for range n {
		require.True(t, s.WriteFrames(one, false, true))
	}
	pings := 0
	for got := 0; got < n; {
		frame, err := readFrame(c.from)
		if err != nil {
			require.NoError(t, err, "after %d messages and %d pings: %s", got, pings, within(t, why))
		}
		if len(frame.Payload) == 1 {
			pings++
			continue // no answer: what it takes has to be enough
		}
		if got++; got%20 == 0 {
			time.Sleep(10 * time.Millisecond) // its pace: 20 MB/s at most
		}
	}
	require.Positive(t, pings)
	require.Equal(t, reasonTimeout, within(t, why), "it has taken all, and still does not answer")
}

func TestCloseIsToldOnce(t *testing.T) {
	r := newRig(t, nil, nil)
	for range 20 {
		c, s := r.dial()
		why := closings(s)
		var all sync.WaitGroup
		all.Go(func() { s.Close(true) })
		all.Go(func() { s.Close(false) })
		all.Go(func() { _ = c.net.Close() })
		all.Wait()
		within(t, why)
		require.Empty(t, why)
	}
	r.stop()
}

// What is written while a session is announced follows the handshake.
func TestHandshakeIsFirst(t *testing.T) {
	r := newRig(t, nil, func(s *Session) {
		require.True(t, s.WriteFrames(message("early"), false, false))
	})
	c := r.dialSid("")
	require.Contains(t, c.text(), `0{"sid":`)
	require.Equal(t, "4early", c.text())
	_, body := r.do(http.MethodGet, "transport=polling", "")
	hello, early, _ := strings.Cut(body, "\x1e")
	require.Contains(t, hello, `"upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100000}`)
	require.Equal(t, "4early", early)
}

func TestWritesOfManyKeepEachOnesOrder(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Writers = 2 }, nil)
	c, s := r.dial()
	const writers, each = 8, 500
	for w := range writers {
		r.server.spawn(func() {
			for i := range each {
				s.WriteFrames(message(fmt.Sprintf("%d %d", w, i)), false, false)
			}
		})
	}
	var next [writers]int
	for range writers * each {
		var w, i int
		_, err := fmt.Sscanf(c.text(), "4%d %d", &w, &i)
		require.NoError(t, err)
		require.Equal(t, next[w], i)
		next[w]++
	}
}

func TestRunEndsEverything(t *testing.T) {
	r := newRig(t, nil, nil)
	var whys []<-chan string
	for range 20 {
		_, s := r.dial()
		whys = append(whys, closings(s))
		q, s := r.polling()
		whys = append(whys, closings(s))
		go func() { // an open poll, whose answer is its end
			res, err := http.Get(r.url(q))
			if err == nil {
				_ = res.Body.Close()
			}
		}()
		_, s = r.polling()
		whys = append(whys, closings(s))
		r.probed(s)
	}
	r.stop()
	for _, why := range whys {
		require.Len(t, why, 1, "told before Run returns")
	}
	stats := r.server.Stats()
	require.Zero(t, stats.Polling+stats.WebSocket)
	status, body := r.do(http.MethodGet, "transport=polling", "")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.JSONEq(t, `{"code":3,"message":"Not serving"}`, body)
}

// Clients that come while the server ends are refused or ended, never forgotten.
func TestRunEndsAmongArrivals(t *testing.T) {
	r := newRig(t, nil, nil)
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 40 {
				c, _, _, err := ws.Dial(t.Context(), "ws"+strings.TrimPrefix(r.url("transport=websocket"), "http"))
				if err == nil {
					_ = c.Close()
				}
			}
		})
	}
	r.session()
	r.stop()
	clients.Wait()
	require.Empty(t, r.server.sessions)
}

func TestRequestOutlivesItsHandshake(t *testing.T) {
	r := newRig(t, nil, nil)
	header := http.Header{"Authorization": {"Bearer x"}, "X-Forwarded-For": {"192.0.2.1"}, "X-Other": {"no"}}
	dialer := ws.Dialer{Header: ws.HandshakeHeaderHTTP(header)}
	c, _, _, err := dialer.Dial(t.Context(), "ws"+strings.TrimPrefix(r.url("transport=websocket&a=b"), "http"))
	require.NoError(t, err)
	defer c.Close()
	s := r.session()
	request := s.Request()
	require.Same(t, request, s.Request())
	require.Equal(t, "b", request.Request().URL.Query().Get("a"))
	require.Equal(t, "Bearer x", request.Request().Header.Get("Authorization"))
	require.Equal(t, "192.0.2.1", request.Request().Header.Get("X-Forwarded-For"))
	require.Empty(t, request.Request().Header.Get("X-Other"), "not kept")
	require.Equal(t, c.LocalAddr().String(), s.RemoteAddress())
}

func TestWhatTheLibrarySees(t *testing.T) {
	r := newRig(t, nil, nil)
	_, s := r.dial()
	require.Equal(t, 4, s.Protocol())
	require.Equal(t, 4, s.Transport().Protocol())
	require.Equal(t, s.Id(), s.Transport().Sid())
	s.SetReadyState("closed")
	s.Construct("", nil, nil, nil, 0)
	s.MaybeUpgrade(nil)
	require.Equal(t, "open", s.ReadyState())
	tag, ok := r.server.Owner(s.Id())
	require.True(t, ok)
	require.Equal(t, TagOf("node-a"), tag)
	s.Write(failingReader{}, nil, nil)
	r.eventually(func() bool { return s.waitingBytes() == 0 }, "the handshake alone was queued")
	require.EqualValues(t, 1, r.server.Stats().Frames)
	w := noResponse{}
	w.WriteHeader(1)
	n, err := w.Write([]byte("abc"))
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.Empty(t, w.Header())
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestConfigFaultsAreJoined(t *testing.T) {
	_, err := New(Config{MaxPayload: 1 << 30}, slog.New(slog.DiscardHandler))
	for _, field := range []string{
		"NodeName", "PingInterval", "PingTimeout", "UpgradeTimeout", "StallTimeout", "CloseGrace", "CloseWait",
		"MaxPayload", "MaxUntrusted", "MaxQueueBytes", "MaxQueueFrames", "Writers", "Final", "AllowOrigin",
	} {
		require.ErrorContains(t, err, "engine: "+field+" is ")
	}
	cfg := DefaultConfig()
	cfg.NodeName = "n"
	require.NoError(t, cfg.Validate())
}
