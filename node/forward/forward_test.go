package forward

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/node/engine"
)

func two(t testing.TB, ch change) (a, b *place) {
	c := newCluster()
	return c.start(t, "a", ch), c.start(t, "b", ch)
}

func TestRequestsReachTheirSession(t *testing.T) {
	a, b := two(t, change{})
	sid, s := b.open()
	status, _, body := a.ask(http.MethodPost, a.url(sid), "4hello", http.Header{"Cookie": {"k=v"}})
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "ok", body)
	at := <-b.seen
	require.Equal(t, "k=v", at.Header.Get("Cookie"))
	require.NotContains(t, at.Header, Header, "the mark goes no further")
	send(s, "hi")
	status, _, body = a.ask(http.MethodGet, a.url(sid), "", nil)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "4hi", body)
	require.EqualValues(t, 2, a.forward.Stats().Forwarded["answered"])
	require.EqualValues(t, 2, b.forward.Stats().Received["accepted"])
	require.Zero(t, b.forward.Stats().Forwarded["answered"])
	require.Empty(t, a.seen)
}

func TestTheOwnerSeesTheClientsAddress(t *testing.T) {
	a, b := two(t, change{})
	sid, _ := b.open()
	var peer string
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.url(sid), strings.NewReader("4x"))
	require.NoError(t, err)
	r.Header["X-Forwarded-For"] = []string{"203.0.113.9", "198.51.100.1"}
	r.Header.Set("X-Forwarded-Proto", "https")
	r.Host = "gateway.example"
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, to)
		if err == nil {
			peer = conn.LocalAddr().String()
		}
		return conn, err
	}}}
	defer client.CloseIdleConnections()
	res, err := client.Do(r)
	require.NoError(t, err)
	_ = res.Body.Close()
	at := <-b.seen
	require.Equal(t, peer, at.RemoteAddr)
	require.Equal(t, []string{"203.0.113.9", "198.51.100.1"}, at.Header["X-Forwarded-For"], "as the load balancer made it")
	require.Equal(t, "https", at.Header.Get("X-Forwarded-Proto"))
	require.Equal(t, "gateway.example", at.Host)
}

func TestForgedHopIsNotBelieved(t *testing.T) {
	a, b := two(t, change{})
	sid, _ := b.open()
	for _, mark := range []string{"", "1;203.0.113.9:1;AAAA", strings.Repeat(";", 200)} {
		status, _, body := a.ask(http.MethodPost, a.url(sid), "4x", http.Header{Header: {mark}})
		require.Equal(t, http.StatusBadRequest, status)
		require.JSONEq(t, refused, body, "it is not passed on")
		at := <-a.seen
		require.True(t, strings.HasPrefix(at.RemoteAddr, "127.0.0.1:"))
		require.NotContains(t, at.Header, Header)
	}
	require.EqualValues(t, 3, a.forward.Stats().Received["forged"])
	require.Empty(t, b.seen)
}

func TestStaleHopIsServedAndNotBelieved(t *testing.T) {
	a, b := two(t, change{forward: func(c *Config) { c.MarkAge = time.Nanosecond }})
	sid, _ := b.open()
	status, _, body := a.ask(http.MethodPost, a.url(sid), "4x", nil)
	require.Equal(t, http.StatusOK, status, body)
	require.EqualValues(t, 1, b.forward.Stats().Received["stale"])
}

