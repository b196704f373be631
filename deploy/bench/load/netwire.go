package load

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// netWires are connections with a goroutine each: for TLS, and where there is no epoll.
type netWires struct {
	loop   *loop
	ctx    context.Context
	cancel context.CancelFunc
	wait   sync.WaitGroup
}

func newNetWires(l *loop) *netWires {
	ctx, cancel := context.WithCancel(context.Background())
	return &netWires{loop: l, ctx: ctx, cancel: cancel}
}

// close ends what is under way and waits for the goroutines. The loop's lock must not be held.
func (w *netWires) close() {
	w.cancel()
	w.wait.Wait()
}

// dial connects c and reads for it. The loop's lock is held.
func (w *netWires) dial(c *conn) {
	wire := &netWire{owner: c}
	wire.unpaused.L = &w.loop.mu
	wire.ctx, wire.cancel = context.WithTimeout(w.ctx, w.loop.fleet.cfg.ConnectTimeout)
	c.wire = wire
	w.wait.Go(func() { w.serve(c, wire) })
}

func (w *netWires) serve(c *conn, wire *netWire) {
	defer wire.cancel()
	nc, err := w.open(wire.ctx)
	l := w.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.wire != wire {
		if err == nil {
			_ = nc.Close()
		}
		return
	}
	if err == nil {
		wire.nc = nc
		err = c.opened()
	}
	if err != nil {
		c.end(err)
		return
	}
	buf := make([]byte, 4<<10)
	for c.wire == wire {
		for wire.paused {
			wire.unpaused.Wait()
		}
		l.mu.Unlock()
		n, err := nc.Read(buf)
		l.mu.Lock()
		if c.wire != wire {
			return
		}
		l.now = time.Now()
		l.input(c, buf[:n], err)
		l.arrived()
	}
}

func (w *netWires) open(ctx context.Context) (net.Conn, error) {
	f := w.loop.fleet
	var d net.Dialer
	host, port := f.url.Hostname(), f.url.Port()
	if f.url.Scheme != "wss" {
		if port == "" {
			port = "80"
		}
		return d.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	}
	if port == "" {
		port = "443"
	}
	t := tls.Dialer{NetDialer: &d, Config: &tls.Config{ServerName: host, RootCAs: f.cfg.roots, MinVersion: tls.VersionTLS12}}
	return t.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
}

// netWire is guarded by its loop's lock.
type netWire struct {
	owner    *conn
	nc       net.Conn // nil while it is being dialled
	ctx      context.Context
	cancel   context.CancelFunc
	paused   bool
	unpaused sync.Cond
}

func (w *netWire) write(b []byte) error {
	// A client writes a few bytes now and then: a peer that does not even take those in a second is lost.
	_ = w.nc.SetWriteDeadline(time.Now().Add(time.Second))
	_, err := w.nc.Write(b)
	return err
}

func (w *netWire) close() {
	w.cancel()
	w.pause(false)
	if w.nc != nil {
		_ = w.nc.Close()
	}
}

func (w *netWire) pause(paused bool) {
	w.paused = paused
	w.unpaused.Broadcast()
}
