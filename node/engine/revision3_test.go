package engine

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// oldRig serves revision 3, too, and echoes what comes.
func oldRig(t *testing.T, change func(*Config)) *rig {
	return newRig(t, func(c *Config) {
		c.AllowEIO3 = true
		if change != nil {
			change(c)
		}
	}, echo)
}

// oldPoll is a polling client of revision 3.
type oldPoll struct {
	t   *testing.T
	url string
}

func (r *rig) oldPoll(t *testing.T, more string) *oldPoll {
	t.Helper()
	p := &oldPoll{t: t, url: r.http.URL + "/?EIO=3&transport=polling" + more}
	_, _, body := p.do(http.MethodGet, "")
	require.Contains(t, body, `:0{"sid":"`)
	_, rest, _ := strings.Cut(body, `"sid":"`)
	sid, _, _ := strings.Cut(rest, `"`)
	p.url += "&sid=" + sid
	return p
}

// do makes a request and returns its status, the answer's type and its body.
func (p *oldPoll) do(method, body string) (status int, kind, got string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.url, strings.NewReader(body))
	require.NoError(p.t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(p.t, err)
	defer func() { _ = res.Body.Close() }()
	content, err := io.ReadAll(res.Body)
	require.NoError(p.t, err)
	return res.StatusCode, res.Header.Get("Content-Type"), string(content)
}

func (p *oldPoll) push(body string) {
	p.t.Helper()
	_, _, got := p.do(http.MethodPost, body)
	require.Equal(p.t, "ok", got)
}

func TestOldPayloads(t *testing.T) {
	r := oldRig(t, nil)
	for name, c := range map[string]struct{ query, sent, got string }{
		"text":             {"", "6:4hello", "6:4hello"},
		"nothing":          {"", "1:4", "1:4"},
		"several":          {"", "2:4a2:4b", "2:4a2:4b"},
		"UTF-16 units":     {"", "5:4é€😀", "5:4é€😀"},
		"digits":           {"", "5:41:222:4x", "5:41:222:4x"},
		"binary":           {"", "\x01\x03\xff\x04\xfe\x00", "\x01\x03\xff\x04\xfe\x00"},
		"binary as base64": {"&b64=1", "6:b4/gA=", "6:b4/gA="},
		"to one that can":  {"", "6:b4/gA=", "\x01\x03\xff\x04\xfe\x00"},
		"text and binary":  {"", "\x00\x05\xff4é€" + "x", ""},
		"mixed": {
			"", "\x00\x06\xff4\xc3\xa9\xe2\x82\xac\x01\x01\x02\xff\x04ABCDEFGHIJK",
			"\x00\x06\xff4\xc3\xa9\xe2\x82\xac\x01\x01\x02\xff\x04ABCDEFGHIJK",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := r.oldPoll(t, c.query)
			if c.got == "" {
				_, _, body := p.do(http.MethodPost, c.sent)
				require.Contains(t, body, "Bad request")
				return
			}
			p.push(c.sent)
			_, kind, body := p.do(http.MethodGet, "")
			for len(body) < len(c.got) {
				_, _, more := p.do(http.MethodGet, "")
				body += more
			}
			require.Equal(t, c.got, body)
			want := "text/plain; charset=UTF-8"
			if c.got[0] <= 1 {
				want = "application/octet-stream"
			}
			require.Equal(t, want, kind)
		})
	}
}

func TestMalformedOldPayloads(t *testing.T) {
	r := oldRig(t, nil)
	for _, body := range []string{
		"", "4hello", "x:4", ":4", "-1:4", "6:4", "0:", "2:4a3", "999999999:4", "2:7a", "2:4\xff", "3:b9A", "4:b4!!", "1:b",
		"\x00", "\x00\x01", "\x00\xff4", "\x00\x02\xff4", "\x02\x01\xff4", "\x01\x01\xff4", "\x01\x00\xff", "\x00\x0a\xff4", "\x00\x02\xff4\xff",
		"4a\x1e4b",
	} {
		p := r.oldPoll(t, "")
		status, _, _ := p.do(http.MethodPost, body)
		require.Equal(t, http.StatusBadRequest, status, "%q", body)
		status, _, _ = p.do(http.MethodGet, "")
		require.Equal(t, http.StatusBadRequest, status, "%q", body)
	}
	p := r.oldPoll(t, "")
	status, _, _ := p.do(http.MethodPost, strings.Repeat("1:6", maxPackets+1))
	require.Equal(t, http.StatusBadRequest, status)
}

