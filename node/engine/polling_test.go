package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPollingCarriesMessages(t *testing.T) {
	got := make(chan string, 8)
	r := newRig(t, nil, received(got))
	q, s := r.polling()
	require.Equal(t, transportPolling, s.Transport().Name())
	require.False(t, s.Transport().Writable(), "no poll is open")
	require.False(t, s.WriteFrames(message("volatile"), true, false))

	r.post(q, "4hello\x1ebAAE=\x1e4é")
	require.Equal(t, "hello", within(t, got))
	require.Equal(t, "\x00\x01", within(t, got))
	require.Equal(t, "é", within(t, got))

	frames := append(message("a"), append(appendHeader(nil, frameBinary, 2), 0, 1))
	require.True(t, s.WriteFrames(frames, false, false))
	require.True(t, s.WriteFrames(message("b"), false, false))
	require.Equal(t, "4a\x1ebAAE=\x1e4b", r.poll(q))
	require.Equal(t, 1, r.server.Stats().Polling)
}

func TestPollWaits(t *testing.T) {
	r := newRig(t, nil, nil)
	q, s := r.polling()
	answer := make(chan string, 1)
	go func() { answer <- r.poll(q) }()
	r.eventually(s.Transport().Writable, "the poll is open")
	require.True(t, s.WriteFrames(message("now"), true, false), "volatile")
	require.Equal(t, "4now", within(t, answer))
}

func TestPollingHeartbeat(t *testing.T) {
	r := newRig(t, func(c *Config) { c.PingInterval, c.PingTimeout = 25*time.Millisecond, 500*time.Millisecond }, nil)
	q, s := r.polling()
	why := closings(s)
	for range 3 {
		require.Equal(t, "2", r.poll(q))
		r.post(q, "3")
	}
	require.Equal(t, reasonTimeout, within(t, why))
	status, body := r.do(http.MethodGet, q, "")
	require.Equal(t, http.StatusBadRequest, status)
	require.JSONEq(t, `{"code":1,"message":"Session ID unknown"}`, body)
}

func TestPollingFaults(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxPayload = 50 }, nil)
	for name, body := range map[string]string{
		"empty": "", "unknown packet": "9", "empty packet": "4a\x1e", "not base64": "b?", "not UTF-8": "4\xff",
	} {
		q, s := r.polling()
		why := closings(s)
		status, _ := r.do(http.MethodPost, q, body)
		require.Equal(t, http.StatusBadRequest, status, name)
		require.Equal(t, reasonMalformed, within(t, why), name)
	}
	q, s := r.polling()
	status, _ := r.do(http.MethodPost, q, strings.Repeat("4", 51))
	require.Equal(t, http.StatusRequestEntityTooLarge, status)
	res, err := http.Post(r.url(q), "text/plain", io.MultiReader(bytes.NewReader(bytes.Repeat([]byte("4"), 51)))) // chunked
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
	require.Equal(t, "open", s.ReadyState())
	status, _ = r.do(http.MethodPut, q, "")
	require.Equal(t, http.StatusBadRequest, status)
	status, _ = r.do(http.MethodGet, strings.Replace(q, "polling", "websocket", 1), "")
	require.Equal(t, http.StatusBadRequest, status)
	r.post(q, "1")
	r.eventually(func() bool { return r.server.Stats().Closed[reasonClosed] == 1 }, "closed by its client")
}

func TestPollsDoNotOverlap(t *testing.T) {
	r := newRig(t, nil, nil)
	q, s := r.polling()
	why := closings(s)
	answer := make(chan string, 1)
	go func() { answer <- r.poll(q) }()
	r.eventually(s.Transport().Writable, "the poll is open")
	status, _ := r.do(http.MethodGet, q, "")
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(t, reasonFailed, within(t, why))
	require.Equal(t, "1", within(t, answer))
}

func TestPostsDoNotOverlap(t *testing.T) {
	r := newRig(t, nil, func(s *Session) { _ = s.On("data", func(...any) { s.Hold() }) })
	q, s := r.polling()
	why := closings(s)
	first := make(chan int, 1)
	go func() {
		status, _ := r.do(http.MethodPost, q, "4a\x1e4b")
		first <- status
	}()
	r.eventually(func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.held != nil
	}, "the first is being handled")
	status, _ := r.do(http.MethodPost, q, "4c")
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(t, reasonFailed, within(t, why))
	require.Equal(t, http.StatusOK, within(t, first), "it is let go")
}

func TestAbandonedPollEndsTheSession(t *testing.T) {
	r := newRig(t, nil, nil)
	q, s := r.polling()
	why := closings(s)
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan error, 1)
	go func() {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, r.url(q), nil)
		_, err := http.DefaultClient.Do(req) //nolint:bodyclose // there is none
		gone <- err
	}()
	r.eventually(s.Transport().Writable, "the poll is open")
	cancel()
	require.ErrorIs(t, within(t, gone), context.Canceled)
	require.Equal(t, reasonFailed, within(t, why))
}

func TestPollingCloseSendsWhatWaitsFirst(t *testing.T) {
	r := newRig(t, nil, nil)
	q, s := r.polling()
	why := closings(s)
	require.True(t, s.WriteFrames(message("last"), false, false))
	s.Transport().Close()
	require.Equal(t, "closing", s.Transport().ReadyState())
	require.Equal(t, "4last", r.poll(q))
	require.Equal(t, "1", r.poll(q))
	require.Equal(t, reasonForced, within(t, why))
}

func TestPollingSlowConsumer(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxQueueFrames = 10 }, nil)
	_, s := r.polling()
	why := closings(s)
	for i := range 11 {
		require.True(t, s.WriteFrames(message(strconv.Itoa(i)), false, false))
	}
	require.Equal(t, reasonFailed, within(t, why))
	require.EqualValues(t, 1, r.server.Stats().SlowConsumers)
}

// A backlog comes in parts, so that a slow client gets somewhere.
func TestPolledBacklogComesInParts(t *testing.T) {
	const n, size = 300, 10_000
	r := newRig(t, nil, nil)
	q, s := r.polling()
	for i := range n {
		require.True(t, s.WriteFrames(message(fmt.Sprintf("%0*d", size, i)), false, true))
	}
	for got := 0; got < n; {
		body := r.poll(q)
		require.Less(t, len(body), maxPolled+2*size)
		for packet := range strings.SplitSeq(body, "\x1e") {
			require.Equal(t, fmt.Sprintf("4%0*d", size, got), packet)
			got++
		}
	}
}

func TestAnOpenPollIsAnsweredWhenAsked(t *testing.T) {
	r := newRig(t, nil, nil)
	query, s := r.polling()
	r.server.AnswerPoll("nobody's")
	r.server.AnswerPoll(s.Id()) // none is open: it is not kept for the next
	polled := make(chan string, 1)
	get := func() {
		go func() { polled <- r.poll(query) }()
		r.eventually(func() bool { return s.Transport().Writable() }, "it polls")
	}
	get()
	r.server.AnswerPoll(s.Id())
	require.Equal(t, "6", within(t, polled))
	get()
	require.Empty(t, polled)
	require.True(t, s.WriteFrames(message("x"), false, false))
	require.Equal(t, "4x", within(t, polled))
	get()
	s.mu.Lock() // so that both come at once
	s.poll.hurried = true
	s.queue.push(message("y")[0], true)
	s.poll.wake()
	s.mu.Unlock()
	require.Equal(t, "4y", within(t, polled), "nothing is said beside what there is")
	require.Equal(t, "open", s.ReadyState())
}
