package conformance

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// visitor makes connections of every kind, by themselves of no test.
type visitor struct {
	s     *server
	idle  sync.WaitGroup // connections whose end is the server's to find
	slots chan struct{}
}

// kinds are the ways in which connections begin and end.
func (v *visitor) kinds() map[string]func(i int) error {
	return map[string]func(i int) error{
		"clean":         v.clean,
		"reset":         v.reset,
		"half-open":     v.halfOpen,
		"mid-handshake": v.midHandshake,
		"mid-upgrade":   v.midUpgrade,
		"upgraded":      v.upgraded,
		"polling":       v.polling,
	}
}

// link is one TCP connection of a visitor.
type link struct {
	*net.TCPConn
	br *bufio.Reader
}

// dial spreads the connections over local addresses, since ports are fewer than connections.
func (v *visitor) dial(i int) (*link, error) {
	from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+i%100))}
	conn, err := (&net.Dialer{LocalAddr: from, Timeout: deadline}).Dial("tcp", v.s.addr)
	if err != nil {
		return nil, err
	}
	l := &link{TCPConn: conn.(*net.TCPConn), br: bufio.NewReaderSize(conn, 1024)}
	return l, l.SetDeadline(time.Now().Add(deadline))
}

// reset ends the connection and leaves no port behind.
func (l *link) reset() {
	_ = l.SetLinger(0)
	_ = l.Close()
}

// request makes an HTTP request and returns the body of its answer.
func (l *link) request(method, path, body string) (string, error) {
	if _, err := fmt.Fprintf(l, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body); err != nil {
		return "", err
	}
	r := readReply(l.br)
	if r.err == nil && r.status != http.StatusOK {
		r.err = errors.New(r.body)
	}
	return r.body, r.err
}

// upgrade asks for a WebSocket.
func (l *link) upgrade(s *server, path string) error {
	if _, err := l.Write(s.upgradeRequest(path, "")); err != nil {
		return err
	}
	r := readReply(l.br)
	if r.err == nil && r.status != http.StatusSwitchingProtocols {
		r.err = errors.New(r.body)
	}
	return r.err
}

// expect reads messages until one begins with prefix.
func (l *link) expect(prefix string) error {
	for {
		f, err := readFrame(l.br)
		if err != nil || strings.HasPrefix(string(f.payload), prefix) {
			return err
		}
	}
}

// say sends a text and reads until the answer.
func (l *link) say(text, prefix string) error {
	if _, err := l.Write(textFrame(text)); err != nil {
		return err
	}
	return l.expect(prefix)
}

// connected is a Socket.IO connection over a WebSocket.
func (v *visitor) connected(i int) (*link, error) {
	l, err := v.dial(i)
	if err != nil {
		return nil, err
	}
	if err = l.upgrade(v.s, socketWS); err == nil {
		err = l.say("40", "40")
	}
	if err != nil {
		l.reset()
	}
	return l, err
}

func (v *visitor) clean(i int) error {
	l, err := v.connected(i)
	if err != nil {
		return err
	}
	defer l.reset()
	if _, err = l.Write(closeFrame(closeNormal)); err == nil {
		for err == nil { // the server closes first
			_, err = readFrame(l.br)
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			err = nil
		}
	}
	return err
}

func (v *visitor) reset(i int) error {
	l, err := v.connected(i)
	if err == nil {
		_, err = l.Write(textFrame(`42["count",1]`))
		l.reset()
	}
	return err
}

// halfOpen keeps the connection and says nothing more, as a machine does that has gone.
func (v *visitor) halfOpen(i int) error {
	l, err := v.connected(i)
	if err != nil {
		return err
	}
	v.slots <- struct{}{}
	v.idle.Go(func() {
		defer func() { l.reset(); <-v.slots }()
		for err == nil {
			_, err = readFrame(l.br)
		}
	})
	return nil
}

func (v *visitor) midHandshake(i int) error {
	l, err := v.dial(i)
	if err != nil {
		return err
	}
	defer l.reset()
	request := v.s.upgradeRequest(socketWS, "")
	switch i % 4 {
	case 0: // says nothing
	case 1:
		request = request[:len(request)/2]
		fallthrough
	case 2:
		_, err = l.Write(request)
	default: // as soon as it is granted
		err = l.upgrade(v.s, socketWS)
	}
	return err
}

// session opens a session over polling and returns its path.
func (l *link) session(path string) (string, error) {
	body, err := l.request(http.MethodGet, path, "")
	if err != nil {
		return "", err
	}
	_, rest, found := strings.Cut(body, `"sid":"`)
	sid, _, _ := strings.Cut(rest, `"`)
	if !found {
		return "", errors.New(body)
	}
	path += "&sid=" + sid
	_, err = l.request(http.MethodPost, path, "40")
	return path, err
}

