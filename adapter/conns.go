package adapter

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// connections watches those of the blocking client: a new one may talk to another Redis, and only closing one ends a
// read that blocks, since the client heeds a context's deadline but not its end.
type connections struct {
	dials atomic.Uint64

	mu    sync.Mutex
	open  map[net.Conn]struct{} // mu
	ended bool                  // mu
}

var _ redis.Hook = (*connections)(nil)

func (c *connections) watch(client redis.UniversalClient) {
	c.open = make(map[net.Conn]struct{})
	if cluster, ok := client.(*redis.ClusterClient); ok {
		// A cluster's client does not dial itself, so hooks of its own hear nothing of that.
		cluster.OnNewNode(func(node *redis.Client) { node.AddHook(c) })
		return
	}
	client.AddHook(c)
}

// end closes the open connections and those to come.
func (c *connections) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for conn := range c.open {
		_ = conn.Close()
	}
}

// add reports whether conn may be used.
func (c *connections) add(conn net.Conn) bool {
	c.dials.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.open[conn] = struct{}{}
	return true
}

func (c *connections) remove(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
}

// DialHook implements redis.Hook.
func (c *connections) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if !c.add(conn) {
			_ = conn.Close()
			return nil, ErrStopped
		}
		w := watchedConn{Conn: conn, all: c}
		if sys, ok := conn.(syscall.Conn); ok {
			return watchedSocket{watchedConn: w, Conn: sys}, nil
		}
		return w, nil
	}
}

// ProcessHook implements redis.Hook.
func (*connections) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook implements redis.Hook.
func (*connections) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

type watchedConn struct {
	net.Conn

	all *connections
}

// Close implements net.Conn.
func (w watchedConn) Close() error {
	w.all.remove(w.Conn)
	return w.Conn.Close()
}

// watchedSocket keeps the method by which the client looks whether an idle connection still stands; one that is
// encrypted must not have it.
type watchedSocket struct {
	watchedConn
	syscall.Conn
}
