package engine

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

// probed begins a change of transport, up to the answer to its probe.
func (r *rig) probed(s *Session) *client {
	c := r.dialSid(s.Id())
	c.send(ws.OpText, "2probe")
	require.Equal(r.t, "3probe", c.text())
	return c
}

// Everything arrives, once and in order, however the change falls among the writes.
func TestUpgradeKeepsOrderUnderWrites(t *testing.T) {
	got := make(chan string, 8)
	r := newRig(t, func(c *Config) { c.MaxQueueBytes, c.MaxQueueFrames = 1<<30, 1<<20 }, received(got))
	for range 5 {
		q, s := r.polling()
		const total = 3000
		var writing sync.WaitGroup
		writing.Go(func() {
			for i := range total {
				s.WriteFrames(message(strconv.Itoa(i)), false, false)
			}
		})
		var packets []string
		polls := make(chan struct{})
		var probing sync.WaitGroup
		var c *client
		probing.Go(func() {
			c = r.probed(s)
			close(polls)
		})
		for over := false; !over; {
			packets = append(packets, strings.Split(r.poll(q), "\x1e")...)
			select {
			case <-polls:
				over = true
			default:
			}
		}
		probing.Wait()
		require.True(t, s.Upgrading())
		c.send(ws.OpText, "5")
		for len(packets) < total+countOf(packets, "6") {
			packets = append(packets, c.text())
		}
		writing.Wait()
		next := 0
		for _, p := range packets {
			if p == "6" {
				continue
			}
			require.Equal(t, fmt.Sprint("4", next), p)
			next++
		}
		require.Equal(t, total, next)
		r.eventually(s.Upgraded, "the change is complete")
		require.False(t, s.Upgrading())
		require.Equal(t, transportWebSocket, s.Transport().Name())
		c.send(ws.OpText, "4over the new one")
		require.Equal(t, "over the new one", within(t, got))
		s.Close(true)
	}
	r.eventually(func() bool { return r.server.Stats().Upgraded == 5 }, "counted")
}

func countOf(all []string, one string) (n int) {
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

func TestOpenPollIsAnsweredForTheProbe(t *testing.T) {
	r := newRig(t, nil, nil)
	q, s := r.polling()
	answer := make(chan string, 1)
	go func() { answer <- r.poll(q) }()
	r.eventually(s.Transport().Writable, "the poll is open")
	c := r.probed(s)
	require.Equal(t, "6", within(t, answer))
	c.send(ws.OpText, "5")
	require.True(t, s.WriteFrames(message("x"), false, false))
	require.Equal(t, "4x", c.text())
}

// The browser of a client that has changed its transport may abort what was left of the old one.
func TestOldPollCannotEndAnUpgradedSession(t *testing.T) {
	r := newRig(t, nil, nil)
	q, s := r.polling()
	ctx, abort := context.WithCancel(context.Background())
	polled := make(chan struct{})
	go func() {
		defer close(polled)
		s.servePoll(deaf{}, httptest.NewRequest(http.MethodGet, "/?"+q, nil).WithContext(ctx))
	}()
	r.eventually(s.Transport().Writable, "the poll is open")
	s.mu.Lock() // as if the change were complete, and the poll not yet answered
	s.ws = newConn(deafConn{}, s.server.writer(), nil)
	s.mu.Unlock()
	abort()
	within(t, polled)
	require.Equal(t, "open", s.ReadyState())
	s.answer(deaf{}, []byte{packetNoop})
	require.Equal(t, "open", s.ReadyState())
	s.answer(deaf{}, []byte("4lost"))
	require.NotEqual(t, "open", s.ReadyState())
}

// deaf is a client that has gone.
type deaf struct{}

func (deaf) Header() http.Header       { return http.Header{} }
func (deaf) Write([]byte) (int, error) { return 0, net.ErrClosed }
func (deaf) WriteHeader(int)           {}

type deafConn struct{ net.Conn }

func (deafConn) Close() error { return nil }

func TestUpgradeIsRefused(t *testing.T) {
	r := newRig(t, nil, nil)
	_, s := r.polling()
	c := r.probed(s)
	url := "ws" + strings.TrimPrefix(r.url("transport=websocket&sid="+s.Id()), "http")
	_, _, _, err := ws.Dial(t.Context(), url) //nolint:dogsled // only that it is refused
	require.ErrorIs(t, err, ws.StatusError(http.StatusBadRequest))
	c.send(ws.OpText, "5")
	r.eventually(s.Upgraded, "the first")
	require.False(t, s.beginUpgrade(newConn(nil, s.ws.writer, nil)), "one that came too late")
}

// A change that fails leaves the session where it was.
func TestUpgradeIsGivenUp(t *testing.T) {
	r := newRig(t, func(c *Config) { c.UpgradeTimeout = 200 * time.Millisecond }, nil)
	q, s := r.polling()
	for name, packets := range map[string][]string{
		"silent": nil, "no probe": {"5"}, "message first": {"4x"}, "wrong probe": {"2no"}, "empty": {""}, "not completed": {"2probe"},
	} {
		c := r.dialSid(s.Id())
		c.send(ws.OpPing, "")
		for _, p := range packets {
			c.send(ws.OpText, p)
		}
		require.Zero(t, c.ended(), name)
		r.eventually(func() bool { return !s.Upgrading() }, name)
		require.Equal(t, "open", s.ReadyState(), name)
	}
	require.True(t, s.WriteFrames(message("still here"), false, false))
	for got := "6"; got != "4still here"; {
		require.Equal(t, "6", got)
		got = r.poll(q)
	}
}

func TestUpgradeWhileClosing(t *testing.T) {
	r := newRig(t, nil, nil)
	_, s := r.polling()
	why := closings(s)
	c := r.probed(s)
	require.True(t, s.WriteFrames(message("last"), false, false))
	s.Close(false)
	c.send(ws.OpText, "5")
	require.Equal(t, "4last", c.text())
	require.Equal(t, ws.StatusNormalClosure, c.ended())
	require.Equal(t, reasonForced, within(t, why))
}

func TestEndDuringUpgrade(t *testing.T) {
	r := newRig(t, nil, nil)
	_, s := r.polling()
	c := r.probed(s)
	s.Close(true)
	require.Zero(t, c.ended())
}

// Two transports at once would hand on messages side by side, out of order and to listeners that take one at a time.
func TestUpgradeNeverRunsBesideAPost(t *testing.T) {
	got := make(chan string, 8)
	r := newRig(t, nil, func(s *Session) {
		received(got)(s)
		_ = s.Once("data", func(...any) { s.Hold() })
	})
	q, s := r.polling()
	answer := make(chan int, 1)
	go func() {
		status, _ := r.do(http.MethodPost, q, "4a\x1e4b")
		answer <- status
	}()
	require.Equal(t, "a", within(t, got))
	c := r.probed(s)
	c.send(ws.OpText, "5")
	c.send(ws.OpText, "4c")
	require.Zero(t, c.ended(), "the change is given up")
	require.Empty(t, got)
	s.Release()
	require.Equal(t, "b", within(t, got))
	require.Equal(t, http.StatusOK, within(t, answer))

	c = r.probed(s)
	c.send(ws.OpText, "5")
	r.eventually(s.Upgraded, "with nothing under way")
	require.False(t, s.beginPost(), "what was on its way comes too late")
	require.Equal(t, "open", s.ReadyState())
}
