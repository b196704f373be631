package conformance

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Opcodes and close codes of RFC 6455.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa

	closeNormal   = 1000
	closeProtocol = 1002
	closeNoCode   = 1005 // a close frame without a code
	closeNoFrame  = 1006 // no close frame at all
	closeNotUTF8  = 1007
	closeTooBig   = 1009
)

const (
	engineWS   = "/engine.io/?EIO=4&transport=websocket"
	enginePoll = "/engine.io/?EIO=4&transport=polling"
	socketWS   = "/socket.io/?EIO=4&transport=websocket"
	socketPoll = "/socket.io/?EIO=4&transport=polling"
)

// ready is the event by which the server says that it listens to a socket's events.
const ready = `42["ready"]`

// wsConn is a WebSocket client that sends exactly the bytes it is told to.
type wsConn struct {
	*net.TCPConn
	t  *testing.T
	br *bufio.Reader
}

// wsFrame is a frame as received.
type wsFrame struct {
	fin     bool
	op      byte
	payload []byte
}

// upgradeRequest is an HTTP request for a WebSocket; headers are further lines, each with its CRLF.
func (s *server) upgradeRequest(path, headers string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", path, s.addr, headers)
}

// dial asks for a WebSocket and returns the connection with the answer, whatever it is.
func (s *server) dial(path, headers string) (*wsConn, reply) {
	s.t.Helper()
	return s.raw(string(s.upgradeRequest(path, headers)))
}

// raw sends any request on a connection of its own.
func (s *server) raw(request string) (*wsConn, reply) {
	s.t.Helper()
	w := s.plain()
	w.write([]byte(request))
	return w, w.answer()
}

// plain is a connection on which nothing has been sent.
func (s *server) plain() *wsConn {
	s.t.Helper()
	w := &wsConn{TCPConn: s.tcp(), t: s.t}
	w.br = bufio.NewReader(w.TCPConn)
	return w
}

// answer reads the answer to an HTTP request.
func (w *wsConn) answer() (r reply) {
	w.t.Helper()
	require.NoError(w.t, w.SetReadDeadline(time.Now().Add(deadline)))
	r = readReply(w.br)
	require.NoError(w.t, r.err)
	return r
}

// readReply reads an HTTP answer; after a grant of a WebSocket its frames are left to read.
func readReply(br *bufio.Reader) reply {
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		return reply{err: err}
	}
	defer func() { _ = res.Body.Close() }()
	r := reply{status: res.StatusCode, header: res.Header}
	if r.status != http.StatusSwitchingProtocols {
		var body []byte
		body, r.err = io.ReadAll(res.Body)
		r.body = string(body)
	}
	return r
}