func TestLoopsEndAtOnce(t *testing.T) {
	for name, age := range map[string]time.Duration{"clocks agree": time.Minute, "clocks differ": time.Nanosecond} {
		t.Run(name, func(t *testing.T) {
			c := newCluster()
			ch := change{forward: func(c *Config) { c.MarkAge = age }}
			a, b, gone := c.start(t, "a", ch), c.start(t, "b", ch), c.start(t, "gone", ch)
			sid, _ := gone.open()
			gone.stop()
			c.set("gone", b.address()) // which has the address now, and would pass it back to itself
			status, _, body := a.ask(http.MethodGet, a.url(sid), "", nil)
			require.Equal(t, http.StatusBadRequest, status)
			require.JSONEq(t, refused, body)
			require.Empty(t, b.seen, "it has not proved to be the session's node")
			require.EqualValues(t, 1, a.forward.Stats().Forwarded["foreign"])
			// What bears a mark is not passed on whoever it is for.
			r := httptest.NewRequest(http.MethodGet, b.url(sid), nil)
			r.RequestURI = r.URL.RequestURI()
			mark := a.forward.marker.mark(r.Method, r.RequestURI, r.RemoteAddr, time.Now())
			status, _, body = b.ask(http.MethodGet, b.url(sid), "", http.Header{Header: {mark}})
			require.Equal(t, http.StatusBadRequest, status)
			require.JSONEq(t, refused, body)
			require.Len(t, b.seen, 1)
			for what, n := range b.forward.Stats().Forwarded {
				require.Zero(t, n, what)
			}
		})
	}
}

func TestForgedSidIsNotLookedUp(t *testing.T) {
	a, b := two(t, change{})
	sid, _ := b.open()
	for _, bad := range []string{sid[:39] + "!", strings.Repeat("A", 40), sid[:20], "127.0.0.1:80", sid + "A", "%00"} {
		status, _, _ := a.ask(http.MethodGet, a.url(bad), "", nil)
		require.Equal(t, http.StatusBadRequest, status)
	}
	for what, n := range a.forward.Stats().Forwarded {
		require.Zero(t, n, what)
	}
	require.Empty(t, b.seen)
}

func TestDeadOwners(t *testing.T) {
	c := newCluster()
	a, gone := c.start(t, "a", change{}), c.start(t, "gone", change{})
	sid, _ := gone.open()
	gone.stop()
	for _, tc := range []struct{ address, outcome string }{
		{"", "unknown"}, {"nonsense", "unknown"}, {"http://evil/:80", "unknown"}, {closedAddress(t), "unreachable"},
	} {
		before := a.forward.Stats().Forwarded[tc.outcome]
		c.set("gone", tc.address)
		began := time.Now()
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			status, header, body := a.ask(method, a.url(sid), "4x", http.Header{"Origin": {origin}})
			require.Equal(t, http.StatusBadRequest, status)
			require.JSONEq(t, refused, body)
			require.Equal(t, []string{origin}, header["Access-Control-Allow-Origin"])
		}
		require.Less(t, time.Since(began), 3*time.Second)
		require.Equal(t, before+2, a.forward.Stats().Forwarded[tc.outcome], tc.address)
	}
}

// TestAPollIsNeverRepeated: the answer that was lost may have held events.
func TestAPollIsNeverRepeated(t *testing.T) {
	c := newCluster()
	a, b := c.start(t, "a", change{}), c.start(t, "b", change{})
	sid, _ := b.open()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var asked atomic.Int32
	done := make(chan struct{})
	go func() { // answers the first request of a connection, and breaks it at the second
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			from := bufio.NewReader(conn)
			for i := range 2 {
				r, err := http.ReadRequest(from)
				if err == nil && r.Header.Get(AskHeader) != "" {
					b.proves(conn, r)
					_, err = http.ReadRequest(from)
				}
				if err != nil {
					break
				}
				asked.Add(1)
				if i == 0 {
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n6")
				}
			}
			_ = conn.Close()
		}
	}()
	c.set("b", l.Addr().String())
	status, _, _ := a.ask(http.MethodGet, a.url(sid), "", nil)
	require.Equal(t, http.StatusOK, status)
	status, _, body := a.ask(http.MethodGet, a.url(sid), "", nil)
	require.Equal(t, http.StatusBadRequest, status)
	require.JSONEq(t, refused, body)
	require.EqualValues(t, 2, asked.Load())
	require.EqualValues(t, 1, a.forward.Stats().Forwarded["broken"])
	_ = l.Close()
	<-done
}

func TestSlowOwner(t *testing.T) {
	release := make(chan struct{})
	c := newCluster()
	slow := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })
	a := c.start(t, "a", change{forward: func(c *Config) { c.AnswerTimeout = 50 * time.Millisecond }})
	b := c.start(t, "b", change{})
	sid, _ := b.open()
	c.start(t, "b", change{behind: slow}) // in its place
	status, _, body := a.ask(http.MethodGet, a.url(sid), "", nil)
	close(release)
	require.Equal(t, http.StatusBadRequest, status)
	require.JSONEq(t, refused, body)
	require.EqualValues(t, 1, a.forward.Stats().Forwarded["broken"])
}

