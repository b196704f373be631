package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// Event is one entry for the event stream.
type Event struct {
	Name string
	Data []byte
	// Rooms replace the routing table; nil: they do not.
	Rooms []string
	// ID is the idempotency key, as the Core API gives each event one; empty: none.
	ID string
}

// Publisher writes events to the stream, in order. It may not keep them.
type Publisher interface {
	Publish(ctx context.Context, events []Event) error
}

// RedisPublisher writes to one Redis by pipelined XADDs over a connection of its own, at a fraction of what a
// general client costs. It is not safe for concurrent use.
type RedisPublisher struct {
	conn   net.Conn
	in     *bufio.Reader
	out    []byte
	stream string
}

// DialPublisher connects to a Redis without password or TLS. The caller closes the publisher.
func DialPublisher(ctx context.Context, addr, stream string) (*RedisPublisher, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	return &RedisPublisher{conn: conn, in: bufio.NewReaderSize(conn, 64<<10), stream: stream}, nil
}

// Close closes the connection.
func (p *RedisPublisher) Close() error { return p.conn.Close() }

// Publish implements Publisher. After an error it is unknown how many of the events were written.
func (p *RedisPublisher) Publish(ctx context.Context, events []Event) error {
	deadline, _ := ctx.Deadline()
	if err := p.conn.SetDeadline(deadline); err != nil {
		return err
	}
	p.out = p.out[:0]
	for _, e := range events {
		fields := 7
		if e.Rooms != nil {
			fields += 2
		}
		if e.ID != "" {
			fields += 2
		}
		p.out = append(strconv.AppendInt(append(p.out, '*'), int64(fields), 10), "\r\n$4\r\nXADD\r\n"...)
		p.out = bulk(p.out, p.stream)
		p.out = append(p.out, "$1\r\n*\r\n$5\r\nevent\r\n"...)
		p.out = bulk(p.out, e.Name)
		p.out = append(p.out, "$4\r\ndata\r\n"...)
		p.out = bulk(p.out, e.Data)
		if e.Rooms != nil {
			p.out = append(p.out, "$5\r\nrooms\r\n"...)
			rooms, err := json.Marshal(e.Rooms)
			if err != nil {
				return err
			}
			p.out = bulk(p.out, rooms)
		}
		if e.ID != "" {
			p.out = append(p.out, "$8\r\nevent_id\r\n"...)
			p.out = bulk(p.out, e.ID)
		}
	}
	if _, err := p.conn.Write(p.out); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	for range events {
		if err := p.reply(); err != nil {
			return fmt.Errorf("load: XADD: %w", err)
		}
	}
	return nil
}

func bulk[T string | []byte](dst []byte, s T) []byte {
	dst = strconv.AppendInt(append(dst, '$'), int64(len(s)), 10)
	dst = append(append(dst, "\r\n"...), s...)
	return append(dst, "\r\n"...)
}

// reply reads the answer to one XADD: the id as a bulk string, or an error.
func (p *RedisPublisher) reply() error {
	line, err := p.in.ReadSlice('\n')
	switch {
	case err != nil:
		return err
	case line[0] == '-':
		return errors.New(string(bytes.TrimSpace(line[1:])))
	case line[0] != '$':
		return fmt.Errorf("unexpected reply %q", line)
	}
	_, err = p.in.ReadSlice('\n')
	return err
}

// Target says where the n-th event goes (n counts from 0 over the life of a Series) and numbers it. It is used by one
// goroutine.
type Target func(n uint64, at time.Time) Event

// maxBatch bounds the events written in one go, which also bounds how late the stamp of the last can be.
const maxBatch = 256

// writeTimeout bounds the writing of a batch.
const writeTimeout = 10 * time.Second

// Writer writes a load's events. It is used by one goroutine.
type Writer struct {
	pub    Publisher
	target Target
	run    string // begins the events' ids
	batch  []Event
	n      uint64
	// OnWritten, if not nil, is told after each batch how many events have been written.
	OnWritten func(total uint64)
}

// NewWriter makes a writer of target's events, each with an id of its own.
func NewWriter(pub Publisher, target Target) *Writer {
	return &Writer{pub: pub, target: target, run: strconv.FormatInt(time.Now().UnixNano(), 36) + "-"}
}

// Written is the number of events written so far.
func (w *Writer) Written() uint64 { return w.n }

func (w *Writer) write(ctx context.Context, n int) error {
	for n > 0 {
		size := min(n, maxBatch)
		w.batch = w.batch[:0]
		for range size {
			e := w.target(w.n, time.Now())
			e.ID = w.run + strconv.FormatUint(w.n, 10)
			w.batch = append(w.batch, e)
			w.n++
		}
		one, cancel := context.WithTimeout(ctx, writeTimeout)
		err := w.pub.Publish(one, w.batch)
		cancel()
		if err != nil {
			return err
		}
		if w.OnWritten != nil {
			w.OnWritten(w.n)
		}
		n -= size
	}
	return nil
}

// AtRate writes rate events a second for the time given, or until ctx ends, whether they arrive or not.
func (w *Writer) AtRate(ctx context.Context, rate float64, d time.Duration) error {
	start := time.Now()
	first := w.n
	total := uint64(rate * d.Seconds())
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		done := w.n - first
		if done >= total {
			return nil
		}
		due := min(uint64(time.Since(start).Seconds()*rate)+1, total)
		if due > done {
			if err := w.write(ctx, int(due-done)); err != nil {
				return err
			}
		}
		next := start.Add(time.Duration(float64(w.n-first) / rate * float64(time.Second)))
		timer.Reset(max(time.Until(next), 0))
	}
}

// Window bounds the events that are under way in a closed loop.
type Window struct {
	// Events under way at most, each with Fanout deliveries.
	Events, Fanout int
	// Delivered counts the deliveries, Progress is signalled when it has changed.
	Delivered func() uint64
	Progress  <-chan struct{}
}

// errStuck is a closed loop in which nothing arrives.
var errStuck = errors.New("load: nothing arrives any more")

// Closed writes as fast as the events arrive, for the time given or until ctx ends.
func (w *Writer) Closed(ctx context.Context, win Window, d time.Duration) error {
	end := time.Now().Add(d)
	base, first := win.Delivered(), w.n
	stuck := time.NewTimer(writeTimeout)
	defer stuck.Stop()
	for time.Now().Before(end) && ctx.Err() == nil {
		arrived := (win.Delivered() - base) / uint64(win.Fanout)
		free := win.Events - int(w.n-first-arrived)
		// Half a window at once: single events would make every batch on the way one of one.
		if free > win.Events/2 || (free > 0 && arrived == w.n-first) {
			if err := w.write(ctx, free); err != nil {
				return err
			}
			continue
		}
		stuck.Reset(writeTimeout)
		select {
		case <-ctx.Done():
		case <-win.Progress:
		case <-stuck.C:
			return fmt.Errorf("%w: %d of %d", errStuck, arrived, w.n-first)
		}
	}
	return nil
}
