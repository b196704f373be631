package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	oldPollPath = "/engine.io/?EIO=3&transport=polling"
	oldWS       = "/engine.io/?EIO=3&transport=websocket"
)

func old(set *setup) { set.AllowEIO3 = true }

// oldOpen opens a session of revision 3 over polling.
func (s *server) oldOpen(path string) (*poller, handshake) {
	s.t.Helper()
	p := &poller{server: s, path: path}
	length, packet, found := strings.Cut(p.poll(), ":")
	require.True(s.t, found)
	require.Equal(s.t, strconv.Itoa(len(packet)), length)
	h := opened(s.t, packet)
	p.sid = h.SID
	p.path += "&sid=" + h.SID
	return p, h
}

func TestOldHandshake(t *testing.T) {
	s := start(t, old)
	_, h := s.oldOpen(oldPollPath)
	requireLimits(t, s, h)
	require.Equal(t, []string{"websocket"}, h.Upgrades)
	w := s.dialed(oldWS)
	requireLimits(t, s, opened(t, w.text()))
}

func TestOldVersionsByDefault(t *testing.T) {
	s := start(t, nil)
	r := s.do(context.Background(), http.MethodGet, oldPollPath, "", nil)
	require.NoError(t, r.err)
	require.Equal(t, http.StatusBadRequest, r.status)
	require.JSONEq(t, `{"code":5,"message":"Unsupported protocol version"}`, r.body)
}

func TestOldPayloads(t *testing.T) {
	s := start(t, old)
	const octets = "application/octet-stream"
	for name, c := range map[string]struct{ query, kind, sent, got string }{
		"text":               {"", "", "6:4hello", "6:4hello"},
		"nothing":            {"", "", "1:4", "1:4"},
		"several":            {"", "", "2:4a2:4b2:4c", "2:4a2:4b2:4c"},
		"UTF-16 units":       {"", "", "5:4é€😀", "5:4é€😀"},
		"a length inside":    {"", "", "5:41:222:4x", "5:41:222:4x"},
		"a separator inside": {"", "", "4:4a\x1eb", "4:4a\x1eb"},
		"base64":             {"&b64=1", "", "6:b4/gA=", "6:b4/gA="},
		"binary":             {"", octets, "\x01\x03\xff\x04\xfe\x00", "\x01\x03\xff\x04\xfe\x00"},
		"base64 to binary":   {"", "", "6:b4/gA=", "\x01\x03\xff\x04\xfe\x00"},
		"binary to base64":   {"&b64=1", octets, "\x01\x03\xff\x04\xfe\x00", "6:b4/gA="},
		"both":               {"", octets, "\x00\x06\xff4\xc3\xa9\xe2\x82\xac\x01\x01\x02\xff\x04ABCDEFGHIJK", "\x00\x06\xff4\xc3\xa9\xe2\x82\xac\x01\x01\x02\xff\x04ABCDEFGHIJK"},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			p, _ := s.oldOpen(oldPollPath + c.query)
			kind := c.kind
			if kind == "" {
				kind = "text/plain;charset=UTF-8"
			}
			r := p.do(context.Background(), http.MethodPost, p.path, c.sent, map[string]string{"Content-Type": kind})
			require.NoError(t, r.err)
			require.Equal(t, "ok", r.body)
			polled := p.get()
			for polled.err == nil && polled.status == http.StatusOK && len(polled.body) < len(c.got) {
				more := p.get()
				more.body = polled.body + more.body
				polled = more
			}
			require.Equal(t, c.got, polled.body)
			want := "text/plain; charset=utf-8"
			if c.got[0] < '0' {
				want = octets
			}
			require.Equal(t, want, strings.ToLower(polled.header.Get("Content-Type")))
		})
	}
}

func TestOldMessagesByWebSocket(t *testing.T) {
	s := start(t, old)
	w := s.dialed(oldWS)
	opened(t, w.text())
	w.echoes("é€😀")
	w.write(frame(true, opBinary, []byte{4, 0xfe, 0}))
	op, data := w.message()
	require.Equal(t, byte(opBinary), op)
	require.Equal(t, []byte{4, 0xfe, 0}, data)
	w.send("b4/gA=")
	_, data = w.message()
	require.Equal(t, []byte{4, 0xfe, 0}, data)
}

func TestOldMessagesByWebSocketWithoutBinary(t *testing.T) {
	s := start(t, old)
	w := s.dialed(oldWS + "&b64=1")
	opened(t, w.text())
	w.write(frame(true, opBinary, []byte{4, 0xfe, 0}))
	require.Equal(t, "b4/gA=", w.text())
	w.echoes("é€😀")
}

func TestOldPingsThatComeTogether(t *testing.T) {
	s := start(t, old)
	p, h := s.oldOpen(oldPollPath)
	p.push("1:21:21:21:2")
	got := ""
	for len(got) < 12 {
		got += p.poll()
	}
	require.Equal(t, "1:31:31:31:3", got)
	require.Empty(t, s.session(h.SID).Closes)
}

