package adapter

import (
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/zishang520/socket.io/parsers/engine/v3/packet"
	"github.com/zishang520/socket.io/servers/engine/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// The tests' sockets are on connections that take frames, as the gateway's are; with this variable set to "library",
// on the library's own.
const connectionsVariable = "ADAPTER_TEST_CONNECTIONS"

func ownConnections() bool { return os.Getenv(connectionsVariable) != "library" }

// needsLibraryConnections makes the test's sockets be on the library's connections.
func needsLibraryConnections(t *testing.T) { t.Setenv(connectionsVariable, "library") }

// needsOwnConnections makes them be on connections that take frames.
func needsOwnConnections(t *testing.T) { t.Setenv(connectionsVariable, "") }

// framedEngine is the library's engine with connections that take frames.
type framedEngine struct {
	engine.Server

	sockets sync.Map // the wrapped socket by the library's
}

func (e *framedEngine) On(event types.EventName, listeners ...types.EventListener) error {
	if event != "connection" {
		return e.Server.On(event, listeners...)
	}
	for _, listen := range listeners {
		err := e.Server.On(event, func(args ...any) {
			inner, _ := args[0].(engine.Socket)
			conn, _ := e.sockets.LoadOrStore(inner.Id(), &framedConn{Socket: inner})
			listen(conn)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// framedConn keeps what it is given in order and writes it elsewhere, so that no caller ever waits.
type framedConn struct {
	engine.Socket

	mu      sync.Mutex
	waiting []func() // mu
	writing bool     // mu
	// taken are the first frames given to it. mu
	taken []takenFrames
}

type takenFrames struct {
	frames    [][]byte
	uncharged bool
}

// took returns what was given to the connection so far of events with this name.
func (c *framedConn) took(event string) []takenFrames {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.taken), func(taken takenFrames) bool {
		return !strings.Contains(string(taken.frames[0]), `["`+event+`"`)
	})
}

var _ frameWriter = (*framedConn)(nil)

func (c *framedConn) queue(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, fn)
	if !c.writing {
		c.writing = true
		go c.work()
	}
}

func (c *framedConn) work() {
	for {
		c.mu.Lock()
		batch := c.waiting
		c.waiting = nil
		c.writing = len(batch) > 0
		c.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, fn := range batch {
			fn()
		}
	}
}

// WriteFrames takes the frames apart: the library frames messages itself.
func (c *framedConn) WriteFrames(frames [][]byte, volatile, uncharged bool) bool {
	if c.ReadyState() != "open" || volatile && !c.Transport().Writable() {
		return false
	}
	c.mu.Lock()
	if len(c.taken) < 1000 {
		c.taken = append(c.taken, takenFrames{frames: frames, uncharged: uncharged})
	}
	c.mu.Unlock()
	c.queue(func() {
		for i, framed := range frames {
			data := framePayload(framed)
			if i == 0 {
				c.Socket.Write(types.NewStringBuffer(data[1:]), nil, nil)
			} else {
				c.Socket.Write(types.NewBytesBuffer(data), nil, nil)
			}
		}
	})
	return true
}

func (c *framedConn) Write(data io.Reader, opts *packet.Options, sent engine.SendCallback) engine.Socket {
	c.queue(func() { c.Socket.Write(data, opts, sent) })
	return c
}

func (c *framedConn) Close(discard bool) {
	if discard {
		c.Socket.Close(true)
		return
	}
	c.queue(func() { c.Socket.Close(false) })
}