// dialed is a WebSocket that was granted.
func (s *server) dialed(path string) *wsConn {
	s.t.Helper()
	w, res := s.dial(path, "")
	require.Equal(s.t, http.StatusSwitchingProtocols, res.status)
	require.Equal(s.t, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", res.header.Get("Sec-WebSocket-Accept"))
	return w
}

// openWS opens a session over a WebSocket.
func (s *server) openWS() (*wsConn, handshake) {
	s.t.Helper()
	w := s.dialed(engineWS)
	return w, opened(s.t, w.text())
}

// connectWS opens a Socket.IO connection over a WebSocket.
func (s *server) connectWS(tag string) *wsConn {
	s.t.Helper()
	w := s.dialed(socketWS)
	opened(s.t, w.text())
	w.send(`40{"tag":"` + tag + `"}`)
	require.Contains(s.t, w.text(), `40{"sid":`)
	require.Equal(s.t, ready, w.text())
	return w
}

// frame encodes a frame with a mask.
func frame(fin bool, op byte, payload []byte) []byte {
	head := []byte{op, 0x80}
	if fin {
		head[0] |= 0x80
	}
	switch n := len(payload); {
	case n < 126:
		head[1] |= byte(n)
	case n < 1<<16:
		head[1] |= 126
		head = binary.BigEndian.AppendUint16(head, uint16(n))
	default:
		head[1] |= 127
		head = binary.BigEndian.AppendUint64(head, uint64(n))
	}
	mask := [4]byte{0x5a, 0x01, 0xff, 0x3c}
	head = append(head, mask[:]...)
	for i, b := range payload {
		head = append(head, b^mask[i%4])
	}
	return head
}

func textFrame(text string) []byte { return frame(true, opText, []byte(text)) }

func closeFrame(code uint16) []byte {
	return frame(true, opClose, binary.BigEndian.AppendUint16(nil, code))
}

// write sends bytes as they are.
func (w *wsConn) write(data []byte) {
	w.t.Helper()
	_, err := w.Write(data)
	require.NoError(w.t, err)
}

// send sends one text message.
func (w *wsConn) send(text string) {
	w.t.Helper()
	w.write(textFrame(text))
}

// read reads one frame.
func (w *wsConn) read() (f wsFrame, err error) {
	if err = w.SetReadDeadline(time.Now().Add(deadline)); err != nil {
		return f, err
	}
	return readFrame(w.br)
}

func readFrame(r *bufio.Reader) (f wsFrame, err error) {
	var head [2]byte
	if _, err = io.ReadFull(r, head[:]); err != nil {
		return f, err
	}
	if head[0]&0x70 != 0 || head[1]&0x80 != 0 {
		return f, fmt.Errorf("a frame of the server has reserved bits or a mask: % x", head)
	}
	f.fin, f.op = head[0]&0x80 != 0, head[0]&0x0f
	n := uint64(head[1])
	switch n {
	case 126:
		var ext [2]byte
		_, err = io.ReadFull(r, ext[:])
		n = uint64(binary.BigEndian.Uint16(ext[:]))
	case 127:
		var ext [8]byte
		_, err = io.ReadFull(r, ext[:])
		n = binary.BigEndian.Uint64(ext[:])
	}
	if err != nil {
		return f, err
	}
	f.payload = make([]byte, n)
	_, err = io.ReadFull(r, f.payload)
	return f, err
}

// message reads one message, whole.
func (w *wsConn) message() (op byte, payload []byte) {
	w.t.Helper()
	for {
		f, err := w.read()
		require.NoError(w.t, err)
		require.Less(w.t, f.op, byte(opClose), "a control frame instead of a message: %q", f.payload)
		if f.op != opContinuation {
			op = f.op
		}
		payload = append(payload, f.payload...)
		if f.fin {
			return op, payload
		}
	}
}

// text reads one text message.
func (w *wsConn) text() string {
	w.t.Helper()
	op, payload := w.message()
	require.Equal(w.t, byte(opText), op)
	return string(payload)
}

// ending is how a connection ended.
type ending struct {
	code     int
	messages []string // before it
	err      error    // of the read that found the end; io.EOF if it was orderly
}

// end reads until the server has ended the connection, answering its close frame, and closes it as well.
func (w *wsConn) end() (e ending) {
	defer func() { _ = w.Close() }()
	e.code = closeNoFrame
	for {
		var f wsFrame
		if f, e.err = w.read(); e.err != nil {
			return e
		}
		switch f.op {
		case opText, opBinary, opContinuation:
			e.messages = append(e.messages, string(f.payload))
		case opClose:
			e.code = closeNoCode
			if len(f.payload) >= 2 {
				e.code = int(binary.BigEndian.Uint16(f.payload))
			}
			_, _ = w.Write(frame(true, opClose, f.payload)) // the server may have gone by now
		}
	}
}

// ended requires that the connection ends, whether orderly or not, and returns how.
func (w *wsConn) ended() ending {
	w.t.Helper()
	e := w.end()
	var timeout net.Error
	require.False(w.t, errors.As(e.err, &timeout) && timeout.Timeout(), "the connection is left open")
	return e
}

// reset closes the connection by a TCP reset.
func (w *wsConn) reset() {
	_ = w.SetLinger(0)
	_ = w.Close()
}

// echoes requires that the session is alive.
func (w *wsConn) echoes(text string) {
	w.t.Helper()
	w.send("4" + text)
	require.Equal(w.t, "4"+text, w.text())
}

// bytesOf repeats a letter.
func bytesOf(n int) []byte { return bytes.Repeat([]byte("x"), n) }
