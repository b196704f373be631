package forward

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"time"
)

// tunnelBuffer is how much of a WebSocket is under way in each direction: most messages are small, and there are many
// WebSockets.
const tunnelBuffer = 4 << 10

// answer is a ResponseWriter that gives up a client which takes nothing for the time that stall is. It belongs to the
// request's goroutine.
type answer struct {
	http.ResponseWriter
	control  *http.ResponseController
	stall    time.Duration
	cut      context.CancelFunc // ends the request
	hijacked bool
}

var (
	_ http.Hijacker = (*answer)(nil)
	_ io.ReaderFrom = (*tunnel)(nil)
	_ io.WriterTo   = (*tunnel)(nil)
)

func newAnswer(w http.ResponseWriter, stall time.Duration, cut context.CancelFunc) *answer {
	return &answer{ResponseWriter: w, control: http.NewResponseController(w), stall: stall, cut: cut}
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.extend()
	return a.ResponseWriter.Write(p)
}

// extend gives the client its time again. A writer without deadlines has no connection to wait for.
func (a *answer) extend() { _ = a.control.SetWriteDeadline(time.Now().Add(a.stall)) }

// finish sends what is buffered, while there is a deadline, and lifts that for the connection's next request.
func (a *answer) finish() {
	if a.hijacked {
		return
	}
	a.extend()
	_ = a.control.Flush()
	_ = a.control.SetWriteDeadline(time.Time{})
}

// Hijack implements http.Hijacker.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := a.control.Hijack()
	if err != nil {
		return conn, buffered, err
	}
	a.hijacked = true
	_ = conn.SetDeadline(time.Time{}) // of what was a request
	early, _ := buffered.Peek(buffered.Reader.Buffered())
	return &tunnel{Conn: conn, from: io.MultiReader(bytes.NewReader(bytes.Clone(early)), conn), stall: a.stall, cut: a.cut}, buffered, nil
}

// tunnel is a client's connection that has become a WebSocket. It has no CloseWrite, so that it ends when one of the two
// does that it connects: a client that has vanished would not end it.
type tunnel struct {
	net.Conn
	from  io.Reader // what the client had sent before, then Conn
	stall time.Duration
	cut   context.CancelFunc // ends both
}

func (t *tunnel) Read(p []byte) (int, error) { return t.from.Read(p) }

func (t *tunnel) Write(p []byte) (int, error) {
	if err := t.SetWriteDeadline(time.Now().Add(t.stall)); err != nil {
		return 0, err
	}
	return t.Conn.Write(p)
}

// ReadFrom implements io.ReaderFrom, in small pieces.
func (t *tunnel) ReadFrom(r io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{t}, struct{ io.Reader }{r}, make([]byte, tunnelBuffer))
}

// WriteTo implements io.WriterTo, in small pieces. When the client has gone the other node has to take note of it within
// the time that stall is: its host may be lost.
func (t *tunnel) WriteTo(w io.Writer) (int64, error) {
	defer time.AfterFunc(t.stall, t.cut)
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{t}, make([]byte, tunnelBuffer))
}
