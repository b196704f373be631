package engine

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/engine/v3/transports"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

func TestWebSocketCarriesMessages(t *testing.T) {
	got := make(chan string, 8)
	r := newRig(t, nil, received(got))
	c, s := r.dial()
	require.Equal(t, transportWebSocket, s.Transport().Name())
	require.True(t, s.Transport().Writable())

	c.send(ws.OpText, "4hello")
	c.send(ws.OpBinary, "\x00\x01")
	require.Equal(t, "hello", within(t, got))
	require.Equal(t, "\x00\x01", within(t, got))

	require.True(t, s.WriteFrames(message("a"), false, false))
	sent := make(chan struct{}, 1)
	s.Send(types.NewBytesBufferString("b"), nil, func(transports.Transport) { sent <- struct{}{} })
	s.Write(types.NewStringBufferString("c"), nil, nil)
	s.Write(strings.NewReader("d"), nil, nil)
	within(t, sent)
	require.Equal(t, "4a", c.text())
	binary := c.next()
	require.Equal(t, ws.OpBinary, binary.Header.OpCode)
	require.Equal(t, "b", string(binary.Payload))
	require.Equal(t, "4c", c.text())
	require.Equal(t, "4d", c.text())

	c.send(ws.OpPing, "are you there")
	pong := c.next()
	require.Equal(t, ws.OpPong, pong.Header.OpCode)
	require.Equal(t, "are you there", string(pong.Payload))
	r.eventually(func() bool { return r.server.Stats().Frames == 6 }, "what was written is counted")
	stats := r.server.Stats()
	require.Equal(t, 1, stats.WebSocket)
	require.EqualValues(t, 1, stats.Opened)
}

func TestWebSocketFaultsAreTold(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxPayload = 100 }, nil)
	unmasked := ws.MustCompileFrame(ws.NewTextFrame([]byte("4x")))
	for _, c := range []struct {
		name string
		data []byte
		want ws.StatusCode
		why  string
	}{
		{"unmasked", unmasked, ws.StatusProtocolError, reasonFailed},
		{"not UTF-8", masked(true, ws.OpText, "4\xff"), ws.StatusInvalidFramePayloadData, reasonFailed},
		{"too large", masked(true, ws.OpText, strings.Repeat("4", 101)), ws.StatusMessageTooBig, reasonFailed},
		{"empty packet", masked(true, ws.OpText, ""), ws.StatusInvalidFramePayloadData, reasonMalformed},
		{"unknown packet", masked(true, ws.OpText, "9"), ws.StatusInvalidFramePayloadData, reasonMalformed},
		{"ping", masked(true, ws.OpText, "2"), 0, reasonFailed},
		{"close packet", masked(true, ws.OpText, "1"), 0, reasonClosed},
		{"close frame", masked(true, ws.OpClose, "\x03\xe8"), ws.StatusNormalClosure, reasonClosed},
	} {
		client, s := r.dial()
		why := closings(s)
		_, err := client.net.Write(c.data)
		require.NoError(t, err)
		require.Equal(t, c.want, client.ended(), c.name)
		require.Equal(t, c.why, within(t, why), c.name)
		require.False(t, s.WriteFrames(message("x"), false, false), c.name)
	}
	require.Zero(t, r.server.Stats().WebSocket)
}

// Who has not shown a token yet makes the node hold little.
func TestMessagesAreSmallUntilTheClientIsTrusted(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxPayload, c.MaxUntrusted = 1000, 100 }, nil)
	large := strings.Repeat("4", 1000)

	stranger, s := r.dial()
	why := closings(s)
	stranger.send(ws.OpText, large[:101])
	require.Equal(t, ws.StatusMessageTooBig, stranger.ended())
	require.Equal(t, reasonFailed, within(t, why))

	known, s := r.dial()
	got := make(chan int, 1)
	_ = s.On("data", func(args ...any) { got <- args[0].(*types.StringBuffer).Len() })
	known.send(ws.OpText, large[:100])
	require.Equal(t, 99, within(t, got))
	s.Trust()
	known.send(ws.OpText, large)
	require.Equal(t, 999, within(t, got))

	q, s := r.polling()
	status, _ := r.do(http.MethodPost, q, large[:101])
	require.Equal(t, http.StatusRequestEntityTooLarge, status)
	s.Trust()
	r.post(q, large)
}

