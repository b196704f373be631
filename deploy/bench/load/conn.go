package load

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/gobwas/ws"
)

// state is how far a client has come.
type state uint8

const (
	away      state = iota // not connected; waits in the loop's queue, for its time, or for good
	opening                // TCP
	upgrading              // HTTP
	joining                // the protocol's connect and subscriptions
	ready
)

var (
	errUpgrade = errors.New("load: the server did not upgrade to WebSocket")
	errLate    = errors.New("load: the connect took too long")
	errEOF     = errors.New("load: connection closed")
)

// wire is a client's connection. Its methods are called with the loop's lock held.
type wire interface {
	// write sends or queues b; it does not keep it.
	write(b []byte) error
	close()
	pause(paused bool)
}

// conn is one client. Its fields are guarded by its loop's lock.
type conn struct {
	index int
	loop  *loop
	wire  wire
	state state
	in    messages

	began time.Time // of the connect under way
	due   time.Time // of the next attempt, while away; zero: none
	tries int

	pid       string
	recovered bool
	offset    [40]byte
	offsetLen int

	// last is the sequence number received last of each series; the bit of based says that the next one is known from it.
	last  [kinds]uint32
	based uint8
	// met is set once a server has taken the client: before that no event was for it.
	met bool
}

// opened goes on when TCP is there.
func (c *conn) opened() error {
	c.state = upgrading
	var nonce [16]byte
	_, _ = rand.Read(nonce[:])
	u := c.loop.fleet.url
	return c.wire.write(fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n",
		c.loop.fleet.cfg.Protocol.path(), u.Host, base64.StdEncoding.EncodeToString(nonce[:])))
}

// received handles bytes from the server.
func (c *conn) received(data []byte) error {
	if c.state == upgrading {
		c.in.rest = append(c.in.rest, data...)
		head, rest, whole := bytes.Cut(c.in.rest, []byte("\r\n\r\n"))
		switch {
		case !whole && len(c.in.rest) < 16<<10:
			return nil
		case !whole || !bytes.HasPrefix(head, []byte("HTTP/1.1 101")):
			status, _, _ := bytes.Cut(head, []byte("\r\n"))
			return fmt.Errorf("%w: %.80s", errUpgrade, status)
		}
		c.state, c.in.rest = joining, nil
		if c.loop.fleet.cfg.Protocol == Centrifuge {
			if err := c.packetOf(c.centrifugeConnect()); err != nil {
				return err
			}
		}
		data = rest
	}
	return c.in.feed(data, c.frame)
}

func (c *conn) frame(op ws.OpCode, payload []byte) error {
	switch op {
	case ws.OpText:
		return c.message(payload)
	case ws.OpPing:
		return c.wire.write(appendFrame(nil, ws.OpPong, payload))
	case ws.OpClose:
		return errClosedByServer
	default:
		return nil
	}
}

func (c *conn) text(payload []byte) error {
	return c.wire.write(appendFrame(nil, ws.OpText, payload))
}

// welcome goes on when the server has taken the client.
func (c *conn) welcome() error {
	if c.recovered {
		c.loop.stats.Recovered++
	} else if c.met {
		c.based = 0
	}
	c.met = true
	if room := c.loop.fleet.cfg.Room; room != nil && !c.recovered {
		if name := room(c.index); name != "" {
			return c.packetOf(c.subscribePacket(name))
		}
	}
	return c.subscribed()
}

func (c *conn) subscribed() error {
	if c.state == ready {
		return nil
	}
	c.state, c.tries = ready, 0
	l := c.loop
	l.stats.Ready++
	l.stats.Connects++
	l.connectTimes.Record(time.Since(c.began))
	l.opening--
	l.dialMore()
	return nil
}

// event counts one of the load's events.
func (c *conn) event(s Stamp) {
	l := c.loop
	l.stats.Events++
	l.latency.Record(s.age(l.now))
	last, bit := &c.last[s.Kind], uint8(1)<<s.Kind
	switch {
	case c.based&bit == 0:
		c.based |= bit
	case s.Seq == *last+1:
	case s.Seq > *last:
		l.stats.Lost += uint64(s.Seq - *last - 1)
	default:
		l.stats.Repeated++
		return
	}
	*last = s.Seq
}

// end closes the connection and decides whether and when the client tries again.
func (c *conn) end(err error) {
	if c.state == away {
		return
	}
	l := c.loop
	l.note(c.state == ready, err)
	c.wire.close()
	was := c.state
	c.wire, c.state, c.in, c.recovered = nil, away, messages{}, false
	c.due = time.Time{}
	if wait := l.fleet.cfg.Backoff; wait > 0 && !l.stopping {
		wait = min(wait<<min(c.tries, 10), 5*time.Second)
		c.due = time.Now().Add(wait/2 + mathrand.N(wait)) //nolint:gosec // jitter is no secret
		l.away = append(l.away, c)
	}
	c.tries++
	if _, refused := errors.AsType[refusal](err); refused {
		c.pid, c.offsetLen = "", 0
	}
	if was != ready {
		l.opening--
		l.dialMore()
	}
}