func TestOldHeartbeat(t *testing.T) {
	s := start(t, func(set *setup) {
		old(set)
		set.PingInterval, set.PingTimeout = 150*time.Millisecond, 450*time.Millisecond
	})
	t.Run("the client pings", func(t *testing.T) {
		s := s.on(t)
		w := s.dialed(oldWS)
		opened(t, w.text())
		for began := time.Now(); time.Since(began) < 2*(s.PingInterval+s.PingTimeout); {
			w.send("2")
			require.Equal(t, "3", w.text(), "and nothing else: the server does not")
			time.Sleep(s.PingInterval)
		}
		p, _ := s.oldOpen(oldPollPath)
		for began := time.Now(); time.Since(began) < 2*(s.PingInterval+s.PingTimeout); {
			p.push("1:2")
			require.Equal(t, "1:3", p.poll())
			time.Sleep(s.PingInterval)
		}
	})
	t.Run("it does not, by WebSocket", func(t *testing.T) {
		s := s.on(t)
		began := time.Now()
		w := s.dialed(oldWS)
		h := opened(t, w.text())
		require.Empty(t, w.ended().messages)
		require.GreaterOrEqual(t, time.Since(began), s.PingInterval+s.PingTimeout-2*early)
		s.closedWith(h.SID, "ping timeout")
	})
	t.Run("it does not, by polling", func(t *testing.T) {
		s := s.on(t)
		began := time.Now()
		p, h := s.oldOpen(oldPollPath)
		require.Equal(t, "1:1", p.poll())
		require.GreaterOrEqual(t, time.Since(began), s.PingInterval+s.PingTimeout-2*early)
		s.closedWith(h.SID, "ping timeout")
	})
}

func TestOldUpgrade(t *testing.T) {
	s := start(t, old)
	p, _ := s.oldOpen(oldPollPath)
	w := p.probe()
	require.Equal(t, "1:6", p.poll())
	w.send("5")
	w.echoes("hello")
	w.write(frame(true, opBinary, []byte{4, 1}))
	_, data := w.message()
	require.Equal(t, []byte{4, 1}, data)
}

func TestOldCloses(t *testing.T) {
	s := start(t, old)
	t.Run("the server's", func(t *testing.T) {
		p, h := s.on(t).oldOpen(oldPollPath)
		p.push("7:4!close")
		require.Equal(t, "1:1", strings.TrimPrefix(p.poll(), "1:6"))
		p.closedWith(h.SID, "forced close")
	})
	t.Run("the client's", func(t *testing.T) {
		p, h := s.on(t).oldOpen(oldPollPath)
		p.push("1:1")
		p.closedWith(h.SID, "transport close")
		p.refused()
	})
}

func TestOldGarbageEndsTheSession(t *testing.T) {
	s := start(t, old)
	for name, body := range map[string]string{"a letter": "abc", "no length": "4hello", "too short": "9:4hello", "an unknown type": "2:7a", "a new payload": "4a\x1e4b"} {
		t.Run(name, func(t *testing.T) {
			p, h := s.on(t).oldOpen(oldPollPath)
			_ = p.post(body)
			p.closedWith(h.SID, "parse error")
			p.refused()
		})
	}
}

func TestOldSocketIO(t *testing.T) {
	s := start(t, old)
	w := s.dialed(strings.Replace(socketWS, "EIO=4", "EIO=3", 1))
	opened(t, w.text())
	require.Equal(t, "40", w.text(), "in the main namespace unasked")
	require.Equal(t, ready, w.text())
	w.send(`4212["ask","x"]`)
	require.Equal(t, `4312["x"]`, w.text())
	t.Run("binary(true) without binary data", func(t *testing.T) {
		w := s.on(t).dialed(strings.Replace(socketWS, "EIO=4", "EIO=3", 1))
		h := opened(t, w.text())
		require.Equal(t, "40", w.text())
		require.Equal(t, ready, w.text())
		w.send(`450-["echo","x"]`)
		if differs(t, node, "an old client's binary event without binary data ends its connection") {
			w.ended()
			s.closedWith(h.SID, "parse error", "forced close")
			return
		}
		require.Equal(t, `42["echo","x"]`, w.text())
		w.send(`450-1["ask","y"]`)
		require.Equal(t, `431["y"]`, w.text())
	})
	w.send("40/custom,")
	require.Contains(t, []string{"40/custom", "40/custom,"}, w.text())
	require.Equal(t, `42/custom,["ready"]`, w.text())
	w.send("40/nowhere,")
	require.Contains(t, w.text(), "44/nowhere,")
	w.send("40/locked,")
	refused := w.text()
	require.True(t, strings.HasPrefix(refused, "44/locked,"), refused)
	require.JSONEq(t, `{"code":"locked","retry":[1,null]}`, strings.TrimPrefix(refused, "44/locked,"))
}

func TestOldStockClients(t *testing.T) {
	if _, err := os.Stat("../node_modules/socket.io-client-v2"); err != nil && *engineName != node {
		t.Skip("needs Node and the packages of deploy/e2e (make conformance)")
	}
	s := start(t, old)
	cmd := exec.CommandContext(t.Context(), "node", "oldclients.mjs", s.url(""))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	n := 0
	for lines := bufio.NewScanner(out); lines.Scan(); n++ {
		var way struct {
			Way    string   `json:"way"`
			Faults []string `json:"faults"`
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &way), lines.Text())
		t.Run(way.Way, func(t *testing.T) { require.Empty(t, way.Faults) })
	}
	require.NoError(t, cmd.Wait())
	require.Equal(t, 5, n)
}
