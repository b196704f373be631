package engine

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// conn is a WebSocket connection, before and while it carries a session.
type conn struct {
	net net.Conn
	// raw gives access to the socket without waiting; nil if there is none to be had, as with TLS.
	raw    syscall.RawConn
	writer *writer

	// The rest of what stands here belongs to the session's lock.

	// scheduled: the session is in its writer's list, or being written by it or by a goroutine of its own.
	scheduled bool
	// blocked: the client does not take what there is, and a goroutine waits for it.
	blocked bool
	// writing: somebody is writing who did not wait.
	writing bool

	// unread is what has been received and not handled; of the reading goroutine.
	unread []byte
	// message collects the fragments of a message; of the reading goroutine.
	message []byte
	opcode  ws.OpCode // of the message being collected, 0 if none is
}

func newConn(c net.Conn, w *writer, unread []byte) *conn {
	wc := &conn{net: c, writer: w, unread: unread}
	if sys, ok := c.(syscall.Conn); ok {
		if raw, err := sys.SyscallConn(); err == nil {
			wc.raw = raw
		}
	}
	return wc
}

// close lets go of the connection. Without order, what the kernel still has for the client is dropped, which would else
// stay with it for as long as the client likes.
func (c *conn) close(order bool) {
	if tcp, ok := c.net.(*net.TCPConn); ok && !order {
		_ = tcp.SetLinger(0)
	}
	_ = c.net.Close()
}

const readSize = 4 << 10

var readBuffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// receive reads what has come, waiting for it without a buffer, and appends it to unread.
func (c *conn) receive() error {
	if c.raw == nil {
		return c.receivePlainly()
	}
	var n int
	var failed error
	err := c.raw.Read(func(fd uintptr) bool {
		buffer := readBuffers.Get().(*[readSize]byte) //nolint:forcetypeassert // the pool's own
		defer readBuffers.Put(buffer)
		for {
			n, failed = syscall.Read(int(fd), buffer[:])
			if !errors.Is(failed, syscall.EINTR) {
				break
			}
		}
		if errors.Is(failed, syscall.EAGAIN) {
			return false
		}
		if n > 0 {
			c.unread = append(c.unread, buffer[:n]...)
		}
		return true
	})
	switch {
	case err != nil:
		return err
	case failed != nil:
		return failed
	case n == 0:
		return io.EOF
	}
	return nil
}

func (c *conn) receivePlainly() error {
	buffer := make([]byte, readSize)
	n, err := c.net.Read(buffer)
	c.unread = append(c.unread, buffer[:n]...)
	if n > 0 {
		return nil
	}
	return err
}

// handler is called with complete messages, which it must not keep. It reports whether reading goes on.
type handler func(op ws.OpCode, payload []byte) bool

// errEnded ends reading without a fault.
var errEnded = errors.New("reading ended")

// read receives messages until the connection or handle ends it. The error is a ws.ProtocolError, errTooLarge, errNotUTF8,
// errEnded, or the connection's. limit is asked for each message's size.
func (c *conn) read(limit func() int, handle handler) error {
	for {
		rest, err := c.parse(c.unread, limit, handle)
		if err != nil {
			return err
		}
		// What is left is the beginning of a frame; nothing is held for an idle client.
		switch len(rest) {
		case 0:
			c.unread = nil
		case len(c.unread):
		default:
			c.unread = append([]byte(nil), rest...)
		}
		if err := c.receive(); err != nil {
			return err
		}
	}
}

var (
	errTooLarge = errors.New("message too large")
	errNotUTF8  = errors.New("text is not UTF-8")
)

// parse handles the complete frames of data and returns what follows them.
func (c *conn) parse(data []byte, limit func() int, handle handler) (rest []byte, err error) {
	for {
		from := bytes.NewReader(data)
		h, err := ws.ReadHeader(from)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return data, nil
		}
		if err != nil {
			return nil, err
		}
		state := ws.StateServerSide
		if c.opcode != 0 {
			state |= ws.StateFragmented
		}
		if err := ws.CheckHeader(h, state); err != nil {
			return nil, err
		}
		// A control frame is no part of the message around it, and short.
		if !h.OpCode.IsControl() && h.Length > int64(limit()-len(c.message)) {
			return nil, errTooLarge
		}
		if int64(from.Len()) < h.Length {
			return data, nil
		}
		payload := data[len(data)-from.Len():][:h.Length]
		data = data[len(data)-from.Len()+int(h.Length):]
		ws.Cipher(payload, h.Mask, 0)
		if err := c.frame(h, payload, handle); err != nil {
			return nil, err
		}
	}
}

// frame handles one frame.
func (c *conn) frame(h ws.Header, payload []byte, handle handler) error {
	op := h.OpCode
	if !op.IsControl() {
		if op != ws.OpContinuation {
			c.opcode = op
		}
		if !h.Fin {
			c.message = append(c.message, payload...)
			return nil
		}
		if len(c.message) > 0 {
			payload = append(c.message, payload...)
		}
		op = c.opcode
		c.opcode, c.message = 0, nil
		if op == ws.OpText && !utf8.Valid(payload) {
			return errNotUTF8
		}
	}
	if op == ws.OpClose && !validClose(payload) {
		return ws.ErrProtocolStatusCodeNotInUse
	}
	if !handle(op, payload) {
		return errEnded
	}
	return nil
}

// validClose checks a close frame's status and reason.
func validClose(payload []byte) bool {
	if len(payload) == 0 {
		return true
	}
	if len(payload) == 1 {
		return false
	}
	code, reason := ws.ParseCloseFrameDataUnsafe(payload)
	return ws.CheckCloseFrameData(code, reason) == nil
}

// write writes before the connection carries a session, when nobody else does.
func (c *conn) write(frame []byte, within time.Duration) error {
	if err := c.net.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	if _, err := c.net.Write(frame); err != nil {
		return err
	}
	return c.net.SetWriteDeadline(time.Time{})
}