func TestPayloadLimits(t *testing.T) {
	a, b := two(t, change{forward: func(c *Config) { c.MaxPayload = 100 }, engine: func(c *engine.Config) { c.MaxPayload = 100 }})
	sid, _ := b.open()
	status, _, _ := a.ask(http.MethodPost, a.url(sid), "4"+strings.Repeat("x", 99), nil)
	require.Equal(t, http.StatusOK, status)
	<-b.seen
	for _, header := range []http.Header{nil, {"Transfer-Encoding": {"chunked"}}} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.url(sid), strings.NewReader("4"+strings.Repeat("x", 5000)))
		require.NoError(t, err)
		if header != nil {
			r.ContentLength = -1
		}
		res, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		_ = res.Body.Close()
		require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
		if at := <-b.seen; header == nil {
			require.EqualValues(t, 101, at.ContentLength, "no more than shows that it is too much")
		}
	}
}

func TestCORSHeadersComeOnce(t *testing.T) {
	a, b := two(t, change{})
	sid, _ := b.open()
	status, header, _ := a.ask(http.MethodPost, a.url(sid), "4x", http.Header{"Origin": {origin}})
	require.Equal(t, http.StatusOK, status)
	for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Vary", "Content-Type", "Date"} {
		require.Len(t, header[name], 1, name)
	}
	status, header, _ = a.ask(http.MethodOptions, a.url(sid), "", http.Header{"Origin": {origin}})
	require.Equal(t, http.StatusNoContent, status)
	require.Equal(t, []string{origin}, header["Access-Control-Allow-Origin"])
	status, _, _ = a.ask(http.MethodPost, a.url(sid), "4x", http.Header{"Origin": {"https://evil.example"}})
	require.Equal(t, http.StatusForbidden, status)
}

func (p *place) dial(sid string) net.Conn {
	conn, _, _, err := ws.Dial(p.t.Context(), "ws://"+p.address()+"/?EIO=4&transport=websocket&sid="+sid)
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(p.t, conn.SetDeadline(time.Now().Add(patience)))
	return conn
}

// upgrade changes a session of b's to a WebSocket through p.
func (p *place) upgrade(sid string) net.Conn {
	conn := p.dial(sid)
	require.NoError(p.t, wsutil.WriteClientText(conn, []byte("2probe")))
	text, err := wsutil.ReadServerText(conn)
	require.NoError(p.t, err)
	require.Equal(p.t, "3probe", string(text))
	require.NoError(p.t, wsutil.WriteClientText(conn, []byte("5")))
	return conn
}

func TestWebSocketThroughTheHop(t *testing.T) {
	a, b := two(t, change{})
	sid, s := b.open()
	conn := a.upgrade(sid)
	require.Eventually(t, s.Upgraded, patience, time.Millisecond)
	long := strings.Repeat("x", 50_000)
	send(s, long)
	text, err := wsutil.ReadServerText(conn)
	require.NoError(t, err)
	require.Equal(t, "4"+long, string(text))
	require.Equal(t, 1, a.forward.Stats().WebSockets)
	require.NoError(t, conn.Close())
	require.Eventually(t, func() bool { return a.forward.Stats().WebSockets == 0 && s.ReadyState() == "closed" }, patience, time.Millisecond)
}

func TestDrainCutsWebSockets(t *testing.T) {
	a, b := two(t, change{})
	var conns []net.Conn
	for range 3 {
		sid, _ := b.open()
		conns = append(conns, a.upgrade(sid))
	}
	a.forward.Drain(t.Context(), 30*time.Millisecond)
	for _, conn := range conns {
		_, err := wsutil.ReadServerText(conn)
		require.Error(t, err)
	}
	require.Eventually(t, func() bool { return a.forward.Stats().WebSockets == 0 }, patience, time.Millisecond)
	// Others' sessions are served to the end, by polling.
	sid, _ := b.open()
	upgrade := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	refusal, _, _ := a.ask(http.MethodGet, strings.Replace(a.url(sid), "polling", "websocket", 1), "", upgrade)
	require.Equal(t, http.StatusBadRequest, refusal)
	status, _, _ := a.ask(http.MethodPost, a.url(sid), "4x", nil)
	require.Equal(t, http.StatusOK, status)
}

