package forward

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// proves answers another node's question as p.
func (p *place) proves(w io.Writer, r *http.Request) {
	_, answer, err := p.forward.asker.check(r.Header[AskHeader], sessionOf(r.URL.RawQuery))
	if err == nil {
		_, _ = fmt.Fprintf(w, "HTTP/1.1 204 No Content\r\n%s: %s\r\n\r\n", AskHeader, answer)
	}
}

// TestNothingIsPassedOnToWhoIsNotTheOwner: its address may be another program's by now.
func TestNothingIsPassedOnToWhoIsNotTheOwner(t *testing.T) {
	c := newCluster()
	a, b, other := c.start(t, "a", change{}), c.start(t, "b", change{}), c.start(t, "other", change{})
	sid, s := b.open()
	var got atomic.Value
	answers := map[string]http.HandlerFunc{
		"another program":     func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "4owned") },
		"one that says it is": func(w http.ResponseWriter, r *http.Request) { w.Header()[AskHeader] = r.Header[AskHeader] },
		"one that repeats another's answer": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(AskHeader, a.forward.asker.proof("answered", sid, "prove;AAAA;AAAA"))
		},
		"one that asks another node": func(w http.ResponseWriter, r *http.Request) {
			_, header, _ := other.ask(r.Method, other.http.URL+r.RequestURI, "", http.Header{AskHeader: r.Header[AskHeader]})
			w.Header()[AskHeader] = header[AskHeader]
		},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			impostor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Cookie") != "" || r.Method != http.MethodHead {
					got.Store(r.Method)
				}
				answer(w, r)
			}))
			defer impostor.Close()
			c.set("b", strings.TrimPrefix(impostor.URL, "http://"))
			before := a.forward.Stats().Forwarded["foreign"]
			status, _, body := a.ask(http.MethodPost, a.url(sid), "4secret", http.Header{"Cookie": {"secret"}})
			require.Equal(t, http.StatusBadRequest, status)
			require.JSONEq(t, refused, body)
			require.Equal(t, before+1, a.forward.Stats().Forwarded["foreign"])
			require.Nil(t, got.Load(), "nothing of the request reaches it")
		})
	}
	c.set("b", b.address())
	status, _, _ := a.ask(http.MethodPost, a.url(sid), "4x", nil)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "open", s.ReadyState())
}

func TestOnlyNodesOfTheClusterAreAnswered(t *testing.T) {
	a, b := two(t, change{})
	sid, _ := b.open()
	foreign, err := newAsker([]byte("another"))
	require.NoError(t, err)
	good, _ := a.forward.asker.ask(askProve, sid)
	ofAnother, _ := foreign.ask(askProve, sid)
	for name, values := range map[string][]string{
		"another secret": {ofAnother}, "empty": {""}, "two": {good, good}, "cut off": {good[:len(good)-1]}, "too long": {good + strings.Repeat(";", 200)},
		"another question": {strings.Replace(good, askProve, askAnswer, 1)},
	} {
		status, header, _ := b.ask(http.MethodHead, b.url(sid), "", http.Header{AskHeader: values})
		require.Equal(t, http.StatusMisdirectedRequest, status, name)
		require.Empty(t, header[AskHeader], name)
	}
	require.EqualValues(t, 6, b.forward.Stats().Received["forged"])
	require.Empty(t, b.seen)
	status, header, _ := b.ask(http.MethodHead, b.url(sid), "", http.Header{AskHeader: {good}})
	require.Equal(t, http.StatusNoContent, status)
	require.NotEmpty(t, header[AskHeader])
	status, _, _ = a.ask(http.MethodHead, a.url(sid), "", http.Header{AskHeader: {good}})
	require.Equal(t, http.StatusMisdirectedRequest, status, "it is not its session")
}

// TestOwnerThatProvesNothing neither answers nor goes.
func TestOwnerThatProvesNothing(t *testing.T) {
	c := newCluster()
	a := c.start(t, "a", change{forward: func(c *Config) { c.DialTimeout = 50 * time.Millisecond }})
	b := c.start(t, "b", change{})
	sid, _ := b.open()
	l, err := net.Listen("tcp", "127.0.0.1:0") // its backlog takes the connection
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	c.set("b", l.Addr().String())
	status, _, _ := a.ask(http.MethodGet, a.url(sid), "", nil)
	require.Equal(t, http.StatusBadRequest, status)
	require.EqualValues(t, 1, a.forward.Stats().Forwarded["unreachable"])
}

// TestOwnerThatTakesNothingIsGivenUp: a client must not fill a node's memory, nor keep its place, by what it sends another.
func TestOwnerThatTakesNothingIsGivenUp(t *testing.T) {
	c := newCluster()
	a, b := c.start(t, "a", change{forward: func(c *Config) { c.StallTimeout = 100 * time.Millisecond }}), c.start(t, "b", change{})
	sid, _ := b.open()
	held := make(chan net.Conn, 1)
	c.start(t, "b", change{behind: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			held <- conn // and reads nothing
		}
	})})
	conn, err := net.Dial("tcp", a.address())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "GET /?EIO=4&transport=websocket&sid="+sid+" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	_ = res.Body.Close()
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	defer func() { _ = (<-held).Close() }()
	require.NoError(t, conn.SetWriteDeadline(time.Now().Add(patience)))
	for chunk := make([]byte, 1<<20); err == nil; { // until all buffers are full, and then it is cut
		_, err = conn.Write(chunk)
	}
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	require.Eventually(t, func() bool { return a.forward.Stats().WebSockets == 0 }, patience, time.Millisecond)
}
