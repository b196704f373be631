package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// patience is how long a test waits for what has to happen.
const patience = 20 * time.Second

// rig is a running server.
type rig struct {
	t        testing.TB
	server   *Server
	http     *httptest.Server
	sessions chan *Session
	stop     func()
}

// newRig runs a server whose sessions listen is called with before they are announced to the test.
func newRig(t testing.TB, change func(*Config), listen func(*Session)) *rig {
	cfg := DefaultConfig()
	cfg.NodeName, cfg.Secret, cfg.Writers = "node-a", []byte("secret"), 1
	cfg.CloseWait = patience
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	r := &rig{t: t, server: s, sessions: make(chan *Session, 2048)}
	_ = s.On("connection", func(args ...any) {
		session := args[0].(*Session)
		if listen != nil {
			listen(session)
		}
		r.sessions <- session
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	r.http = httptest.NewServer(s)
	r.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(func() {
		r.stop()
		r.http.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return r
}

func (r *rig) session() *Session {
	select {
	case s := <-r.sessions:
		return s
	case <-time.After(patience):
		require.FailNow(r.t, "no session")
		return nil
	}
}

func (r *rig) url(query string) string { return r.http.URL + "/?EIO=4&" + query }

func (r *rig) eventually(ok func() bool, what string) {
	require.Eventually(r.t, ok, patience, 2*time.Millisecond, what)
}

// client is a WebSocket client.
type client struct {
	t    testing.TB
	net  net.Conn
	from *bufio.Reader
}

func (r *rig) dialSid(sid string) *client {
	query := "transport=websocket"
	if sid != "" {
		query += "&sid=" + sid
	}
	c, buffered, _, err := ws.Dial(context.Background(), "ws"+strings.TrimPrefix(r.url(query), "http"))
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = c.Close() })
	require.NoError(r.t, c.SetDeadline(time.Now().Add(patience)))
	if buffered == nil {
		buffered = bufio.NewReader(c)
	}
	return &client{t: r.t, net: c, from: buffered}
}

// dial opens a session on a WebSocket.
func (r *rig) dial() (*client, *Session) {
	c := r.dialSid("")
	s := r.session()
	open := c.next()
	require.Equal(r.t, ws.OpText, open.Header.OpCode)
	require.Contains(r.t, string(open.Payload), s.Id())
	return c, s
}

func (c *client) next() ws.Frame {
	frame, err := readFrame(c.from)
	require.NoError(c.t, err)
	return frame
}

func readFrame(from io.Reader) (frame ws.Frame, err error) {
	if frame.Header, err = ws.ReadHeader(from); err == nil {
		frame.Payload = make([]byte, frame.Header.Length)
		_, err = io.ReadFull(from, frame.Payload)
	}
	return frame, err
}

// text is the next frame's payload, which has to be text.
func (c *client) text() string {
	frame := c.next()
	require.Equal(c.t, ws.OpText, frame.Header.OpCode, "%q", frame.Payload)
	return string(frame.Payload)
}

func (c *client) send(op ws.OpCode, payload string) {
	_, err := c.net.Write(masked(true, op, payload))
	require.NoError(c.t, err)
}

// ended reads to the connection's end, and returns the close frame's status, 0 without one.
func (c *client) ended() ws.StatusCode {
	code := ws.StatusCode(0)
	for {
		frame, err := readFrame(c.from)
		if err != nil {
			require.False(c.t, isTimeout(err), "%v", err)
			return code
		}
		if frame.Header.OpCode == ws.OpClose {
			code, _ = ws.ParseCloseFrameData(frame.Payload)
			if len(frame.Payload) > 0 {
				c.send(ws.OpClose, string(frame.Payload[:2]))
			}
		}
	}
}

// do is one request; the answer's status and body.
func (r *rig) do(method, query, body string) (int, string) {
	req, err := http.NewRequest(method, r.url(query), strings.NewReader(body))
	require.NoError(r.t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	require.NoError(r.t, err)
	return res.StatusCode, string(got)
}

// polling opens a session on long-polling, and returns the query of its requests.
func (r *rig) polling() (string, *Session) {
	status, body := r.do(http.MethodGet, "transport=polling", "")
	require.Equal(r.t, http.StatusOK, status)
	var hello struct {
		Sid string `json:"sid"`
	}
	require.NoError(r.t, json.Unmarshal([]byte(strings.TrimPrefix(body, "0")), &hello))
	return "transport=polling&sid=" + hello.Sid, r.session()
}

func (r *rig) poll(query string) string {
	status, body := r.do(http.MethodGet, query, "")
	require.Equal(r.t, http.StatusOK, status, body)
	return body
}

func (r *rig) post(query, body string) {
	status, got := r.do(http.MethodPost, query, body)
	require.Equal(r.t, http.StatusOK, status, got)
	require.Equal(r.t, "ok", got)
}

// message frames a text message.
func message(text string) [][]byte { return [][]byte{newFrame(packetMessage, []byte(text))} }

// received passes on what a session's client sends, text or binary.
func received(into chan<- string) func(*Session) {
	return func(s *Session) {
		_ = s.On("data", func(args ...any) { into <- args[0].(types.BufferInterface).String() })
	}
}

// closings passes on why a session ended.
func closings(s *Session) <-chan string {
	why := make(chan string, 4)
	_ = s.On("close", func(args ...any) { why <- args[0].(string) })
	return why
}

func within[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}