func TestClientThatVanishes(t *testing.T) {
	r := newRig(t, nil, nil)
	c, s := r.dial()
	why := closings(s)
	require.NoError(t, c.net.Close())
	require.Equal(t, reasonClosed, within(t, why))

	c, s = r.dial()
	why = closings(s)
	require.NoError(t, c.net.(*net.TCPConn).SetLinger(0))
	require.NoError(t, c.net.Close())
	require.Equal(t, reasonFailed, within(t, why))
}

func TestCloseSendsWhatWaitsFirst(t *testing.T) {
	r := newRig(t, nil, nil)
	c, s := r.dial()
	why := closings(s)
	for i := range 500 {
		require.True(t, s.WriteFrames(message(strconv.Itoa(i)), false, false))
	}
	s.Close(false)
	s.Close(false)
	require.NotEqual(t, "open", s.ReadyState())
	require.False(t, s.WriteFrames(message("late"), false, false))
	for i := range 500 {
		require.Equal(t, fmt.Sprint("4", i), c.text())
	}
	require.Equal(t, ws.StatusNormalClosure, c.ended())
	require.Equal(t, reasonForced, within(t, why))
	require.Equal(t, "closed", s.ReadyState())
	require.EqualValues(t, 1, r.server.Stats().Closed[reasonForced])
}

func TestCloseDoesNotWaitForEver(t *testing.T) {
	r := newRig(t, func(c *Config) { c.CloseGrace = 50 * time.Millisecond }, nil)
	c, s := r.dial()
	why := closings(s)
	s.Close(false)
	require.Equal(t, reasonForced, within(t, why)) // though the client does not answer
	require.Equal(t, ws.StatusNormalClosure, c.ended())
}

func TestCloseIsAnsweredBehindWhatWaits(t *testing.T) {
	r := newRig(t, nil, nil)
	c, s := r.dial()
	for i := range 100 {
		require.True(t, s.WriteFrames(message(strconv.Itoa(i)), false, false))
	}
	c.send(ws.OpClose, "\x03\xe9")
	for i := range 100 {
		require.Equal(t, fmt.Sprint("4", i), c.text())
	}
	require.Equal(t, ws.StatusGoingAway, c.ended())
}

func TestHeartbeat(t *testing.T) {
	r := newRig(t, func(c *Config) { c.PingInterval, c.PingTimeout = 50*time.Millisecond, 5*time.Second }, nil)
	c, s := r.dial()
	for range 3 {
		require.Equal(t, "2", c.text())
		c.send(ws.OpText, "3")
	}
	require.Equal(t, "open", s.ReadyState())
}

func TestHeartbeatEndsASilentClient(t *testing.T) {
	r := newRig(t, func(c *Config) { c.PingInterval, c.PingTimeout = 25*time.Millisecond, 100*time.Millisecond }, nil)
	c, s := r.dial()
	why := closings(s)
	require.Equal(t, reasonTimeout, within(t, why))
	require.Equal(t, "2", c.text())
	require.Zero(t, c.ended())
}

// A client may send right behind its request.
func TestMessageBehindTheHandshake(t *testing.T) {
	got := make(chan string, 8)
	r := newRig(t, nil, received(got))
	c, err := net.Dial("tcp", r.http.Listener.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	request := "GET /?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	whole := masked(true, ws.OpText, "4early")
	_, err = c.Write(join([]byte(request), whole, whole[:5]))
	require.NoError(t, err)
	require.Equal(t, "early", within(t, got))
	_, err = c.Write(whole[5:])
	require.NoError(t, err)
	require.Equal(t, "early", within(t, got))
}

// The one that is to end the connection is the server, by RFC 6455: a client that waits for it need not wait long.
func TestAClientThatClosesIsLetGoAtOnce(t *testing.T) {
	r := newRig(t, func(c *Config) { c.CloseGrace = time.Hour }, nil)
	c, s := r.dial()
	why := closings(s)
	c.send(ws.OpClose, "\x03\xe8")
	require.Equal(t, ws.OpClose, c.next().Header.OpCode)
	_, err := readFrame(c.from)
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, reasonClosed, within(t, why))
}