func TestStalledWebSocketClientIsGivenUp(t *testing.T) {
	a, b := two(t, change{forward: func(c *Config) { c.StallTimeout = 100 * time.Millisecond }, engine: func(c *engine.Config) { c.MaxQueueBytes = 64 << 20 }})
	sid, s := b.open()
	a.upgrade(sid) // and reads nothing
	require.Eventually(t, s.Upgraded, patience, time.Millisecond)
	chunk := strings.Repeat("x", 1<<20)
	for range 32 {
		send(s, chunk)
	}
	require.Eventually(t, func() bool { return a.forward.Stats().WebSockets == 0 }, patience, 5*time.Millisecond)
}

// TestOwnerThatTakesNoNoteOfTheClientsEnd: its host may be lost.
func TestOwnerThatTakesNoNoteOfTheClientsEnd(t *testing.T) {
	c := newCluster()
	a := c.start(t, "a", change{forward: func(c *Config) { c.StallTimeout = 50 * time.Millisecond }})
	b := c.start(t, "b", change{})
	sid, _ := b.open()
	held := make(chan net.Conn, 1)
	c.start(t, "b", change{behind: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			held <- conn
		}
	})})
	conn, err := net.Dial("tcp", a.address())
	require.NoError(t, err)
	_, err = io.WriteString(conn, "GET /?EIO=4&transport=websocket&sid="+sid+" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	require.NoError(t, err)
	defer func() { _ = (<-held).Close() }()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil) // else what is unread would reset the connection
	require.NoError(t, err)
	_ = res.Body.Close()
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	require.NoError(t, conn.Close())
	require.Eventually(t, func() bool { return a.forward.Stats().WebSockets == 0 }, patience, time.Millisecond)
}

func TestPlacesAreBounded(t *testing.T) {
	a, b := two(t, change{forward: func(c *Config) { c.MaxPolls, c.MaxWebSockets = 1, 1 }})
	sid, s := b.open()
	polled := make(chan string, 1)
	go func() {
		_, _, body := a.ask(http.MethodGet, a.url(sid), "", nil)
		polled <- body
	}()
	require.Eventually(t, func() bool { return a.forward.Stats().Polls == 1 }, patience, time.Millisecond)
	status, _, _ := a.ask(http.MethodPost, a.url(sid), "4x", nil)
	require.Equal(t, http.StatusBadRequest, status)
	require.EqualValues(t, 1, a.forward.Stats().Forwarded["busy"])
	send(s, "hi")
	require.Equal(t, "4hi", <-polled)
	require.Eventually(t, func() bool { return a.forward.Stats().Polls == 0 }, patience, time.Millisecond)
}

func TestClientThatLeavesEndsItsPoll(t *testing.T) {
	a, b := two(t, change{})
	sid, s := b.open()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url(sid), nil)
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if res, err := http.DefaultClient.Do(r); err == nil {
			_ = res.Body.Close()
		}
	}()
	<-b.seen
	cancel()
	<-done
	require.Eventually(t, func() bool { return s.ReadyState() == "closed" && a.forward.Stats().Forwarded["abandoned"] == 1 }, patience, time.Millisecond)
}

