package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// logDelay stands between a node and Redis and can hold back what the node reads of the log, and nothing else: the
// replies on connections over which it sent XREAD, which no other part of it does.
type logDelay struct {
	upstream string
	listener net.Listener
	hold     atomic.Int64 // ns
	running  sync.WaitGroup
	ctx      context.Context //nolint:containedctx // the connections' life
	cancel   context.CancelFunc
}

// xread is the command's name as clients write it on the wire, letters lowered. XREADGROUP's begins with another length.
var xread = []byte("$5\r\nxread\r\n")

func startLogDelay(upstream string) (*logDelay, error) {
	d := &logDelay{upstream: upstream}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	var config net.ListenConfig
	var err error
	if d.listener, err = config.Listen(d.ctx, "tcp", "127.0.0.1:0"); err != nil {
		d.cancel()
		return nil, err
	}
	d.running.Go(d.accept)
	return d, nil
}

func (d *logDelay) addr() string { return d.listener.Addr().String() }

// set holds replies back for so long from now on; 0: not at all.
func (d *logDelay) set(hold time.Duration) { d.hold.Store(int64(hold)) }

func (d *logDelay) accept() {
	for {
		down, err := d.listener.Accept()
		if err != nil {
			return
		}
		d.running.Go(func() { d.carry(down) })
	}
}

func (d *logDelay) carry(down net.Conn) {
	defer func() { _ = down.Close() }() // nothing to lose
	var dialer net.Dialer
	up, err := dialer.DialContext(d.ctx, "tcp", d.upstream)
	if err != nil {
		return
	}
	defer func() { _ = up.Close() }() // nothing to lose
	stop := context.AfterFunc(d.ctx, func() { _ = errors.Join(down.Close(), up.Close()) })
	defer stop()
	var reads atomic.Bool
	back := make(chan struct{})
	go func() {
		defer close(back)
		d.replies(down, up, &reads)
		_ = down.Close() // so that the other direction ends, too
	}()
	commands(up, down, &reads)
	closeWrite(up)
	<-back
}

// commands passes on what the node sends, and notes when that is the log's reader.
func commands(up, down net.Conn, reads *atomic.Bool) {
	buffer := make([]byte, 16<<10)
	var tail []byte // a name may come in two pieces
	for {
		size, err := down.Read(buffer)
		if size > 0 {
			if !reads.Load() {
				text := slices.Concat(tail, bytes.ToLower(buffer[:size]))
				reads.Store(bytes.Contains(text, xread))
				tail = bytes.Clone(text[max(0, len(text)-len(xread)):])
			}
			if _, err := up.Write(buffer[:size]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// replies passes on what Redis answers, in order, to a reader of the log as much later as is set when it comes in.
func (d *logDelay) replies(down, up net.Conn, reads *atomic.Bool) {
	type piece struct {
		bytes []byte
		due   time.Time
	}
	held := make(chan piece, 256)
	go func() {
		defer close(held)
		for {
			buffer := make([]byte, 16<<10)
			size, err := up.Read(buffer)
			if size > 0 {
				p := piece{bytes: buffer[:size], due: time.Now()}
				if reads.Load() {
					p.due = p.due.Add(time.Duration(d.hold.Load()))
				}
				held <- p
			}
			if err != nil {
				return
			}
		}
	}()
	broken := false
	for p := range held { // to the end, or the goroutine above would never end
		broken = broken || pause(d.ctx, time.Until(p.due)) != nil
		if !broken {
			_, err := down.Write(p.bytes)
			broken = err != nil
		}
		if broken {
			_ = up.Close()
		}
	}
}

func (d *logDelay) stop() {
	d.cancel()
	_ = d.listener.Close()
	d.running.Wait()
}
