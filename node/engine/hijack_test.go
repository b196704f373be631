package engine

import (
	"bytes"
	"log"
	"net"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

// lines is what an HTTP server complains of.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Who writes to a request's answer after its connection became a WebSocket has the HTTP server log a line each time.
func TestNothingIsWrittenToAHijackedAnswer(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxPayload = 100 }, nil)
	r.http.Close()
	var complaints lines
	r.http = httptest.NewUnstartedServer(r.server)
	r.http.Config.ErrorLog = log.New(&complaints, "", 0)
	r.http.Start()

	ways := map[string]func(c *client, s *Session){
		"close frame":   func(c *client, _ *Session) { c.send(ws.OpClose, "\x03\xe8"); c.ended() },
		"garbage":       func(c *client, _ *Session) { _, _ = c.net.Write([]byte("GET / HTTP/1.1\r\n\r\n")); c.ended() },
		"too large":     func(c *client, _ *Session) { c.send(ws.OpText, "4"+string(make([]byte, 200))); c.ended() },
		"kicked":        func(c *client, s *Session) { s.Close(false); c.ended() },
		"kicked, hard":  func(_ *client, s *Session) { s.Close(true) },
		"reset":         func(c *client, _ *Session) { _ = c.net.(*net.TCPConn).SetLinger(0); _ = c.net.Close() },
		"ended halfway": func(c *client, _ *Session) { _ = c.net.(*net.TCPConn).CloseWrite() },
	}
	for name, end := range ways {
		c, s := r.dial()
		why := closings(s)
		require.True(t, s.WriteFrames(message("x"), false, false))
		require.Equal(t, "4x", c.text())
		end(c, s)
		within(t, why)
		_ = c.net.Close()
		t.Log(name)
	}
	// One that came by polling first, a probe that is none, and upgrades of nobody's session.
	query, s := r.polling()
	c := r.dialSid(query[len("transport=polling&sid="):])
	c.send(ws.OpText, "2probe")
	require.Equal(t, "3probe", c.text())
	c.send(ws.OpText, "5")
	r.eventually(func() bool { return s.Transport().Name() == transportWebSocket }, "upgraded")
	why := closings(s)
	c.send(ws.OpText, "9")
	c.ended()
	within(t, why)
	query, _ = r.polling()
	c = r.dialSid(query[len("transport=polling&sid="):])
	c.send(ws.OpText, "no probe")
	c.ended()
	_, _, _, err := ws.Dial(t.Context(), "ws"+r.url("transport=websocket&sid=nobody")[len("http"):]) //nolint:dogsled // only that it is refused
	require.Error(t, err)

	r.stop()
	r.http.Close()
	require.Empty(t, complaints.String())
}
