package engine

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// serve runs a server with one WebSocket client on it.
func serve(t *testing.T, change func(*Config)) (*Session, *websocket.Conn) {
	t.Helper()
	cfg := DefaultConfig()
	cfg.NodeName = "node"
	cfg.AllowOrigin = func(*http.Request) bool { return true }
	change(&cfg)
	server, err := New(cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-ended) })
	sessions := make(chan *Session, 1)
	require.NoError(t, server.On("connection", func(args ...any) { sessions <- args[0].(*Session) }))
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	var client *websocket.Conn
	url := "ws" + strings.TrimPrefix(web.URL, "http") + "/?EIO=4&transport=websocket"
	require.Eventually(t, func() bool {
		c, answer, err := websocket.DefaultDialer.Dial(url, nil) // refused until Run has begun
		if answer != nil {
			_ = answer.Body.Close()
		}
		client = c
		return err == nil
	}, 10*time.Second, time.Millisecond)
	t.Cleanup(func() { _ = client.Close() })
	return <-sessions, client
}

func (s *Session) isBlocked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ws.blocked
}

// The deadline of a stall that is over must not end the session at a later write.
func TestASessionOutlivesAStall(t *testing.T) {
	const stall = 2 * time.Second
	session, client := serve(t, func(c *Config) { c.StallTimeout = stall })
	large := newFrame(packetMessage, make([]byte, 16<<20)) // more than the kernel takes
	require.True(t, session.WriteFrames([][]byte{large}, false, true))
	require.Eventually(t, session.isBlocked, 10*time.Second, time.Millisecond)
	for range 2 { // the open packet and that
		_, _, err := client.ReadMessage()
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return !session.isBlocked() }, 10*time.Second, time.Millisecond)
	<-time.After(stall + stall/4) // what is tested is that this passes without effect
	require.True(t, session.WriteFrames([][]byte{newFrame(packetMessage, []byte("later"))}, false, false))
	require.NoError(t, client.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, got, err := client.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, "4later", string(got))
}