func FuzzOldPayload(f *testing.F) {
	for _, seed := range []string{"6:4hello", "5:4é€😀", "\x01\x03\xff\x04\xfe\x00", "6:b4/gA=", "2:4a2:4b"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		cut := cutOldText
		if isOldBinary(payload) {
			cut = cutOldBinary
		}
		for len(payload) > 0 {
			packet, _, rest, ok := cut(payload)
			if !ok {
				return
			}
			require.Less(t, len(rest), len(payload))
			require.True(t, bytes.Contains(payload, packet))
			payload = rest
		}
	})
}

func TestOldClientsByWebSocket(t *testing.T) {
	r := oldRig(t, nil)
	conn, br, _, err := ws.Dial(t.Context(), "ws"+strings.TrimPrefix(r.http.URL, "http")+"/?EIO=3&transport=websocket")
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	src := io.Reader(conn)
	if br != nil {
		src = io.MultiReader(br, conn)
	}
	next := func() ws.Frame { return readOldFrame(t, src) }
	send := func(f ws.Frame) { require.NoError(t, ws.WriteFrame(conn, ws.MaskFrame(f))) }
	require.Contains(t, string(next().Payload), `0{"sid":"`)
	session := r.session()
	require.Equal(t, 3, session.Protocol())
	require.Equal(t, 3, session.Transport().Protocol())
	send(ws.NewTextFrame([]byte("2data")))
	require.Equal(t, "3data", string(next().Payload))
	send(ws.NewTextFrame([]byte("4hello")))
	require.Equal(t, "4hello", string(next().Payload))
	send(ws.NewBinaryFrame([]byte{4, 0xfe, 0}))
	require.Equal(t, []byte{4, 0xfe, 0}, next().Payload)
	send(ws.NewTextFrame([]byte("b4/gA=")))
	f := next()
	require.Equal(t, ws.OpBinary, f.Header.OpCode)
	require.Equal(t, []byte{4, 0xfe, 0}, f.Payload)
	shared := []byte{frameBinary, 1, 0xfe}
	require.True(t, session.WriteFrames([][]byte{newFrame(packetMessage, []byte("x")), shared}, false, false))
	require.Equal(t, "4x", string(next().Payload))
	require.Equal(t, []byte{4, 0xfe}, next().Payload)
	require.Equal(t, []byte{frameBinary, 1, 0xfe}, shared)
	send(ws.NewBinaryFrame([]byte{0xfe}))
	require.Equal(t, ws.OpClose, next().Header.OpCode)
}

func TestOldClientsUpgrade(t *testing.T) {
	r := oldRig(t, nil)
	p := r.oldPoll(t, "")
	url := "ws" + strings.TrimPrefix(strings.Replace(p.url, "polling", "websocket", 1), "http")
	conn, _, _, err := ws.Dial(t.Context(), url)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, ws.WriteFrame(conn, ws.MaskFrame(ws.NewTextFrame([]byte("2probe")))))
	require.Equal(t, "3probe", string(readOldFrame(t, conn).Payload))
	_, _, body := p.do(http.MethodGet, "")
	require.Equal(t, "1:6", body)
	for _, text := range []string{"5", "4hello"} {
		require.NoError(t, ws.WriteFrame(conn, ws.MaskFrame(ws.NewTextFrame([]byte(text)))))
	}
	require.Equal(t, "4hello", string(readOldFrame(t, conn).Payload))
}

func TestOldClientsThatDoNotPing(t *testing.T) {
	r := oldRig(t, func(c *Config) { c.PingInterval, c.PingTimeout = 100*time.Millisecond, 100*time.Millisecond })
	began := time.Now()
	p := r.oldPoll(t, "")
	_, _, body := p.do(http.MethodGet, "")
	require.Equal(t, "1:1", body, "no ping of the server's, and a close that the client understands")
	require.GreaterOrEqual(t, time.Since(began), 200*time.Millisecond)
	r.eventually(func() bool { return r.session().Why() == "ping_timeout" }, "it has timed out")
}

func TestOldClientsThatPing(t *testing.T) {
	r := oldRig(t, func(c *Config) { c.PingInterval, c.PingTimeout = 100*time.Millisecond, 400*time.Millisecond })
	p := r.oldPoll(t, "")
	for began := time.Now(); time.Since(began) < 1200*time.Millisecond; {
		p.push("1:2")
		_, _, body := p.do(http.MethodGet, "")
		require.Equal(t, "1:3", body)
	}
	p.push("1:3") // asked for by nobody
	p.push("1:1")
	status, _, _ := p.do(http.MethodGet, "")
	require.Equal(t, http.StatusBadRequest, status)
}