// TestDrainShortensPolls: no session ends by it, and nothing is lost.
func TestDrainShortensPolls(t *testing.T) {
	a, b := two(t, change{})
	type polled struct {
		sid  string
		s    *engine.Session
		body chan string
	}
	all := make([]polled, 5)
	for i := range all {
		sid, s := b.open()
		all[i] = polled{sid, s, make(chan string, 1)}
		go func() {
			_, _, body := a.ask(http.MethodGet, a.url(sid), "", nil)
			all[i].body <- body
		}()
		require.Eventually(t, func() bool { return s.Transport().Writable() }, patience, time.Millisecond, "it waits")
	}
	began := time.Now()
	a.forward.Drain(t.Context(), patience)
	require.Less(t, time.Since(began), patience/2, "few do not take long")
	for _, p := range all {
		require.Equal(t, "6", <-p.body)
	}
	require.Zero(t, a.forward.Stats().Polls)
	for _, p := range all {
		send(p.s, "hi")
		status, _, body := a.ask(http.MethodGet, a.url(p.sid), "", nil)
		require.Equal(t, http.StatusOK, status, "what still comes is passed on")
		require.Equal(t, "4hi", body)
		require.Equal(t, "open", p.s.ReadyState())
	}
}

// TestDrainShortensPollsThatComeLater: the load balancer needs its time to look elsewhere.
func TestDrainShortensPollsThatComeLater(t *testing.T) {
	a, b := two(t, change{})
	first, s := b.open()
	second, later := b.open()
	bodies := make(chan string, 2)
	poll := func(sid string, s *engine.Session) {
		go func() {
			_, _, body := a.ask(http.MethodGet, a.url(sid), "", nil)
			bodies <- body
		}()
		require.Eventually(t, func() bool { return s.Transport().Writable() }, patience, time.Millisecond, "it waits")
	}
	poll(first, s)
	poll(second, later)
	s.Close(true)                                                                           // before its turn, as it may be
	other := &passage{r: httptest.NewRequest(http.MethodPost, "/", nil), began: time.Now()} // so that it lasts
	require.True(t, a.forward.enter(other, nil))
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		a.forward.Drain(t.Context(), patience)
	}()
	require.Equal(t, "1", <-bodies)
	require.Equal(t, "6", <-bodies)
	poll(second, later)
	require.Equal(t, "6", <-bodies, "and again")
	a.forward.leave(other)
	<-drained
	require.Equal(t, "open", later.ReadyState())
}

func TestDrainIsBounded(t *testing.T) {
	release := make(chan struct{})
	c := newCluster()
	a, b := c.start(t, "a", change{}), c.start(t, "b", change{})
	sid, _ := b.open()
	begun := make(chan struct{})
	c.start(t, "b", change{behind: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(begun); <-release })})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _, _ = a.ask(http.MethodGet, a.url(sid), "", nil)
	}()
	<-begun
	began := time.Now()
	a.forward.Drain(t.Context(), 100*time.Millisecond)
	require.Less(t, time.Since(began), patience/2)
	close(release)
	<-done
}

func TestStoppingEndsThePollsThatGoThrough(t *testing.T) {
	a, b := two(t, change{})
	sid, s := b.open()
	answered := make(chan int)
	go func() {
		status, _, _ := a.ask(http.MethodGet, a.url(sid), "", nil)
		answered <- status
	}()
	<-b.seen
	a.forward.cancel() // as Run does
	require.Equal(t, http.StatusBadRequest, <-answered)
	require.EqualValues(t, 1, a.forward.Stats().Forwarded["stopped"])
	require.Zero(t, a.forward.Stats().Forwarded["broken"])
	require.Eventually(t, func() bool { return s.ReadyState() == "closed" }, patience, time.Millisecond)
}

func TestOffPassesNothingOn(t *testing.T) {
	c := newCluster()
	a, b := c.start(t, "a", change{forward: func(c *Config) { c.Off = true }}), c.start(t, "b", change{})
	sid, _ := b.open()
	status, _, _ := a.ask(http.MethodPost, a.url(sid), "4x", nil)
	require.Equal(t, http.StatusBadRequest, status)
	sid, _ = a.open()
	status, _, _ = b.ask(http.MethodPost, b.url(sid), "4x", nil)
	require.Equal(t, http.StatusOK, status, "what others pass on is served")
}

func TestConfig(t *testing.T) {
	require.ErrorContains(t, DefaultConfig().Validate(), "Secret")
	require.Len(t, strings.Split(Config{}.Validate().Error(), "\n"), 10)
	_, err := New(DefaultConfig(), Deps{})
	require.Error(t, err)
}
