package attack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	// patience bounds each step of an attack that the gateway should answer at once.
	patience = 3 * time.Second
	// glance is how long an attacker looks for an answer that need not come.
	glance = 50 * time.Millisecond
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 1 << 20
)

// assault is one attack. It is used by one goroutine.
type assault struct {
	ctx      context.Context
	campaign *campaign
	n        int
	kind     kind
	rng      *rand.Rand
	links    []*link
}

// leave hangs up: no port is left in TIME_WAIT, and the gateway sees a reset.
func (a *assault) leave() {
	for _, l := range a.links {
		l.reset()
	}
}

// link is one connection.
type link struct {
	*net.TCPConn

	br *bufio.Reader
}

func (l *link) reset() {
	_ = l.SetLinger(0)
	_ = l.Close()
}

// source spreads attackers over addresses, since ports are fewer than connections.
func source(n int) *net.TCPAddr {
	return &net.TCPAddr{IP: net.IPv4(127, 66, byte(n/200%200), byte(1+n%200))}
}

// dial opens a connection, which leave ends; nil if there is none to be had.
func (a *assault) dial() *link {
	l := dial(a.ctx, a.campaign.cfg.Addr, source(a.n), 0)
	if l != nil {
		a.links = append(a.links, l)
	}
	return l
}

// dial opens a connection from an address, with a receive buffer of some bytes, 0: the usual one; nil if there is none
// to be had.
func dial(ctx context.Context, addr string, from *net.TCPAddr, buffer int) *link {
	conn, err := (&net.Dialer{LocalAddr: from, Timeout: patience}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		_ = conn.Close()
		return nil
	}
	if buffer > 0 {
		_ = tcp.SetReadBuffer(buffer)
	}
	_ = tcp.SetDeadline(time.Now().Add(patience))
	return &link{TCPConn: tcp, br: bufio.NewReaderSize(tcp, 2048)}
}

// send writes what it can.
func (l *link) send(b []byte) error {
	_ = l.SetWriteDeadline(time.Now().Add(patience))
	_, err := l.Write(b)
	return err
}

// answer reads an HTTP answer; status 0 if none comes.
func (l *link) answer() (status int, body string) {
	_ = l.SetReadDeadline(time.Now().Add(patience))
	res, err := http.ReadResponse(l.br, nil)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusSwitchingProtocols {
		return res.StatusCode, ""
	}
	all, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return res.StatusCode, string(all)
}

// outcomeOf judges an answer; without one, whether the connection is still there.
func (l *link) outcomeOf(status int) Outcome {
	switch {
	case status == 0:
		return l.outcome(glance)
	case status == http.StatusInternalServerError:
		return Failed
	case status >= http.StatusBadRequest:
		return Refused
	default:
		return Kept
	}
}

// outcome reads on and says whether the gateway ends the connection within the time.
func (l *link) outcome(within time.Duration) Outcome {
	_ = l.SetReadDeadline(time.Now().Add(within))
	_, err := io.Copy(io.Discard, l.br)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return Kept
	}
	return Closed
}

const (
	pollPath = "/socket.io/?EIO=4&transport=polling"
	wsPath   = "/socket.io/?EIO=4&transport=websocket"
)

// request is an HTTP/1.1 request.
func request(method, path, headers, body string) []byte {
	length := ""
	if body != "" || method == http.MethodPost {
		length = fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return []byte(method + " " + path + " HTTP/1.1\r\nHost: gateway\r\n" + length + headers + "\r\n" + body)
}

const upgradeHeaders = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// ask sends a request on a new connection and judges the answer.
func (a *assault) ask(raw []byte) Outcome {
	l := a.dial()
	if l == nil {
		return Unreached
	}
	_ = l.send(raw) // a gateway that has heard enough may have closed, and answered
	status, _ := l.answer()
	return l.outcomeOf(status)
}

// polled begins a session over long-polling; path is where it goes on.
func (a *assault) polled() (l *link, path string) {
	if l = a.dial(); l == nil || l.send(request(http.MethodGet, pollPath, "", "")) != nil {
		return nil, ""
	}
	_, body := l.answer()
	_, rest, _ := strings.Cut(body, `"sid":"`)
	sid, _, found := strings.Cut(rest, `"`)
	if !found {
		return nil, ""
	}
	return l, pollPath + "&sid=" + sid
}

// opened begins a session over WebSocket, with nothing read of it but the answer to the upgrade.
func (a *assault) opened() *link {
	l := a.dial()
	if l == nil || !l.upgrade(wsPath) {
		return nil
	}
	return l
}

func (l *link) upgrade(path string) bool {
	if l.send(request(http.MethodGet, path, upgradeHeaders, "")) != nil {
		return false
	}
	status, _ := l.answer()
	return status == http.StatusSwitchingProtocols
}

// user is one of the hostile users, with a valid token.
func (a *assault) user() string { return a.campaign.cfg.Token(a.rng.IntN(a.campaign.cfg.Users)) }

// joined is a socket of a hostile user.
func (a *assault) joined() *link {
	l := a.opened()
	if l == nil || l.send(a.text(`40{"token":"`+a.user()+`"}`)) != nil {
		return nil
	}
	if m, err := l.expect("40", "44"); err != nil || strings.HasPrefix(m, "44") {
		return nil
	}
	return l
}

// expect reads messages until one begins with one of the prefixes.
func (l *link) expect(prefixes ...string) (string, error) {
	_ = l.SetReadDeadline(time.Now().Add(patience))
	for {
		_, m, err := readFrame(l.br)
		if err != nil {
			return "", err
		}
		for _, p := range prefixes {
			if strings.HasPrefix(m, p) {
				return m, nil
			}
		}
	}
}

// hold keeps open what the attack has, calling drip until that fails or time is up; not at all if too many hold
// already.
func (a *assault) hold(drip func() error) Outcome {
	select {
	case a.campaign.slots <- struct{}{}:
	default:
		return Kept
	}
	defer func() { <-a.campaign.slots }()
	end := time.NewTimer(a.campaign.cfg.Hold)
	defer end.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-a.ctx.Done():
			return Kept
		case <-end.C:
			return Kept
		case <-tick.C:
		}
		if err := drip(); err != nil {
			return Closed
		}
	}
}