func TestRevisionsAreNotMixed(t *testing.T) {
	r := oldRig(t, nil)
	p := r.oldPoll(t, "")
	p.url = strings.Replace(p.url, "EIO=3", "EIO=4", 1)
	status, _, body := p.do(http.MethodGet, "")
	require.Equal(t, http.StatusBadRequest, status)
	require.JSONEq(t, `{"code":5,"message":"Unsupported protocol version"}`, body)
	off := newRig(t, nil, nil)
	p.url = off.http.URL + "/?EIO=3&transport=polling"
	status, _, body = p.do(http.MethodGet, "")
	require.Equal(t, http.StatusBadRequest, status)
	require.JSONEq(t, `{"code":5,"message":"Unsupported protocol version"}`, body)
}

func echo(s *Session) {
	_ = s.On("data", func(args ...any) { s.Send(args[0].(types.BufferInterface).Clone(), nil, nil) })
}

func readOldFrame(t *testing.T, from io.Reader) ws.Frame {
	t.Helper()
	head, err := ws.ReadHeader(from)
	require.NoError(t, err)
	frame := ws.Frame{Header: head, Payload: make([]byte, head.Length)}
	_, err = io.ReadFull(from, frame.Payload)
	require.NoError(t, err)
	return frame
}

func TestOldClientsThatPingOften(t *testing.T) {
	r := oldRig(t, nil)
	p := r.oldPoll(t, "")
	p.push("1:21:21:21:21:2")
	_, _, body := p.do(http.MethodGet, "")
	require.Equal(t, "1:31:31:31:31:3", body, "each is answered")
	require.Equal(t, "open", r.session().ReadyState())
}

func TestOldClientsThatPingAndTakeNothing(t *testing.T) {
	r := oldRig(t, func(c *Config) { c.PingInterval, c.PingTimeout = 40*time.Millisecond, patience })
	p := r.oldPoll(t, "")
	s := r.session()
	require.True(t, s.WriteFrames(message("x"), false, false))
	require.Eventually(t, func() bool {
		_, _, _ = p.do(http.MethodPost, "1:2")
		return s.Why() == "slow_consumer"
	}, patience, 5*time.Millisecond)
}

func TestOldClientsWithoutBinary(t *testing.T) {
	r := oldRig(t, nil)
	conn, br, _, err := ws.Dial(t.Context(), "ws"+strings.TrimPrefix(r.http.URL, "http")+"/?EIO=3&transport=websocket&b64=1")
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	src := io.Reader(conn)
	if br != nil {
		src = io.MultiReader(br, conn)
	}
	require.Contains(t, string(readOldFrame(t, src).Payload), `0{"sid":"`)
	require.NoError(t, ws.WriteFrame(conn, ws.MaskFrame(ws.NewTextFrame([]byte("b4/gA=")))))
	f := readOldFrame(t, src)
	require.Equal(t, ws.OpText, f.Header.OpCode)
	require.Equal(t, "b4/gA=", string(f.Payload))
}

func TestJSONPIsRefused(t *testing.T) {
	r := oldRig(t, nil)
	p := &oldPoll{t: t, url: r.http.URL + "/?EIO=3&transport=polling&j=0"}
	status, kind, body := p.do(http.MethodGet, "")
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(t, "application/json", kind)
	require.JSONEq(t, `{"code":0,"message":"Transport unknown"}`, body)
	p.url = strings.Replace(p.url, "EIO=3", "EIO=4", 1) // is a query of its own
	status, _, _ = p.do(http.MethodGet, "")
	require.Equal(t, http.StatusOK, status)
}

func TestOldMessagesAreTranslated(t *testing.T) {
	r := oldRig(t, func(c *Config) { c.Translate = func(m []byte) []byte { return append([]byte("<"), m...) } })
	p := r.oldPoll(t, "")
	p.push("2:4a")
	_, _, body := p.do(http.MethodGet, "")
	require.Equal(t, "3:4<a", body)
	query, _ := r.polling()
	r.post(query, "4a")
	require.Equal(t, "4a", r.poll(query), "and those of others are not")
}

// A payload of an old client's is malformed, or its messages are those that came; it never ends in a panic.
func FuzzOldSession(f *testing.F) {
	r := newRig(f, func(c *Config) { c.AllowEIO3 = true }, nil)
	for _, seed := range []string{"6:4hello", "5:4é€😀", "\x01\x03\xff\x04\xfe\x00", "6:b4/gA=", "1:21:31:6", "1:12:4a", "\x00\x02\xff42\x01\x01\xff\x04"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		s, messages, ok := receiveFuzzed(t, r, payload, true)
		if messages > len(payload)/3 {
			t.Fatalf("%d messages of %d bytes", messages, len(payload))
		}
		if ok && len(payload) < 3 {
			t.Fatalf("%q is malformed", payload)
		}
		s.mu.Lock()
		for range 4096 {
			if s.queue.empty() {
				break
			}
			if len(s.takeOldPolled()) == 0 {
				t.Error("what waits is not taken")
			}
		}
		s.mu.Unlock()
		s.end(reasonForced, nil)
	})
}
