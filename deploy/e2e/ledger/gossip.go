package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
)

// gossipRelay stands before each node's gossip port and can keep two nodes from hearing each other, without touching
// the machine's firewall. Nodes advertise the relay's ports.
type gossipRelay struct {
	ends    []*gossipEnd
	running sync.WaitGroup
	cancel  context.CancelFunc

	mu      sync.Mutex
	blocked map[[2]int]bool // guarded by mu; pairs of nodes, the lower first
	pids    []int           // guarded by mu; to tell whose a TCP connection is
	dropped int             // guarded by mu; packets and streams
}

// gossipEnd is one node's: where it really listens, and the relay's sockets in front of that.
type gossipEnd struct {
	node int
	real *net.UDPAddr
	udp  *net.UDPConn
	tcp  *net.TCPListener
}

// startGossipRelay listens on ports (the advertised ones) for nodes that are bound to others.
func startGossipRelay(ports, bound []int) (*gossipRelay, error) {
	ctx, cancel := context.WithCancel(context.Background())
	g := &gossipRelay{cancel: cancel, blocked: map[[2]int]bool{}, pids: make([]int, len(ports))}
	for i, port := range ports {
		ip := net.IPv4(127, 0, 0, 1)
		udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: ip, Port: port})
		if err != nil {
			g.stop()
			return nil, fmt.Errorf("gossip relay: %w", err)
		}
		end := &gossipEnd{node: i, real: &net.UDPAddr{IP: ip, Port: bound[i]}, udp: udp}
		g.ends = append(g.ends, end)
		if end.tcp, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: ip, Port: port}); err != nil {
			g.stop()
			return nil, fmt.Errorf("gossip relay: %w", err)
		}
	}
	for _, end := range g.ends {
		g.running.Go(func() { g.packets(end) })
		g.running.Go(func() { g.streams(ctx, end) })
	}
	return g, nil
}

// packets forwards what is sent to end's node, from the relay's socket of the sender, so that answers come back there.
func (g *gossipRelay) packets(end *gossipEnd) {
	buffer := make([]byte, 64<<10)
	for {
		size, from, err := end.udp.ReadFromUDP(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // a refused packet of an earlier write, to a node that is down
		}
		for _, sender := range g.ends {
			if sender.real.Port == from.Port && !g.drop(sender.node, end.node) {
				_, _ = sender.udp.WriteToUDP(buffer[:size], end.real)
			}
		}
	}
}

func (g *gossipRelay) streams(ctx context.Context, end *gossipEnd) {
	for {
		down, err := end.tcp.AcceptTCP()
		if err != nil {
			return
		}
		g.running.Go(func() { g.stream(ctx, end, down) })
	}
}

func (g *gossipRelay) stream(ctx context.Context, end *gossipEnd, down *net.TCPConn) {
	defer func() { _ = down.Close() }() // nothing to lose
	stop := context.AfterFunc(ctx, func() { _ = down.Close() })
	defer stop()
	sender := g.owner(down.RemoteAddr())
	if g.drop(sender, end.node) {
		_, _ = io.Copy(io.Discard, down) // as if every packet were dropped: no answer, no refusal
		return
	}
	var dialer net.Dialer
	up, err := dialer.DialContext(ctx, "tcp", end.real.String())
	if err != nil {
		return
	}
	defer func() { _ = up.Close() }() // nothing to lose
	stopUp := context.AfterFunc(ctx, func() { _ = up.Close() })
	defer stopUp()
	back := make(chan struct{})
	go func() {
		defer close(back)
		pass(down, up)
	}()
	pass(up, down)
	<-back
}

// know tells the relay a node's process.
func (g *gossipRelay) know(node, pid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pids[node] = pid
}

func (g *gossipRelay) block(a, b int, blocked bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.blocked[[2]int{min(a, b), max(a, b)}] = blocked
}

// drop says whether what a sends to b is to be dropped, and counts it.
func (g *gossipRelay) drop(a, b int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	blocked := g.blocked[[2]int{min(a, b), max(a, b)}]
	if blocked {
		g.dropped++
	}
	return blocked
}

func (g *gossipRelay) drops() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dropped
}

func (g *gossipRelay) stop() {
	g.cancel()
	for _, end := range g.ends {
		_ = end.udp.Close()
		if end.tcp != nil {
			_ = end.tcp.Close()
		}
	}
	g.running.Wait()
}

// owner is the node whose process holds the socket with this address, -1 if none does. All nodes dial from 127.0.0.1,
// so that only the kernel's tables tell them apart.
func (g *gossipRelay) owner(addr net.Addr) int {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return -1
	}
	inode := socketInode(tcp.Port)
	g.mu.Lock()
	pids := append([]int(nil), g.pids...)
	g.mu.Unlock()
	for node, pid := range pids {
		dir := fmt.Sprintf("/proc/%d/fd", pid)
		entries, _ := os.ReadDir(dir) // a node that is down has none
		for _, entry := range entries {
			if link, err := os.Readlink(dir + "/" + entry.Name()); err == nil && link == "socket:["+inode+"]" {
				return node
			}
		}
	}
	return -1
}

// socketInode finds the TCP socket with this local port that is connected.
func socketInode(port int) string {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return ""
	}
	suffix := ":" + strings.ToUpper(fmt.Sprintf("%04x", port))
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) > 9 && strings.HasSuffix(fields[1], suffix) && fields[3] == "01" {
			if _, err := strconv.Atoi(fields[9]); err == nil {
				return fields[9]
			}
		}
	}
	return ""
}