// probed is a polling session with a WebSocket that has been probed.
func (v *visitor) probed(i int) (poll, ws *link, path string, err error) {
	if poll, err = v.dial(i); err != nil {
		return nil, nil, "", err
	}
	if path, err = poll.session(socketPoll); err == nil {
		if ws, err = v.dial(i); err == nil {
			if err = ws.upgrade(v.s, strings.Replace(path, "polling", "websocket", 1)); err == nil {
				err = ws.say("2probe", "3probe")
			}
			if err != nil {
				ws.reset()
			}
		}
	}
	if err != nil {
		poll.reset()
	}
	return poll, ws, path, err
}

func (v *visitor) midUpgrade(i int) error {
	poll, ws, path, err := v.probed(i)
	if err != nil {
		return err
	}
	defer poll.reset()
	defer ws.reset()
	switch i % 4 {
	case 0: // both are gone
	case 1:
		_, err = ws.Write(textFrame("5"))
	case 2:
		_, err = poll.request(http.MethodPost, path, "1")
	default:
		ws.reset()
		_, err = poll.request(http.MethodPost, path, "1")
	}
	return err
}

func (v *visitor) upgraded(i int) error {
	poll, ws, _, err := v.probed(i)
	if err != nil {
		return err
	}
	defer poll.reset()
	defer ws.reset()
	if _, err = ws.Write(textFrame("5")); err == nil {
		err = ws.say(`42["echo",1]`, `42["echo",1]`)
	}
	return err
}

func (v *visitor) polling(i int) error {
	l, err := v.dial(i)
	if err != nil {
		return err
	}
	defer l.reset()
	path, err := l.session(socketPoll)
	if err == nil && i%2 == 0 {
		_, err = l.request(http.MethodPost, path, "1")
	} else if err == nil { // gives up a poll
		_, err = fmt.Fprintf(l, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
	}
	return err
}

// usage is what leaks would add to.
type usage struct {
	goroutines, files int
	heap              int64
}

func used(t *testing.T) usage {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return usage{goroutines: runtime.NumGoroutine(), files: len(fds), heap: heap()}
}

// run makes n connections of each kind in turn and returns the failures by kind.
func (v *visitor) run(n int) map[string]int {
	kinds := v.kinds()
	names := make([]string, 0, len(kinds))
	for name := range kinds {
		names = append(names, name)
	}
	var mu sync.Mutex
	failed := map[string]int{}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range 32 {
		workers.Go(func() {
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				name := names[i%len(names)]
				if err := kinds[name](i); err != nil {
					mu.Lock()
					failed[name]++
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
	v.idle.Wait()
	return failed
}

func TestNothingLeaks(t *testing.T) {
	if *soakCount == 0 {
		t.Skip("only with -soak N (make soak)")
	}
	inProcess(t)
	s := start(t, func(set *setup) {
		set.PingInterval, set.PingTimeout = 500*time.Millisecond, 500*time.Millisecond
		set.UpgradeTimeout, set.ConnectTimeout = time.Second, 2*time.Second
		set.forget = true
	})
	v := &visitor{s: s, slots: make(chan struct{}, 1000)}
	settled := func() bool { return s.sessions() == 0 }
	v.run(min(*soakCount, 5000)) // fills pools and maps
	require.Eventually(t, settled, time.Minute, 50*time.Millisecond, "sessions are left of the first")
	s.client.CloseIdleConnections()
	before := used(t)
	began := time.Now()
	failed := v.run(*soakCount)
	t.Logf("%d connections in %v; failed by kind: %v", *soakCount, time.Since(began).Round(time.Second), failed)
	sum := 0
	for _, n := range failed {
		sum += n
	}
	require.Less(t, sum, *soakCount/20+1, "too few connections were what they were meant to be")
	var after usage
	back := func() bool {
		if !settled() {
			return false
		}
		s.client.CloseIdleConnections()
		after = used(t)
		return after.goroutines <= before.goroutines+5 && after.files <= before.files+5 && after.heap <= before.heap+4<<20
	}
	returned := assertEventually(back, time.Minute)
	t.Logf("goroutines %d -> %d, files %d -> %d, heap %.1f -> %.1f MiB", before.goroutines, after.goroutines, before.files, after.files,
		float64(before.heap)/(1<<20), float64(after.heap)/(1<<20))
	require.True(t, returned, "it does not return to the start; sessions left: %d", s.sessions())
}

func assertEventually(holds func() bool, within time.Duration) bool {
	for until := time.Now().Add(within); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		if holds() {
			return true
		}
	}
	return false
}
