package adapter

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"
)

// listener is a member of a room that is no socket: it is in no list of sockets, and is sent what the log has for the
// room and nothing else.
type listener struct{ hear func(args []byte) }

var _ frameWriter = listener{}

// WriteFrames implements frameWriter.
func (l listener) WriteFrames(frames [][]byte, _, _ bool) bool {
	text := framePayload(frames[0]) // a byte of the frame's header may be a bracket
	if at := bytes.IndexByte(text, '['); at >= 0 {
		l.hear(text[at:])
	}
	return true
}

// Listen calls hear with each event of the log that is for a room of a namespace, as a socket of this node in it would
// receive it: the JSON array of the event's name and arguments, which hear must not keep. It is called in the log's order,
// under a lock: it must not block or call the adapter. stop ends it. The namespace has to exist.
func (c *Cluster) Listen(nsp, room string, hear func(args []byte)) (stop func(), err error) {
	a := c.adapterOf(nsp)
	if a == nil {
		return nil, fmt.Errorf("adapter: no namespace %q", nsp)
	}
	m := newMember("")
	m.conn, m.served = listener{hear}, true
	m.link.Store(linkDirect)
	m.out.Store(nil)
	p := &place{}
	c.deliverMu.Lock()
	defer c.deliverMu.Unlock()
	a.table.enter(socket.Room(room), m, p)
	c.listeners[m] = struct{}{}
	return func() {
		c.deliverMu.Lock()
		defer c.deliverMu.Unlock()
		a.table.leave(p)
		delete(c.listeners, m)
	}, nil
}

// Unread returns how long the log has held an entry that this node has not read, by Redis' clock; 0 if it has read all, or
// has read it and holds it back for Redis' replicas. Delays of the network are part of it: entries that are just on their
// way count as unread. It takes no lock, since a reader that hangs may hold it.
func (c *Cluster) Unread(ctx context.Context) (time.Duration, error) {
	if c.heldBack.Load() {
		return 0, nil
	}
	position := c.joinPosition()
	pipe := c.redis.Pipeline()
	next := pipe.XRangeN(ctx, c.logKey, "("+position.String(), "+", 1)
	now := pipe.Time(ctx)
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, fmt.Errorf("looking for unread entries: %w", err)
	}
	if len(next.Val()) == 0 {
		return 0, nil
	}
	ms, _, _ := bytes.Cut([]byte(next.Val()[0].ID), []byte{'-'})
	added, err := strconv.ParseInt(string(ms), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("looking for unread entries: id %q", next.Val()[0].ID)
	}
	return max(now.Val().Sub(time.UnixMilli(added)), 0), nil
}
