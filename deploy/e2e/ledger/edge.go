package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// maxAddresses bounds the listeners; with more clients than that, several share one.
const maxAddresses = 1000

// edge stands between the clients and the load balancer and can cut their connections. Each client has a loopback
// address of its own, so that the edge knows whose connection is whose, also of a client that polls.
type edge struct {
	upstream string
	port     int
	slots    []*slot
	running  sync.WaitGroup
	stopped  context.CancelFunc
}

type slot struct {
	listener net.Listener
	polling  bool

	mu    sync.Mutex
	conns map[net.Conn]bool // guarded by mu; both ends of each connection
	until time.Time         // guarded by mu; no connection is carried before
	owed  bool              // guarded by mu; the next connection is not carried, whenever it comes
}

func startEdge(upstream string, people []person) (*edge, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	e := &edge{upstream: upstream, port: port, stopped: cancel}
	var config net.ListenConfig
	for i, p := range people[:min(len(people), maxAddresses)] {
		listener, err := config.Listen(ctx, "tcp", e.addr(i))
		if err != nil {
			e.stop()
			return nil, fmt.Errorf("address of client %d: %w", i, err)
		}
		s := &slot{listener: listener, polling: p.polling, conns: map[net.Conn]bool{}}
		e.slots = append(e.slots, s)
		e.running.Go(func() { e.accept(ctx, s) })
	}
	return e, nil
}

// addr is where client i (from 0) connects.
func (e *edge) addr(i int) string {
	i %= maxAddresses
	return fmt.Sprintf("127.1.%d.%d:%d", i/200, i%200+1, e.port)
}

func (e *edge) accept(ctx context.Context, s *slot) {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		e.running.Go(func() { e.carry(ctx, s, conn) })
	}
}

func (e *edge) carry(ctx context.Context, s *slot, down net.Conn) {
	var dialer net.Dialer
	up, err := dialer.DialContext(ctx, "tcp", e.upstream)
	if err != nil {
		_ = down.Close()
		return
	}
	defer s.drop(down, up)
	if !s.keep(ctx, down, up) {
		return
	}
	back := make(chan struct{})
	go func() {
		defer close(back)
		pass(down, up)
	}()
	pass(up, down)
	<-back
}

// pass copies until from ends, and tells to. The copying is done here and not by the kernel, since io.Copy's splice
// would cost two more descriptors a direction.
func pass(to, from net.Conn) {
	_, _ = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, 4096))
	closeWrite(to)
}

// closeWrite passes one side's end on and leaves the other direction open.
func closeWrite(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}

// keep notes the connections to be cut later; false says that they are to be closed at once.
func (s *slot) keep(ctx context.Context, conns ...net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil || s.owed || time.Now().Before(s.until) {
		s.owed = false
		return false
	}
	for _, c := range conns {
		s.conns[c] = true
	}
	return true
}

func (s *slot) drop(conns ...net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(s.conns, c)
	}
}

// cut resets or closes the client's connections and carries none for the time being. A client that polls may just have
// no request under way and notices only if its next fails.
func (s *slot) cut(outage time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = time.Now().Add(outage)
	s.owed = s.polling
	reset := rand.IntN(2) == 0 //nolint:gosec // not a secret
	for c := range s.conns {
		if tcp, ok := c.(*net.TCPConn); ok && reset {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
}

const outage = 100 * time.Millisecond

// harass cuts every client at random, each again and again after least to most, until ctx ends.
func (e *edge) harass(ctx context.Context, least, most time.Duration) {
	var all sync.WaitGroup
	for _, s := range e.slots {
		all.Go(func() {
			for pause(ctx, least+rand.N(most-least)) == nil { //nolint:gosec // not a secret
				s.cut(outage)
			}
		})
	}
	all.Wait()
}

func (e *edge) stop() {
	e.stopped()
	for _, s := range e.slots {
		_ = s.listener.Close()
		s.cut(0)
	}
	e.running.Wait()
}
