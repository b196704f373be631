package load

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readBuffer = 256 << 10
	slowBuffer = 4 << 10
	// batch is how many connections are read before others get the lock and the processor.
	batch = 128
)

// poller reads the loop's connections by epoll. The epoll descriptor itself is known to Go's own poller, so waiting
// costs no thread. TLS connections get a goroutine each.
type poller struct {
	*netWires
	file *os.File
	raw  syscall.RawConn
	fd   int
	buf  []byte
	addr unix.Sockaddr // nil: use netWires

	// wires are the open connections by descriptor; turn tells apart successive users of one. Guarded by the loop's lock.
	wires []*fdWire
	turn  int32
}

func newPoller(l *loop) (*poller, error) {
	p := &poller{netWires: newNetWires(l), buf: make([]byte, readBuffer)}
	var err error
	if p.fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("load: epoll: %w", err)
	}
	if err := unix.SetNonblock(p.fd, true); err != nil {
		return nil, fmt.Errorf("load: epoll: %w", err)
	}
	p.file = os.NewFile(uintptr(p.fd), "epoll")
	if p.raw, err = p.file.SyscallConn(); err != nil {
		return nil, fmt.Errorf("load: epoll: %w", err)
	}
	if l.fleet.url.Scheme == "ws" {
		if p.addr, err = resolve(l.fleet); err != nil {
			_ = p.file.Close()
			return nil, err
		}
	}
	return p, nil
}

// resolve finds the server's address once for all clients, and from which to come to it.
func resolve(f *Fleet) (unix.Sockaddr, error) {
	port := f.url.Port()
	if port == "" {
		port = "80"
	}
	addr, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(f.url.Hostname(), port))
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	ip := addr.IP.To4()
	if ip == nil {
		return &unix.SockaddrInet6{Port: addr.Port, Addr: [16]byte(addr.IP.To16())}, nil
	}
	return &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(ip)}, nil
}

func (p *poller) close() {
	_ = p.file.Close()
	p.netWires.close()
}

// read serves the connections until the descriptor is closed.
func (p *poller) read() {
	events := make([]unix.EpollEvent, batch)
	for {
		var n int
		var err error
		if p.raw.Read(func(fd uintptr) bool {
			n, err = unix.EpollWait(int(fd), events, 0)
			return n > 0 || (err != nil && !errors.Is(err, unix.EINTR))
		}) != nil || err != nil {
			return
		}
		p.loop.mu.Lock()
		for i := range n {
			e := &events[i]
			if int(e.Fd) < len(p.wires) {
				if w := p.wires[e.Fd]; w != nil && w.turn == e.Pad {
					w.handle(e.Events)
				}
			}
		}
		p.loop.arrived()
		p.loop.mu.Unlock()
		if nap := p.loop.fleet.nap.Load(); nap > 0 && n < batch {
			time.Sleep(time.Duration(nap))
			continue
		}
		runtime.Gosched() // the writer of the events may have to share this processor
	}
}

// dial starts a connect. The loop's lock is held.
func (p *poller) dial(c *conn) {
	if p.addr == nil {
		p.netWires.dial(c)
		return
	}
	w := &fdWire{poll: p, owner: c}
	c.wire = w
	if err := w.open(); err != nil {
		c.due = time.Time{}
		// Ending it here would start the next one in its place, and so on down the stack.
		go func() {
			p.loop.mu.Lock()
			defer p.loop.mu.Unlock()
			if c.wire == w {
				c.end(err)
			}
		}()
	}
}

// fdWire is a connection that epoll watches. It is guarded by its loop's lock.
type fdWire struct {
	poll  *poller
	owner *conn
	fd    int
	turn  int32
	// out is what the socket's buffer had no room for.
	out    []byte
	paused bool
}

func (w *fdWire) open() error {
	p := w.poll
	family := unix.AF_INET
	if _, six := p.addr.(*unix.SockaddrInet6); six {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		w.fd = -1
		return fmt.Errorf("load: socket: %w", err)
	}
	w.fd = fd
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	f := p.loop.fleet
	if f.cfg.Slow != nil && f.cfg.Slow(w.owner.index) {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, slowBuffer)
	}
	if a, ok := p.addr.(*unix.SockaddrInet4); ok && a.Addr[0] == 127 && f.cfg.SourceAddrs > 1 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		from := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(2 + w.owner.index%f.cfg.SourceAddrs)}}
		if err := unix.Bind(fd, from); err != nil {
			return fmt.Errorf("load: bind: %w", err)
		}
	}
	if err := unix.Connect(fd, p.addr); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("load: connect: %w", err)
	}
	p.turn++
	w.turn = p.turn
	for len(p.wires) <= fd {
		p.wires = append(p.wires, nil)
	}
	p.wires[fd] = w
	return w.watch(unix.EPOLL_CTL_ADD)
}

func (w *fdWire) watch(op int) error {
	e := unix.EpollEvent{Fd: int32(w.fd), Pad: w.turn}
	if !w.paused {
		e.Events |= unix.EPOLLIN
	}
	if w.owner.state == opening || len(w.out) > 0 {
		e.Events |= unix.EPOLLOUT
	}
	if err := unix.EpollCtl(w.poll.fd, op, w.fd, &e); err != nil {
		return fmt.Errorf("load: epoll_ctl %s: %w", strconv.Itoa(op), err)
	}
	return nil
}

func (w *fdWire) handle(events uint32) {
	c, l := w.owner, w.poll.loop
	if c.state == opening {
		code, err := unix.GetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = fmt.Errorf("load: connect: %w", unix.Errno(code))
		}
		if err == nil {
			err = c.opened()
		}
		if err == nil {
			err = w.watch(unix.EPOLL_CTL_MOD)
		}
		if err != nil {
			c.end(err)
		}
		return
	}
	if events&unix.EPOLLOUT != 0 {
		if err := w.flush(); err != nil {
			c.end(err)
			return
		}
	}
	if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
		return
	}
	n, err := unix.Read(w.fd, w.poll.buf)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return
	case err != nil:
		n = 0
	case n == 0:
		err = errEOF
	}
	l.now = time.Now()
	l.input(c, w.poll.buf[:n], err)
}

func (w *fdWire) write(b []byte) error {
	if len(w.out) == 0 {
		n, err := unix.Write(w.fd, b)
		if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("load: write: %w", err)
		}
		if b = b[max(n, 0):]; len(b) == 0 {
			return nil
		}
	}
	w.out = append(w.out, b...)
	return w.watch(unix.EPOLL_CTL_MOD)
}

func (w *fdWire) flush() error {
	n, err := unix.Write(w.fd, w.out)
	if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("load: write: %w", err)
	}
	if w.out = w.out[max(n, 0):]; len(w.out) == 0 {
		w.out = nil
	}
	return w.watch(unix.EPOLL_CTL_MOD)
}

func (w *fdWire) close() {
	if w.fd < 0 {
		return
	}
	if w.fd < len(w.poll.wires) {
		w.poll.wires[w.fd] = nil
	}
	_ = unix.Close(w.fd)
}

func (w *fdWire) pause(paused bool) {
	w.paused = paused
	_ = w.watch(unix.EPOLL_CTL_MOD)
}
