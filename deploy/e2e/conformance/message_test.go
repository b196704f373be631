package conformance

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMessagesByPolling(t *testing.T) {
	s := start(t, nil)
	for name, payload := range map[string]string{
		"text":               "4hello",
		"empty":              "4",
		"Unicode":            "4é€😀\u0000\u2028",
		"several":            "4a" + separator + "4b" + separator + "4c",
		"binary":             "bAQIDBA==",
		"empty binary":       "b",
		"text and binary":    "4hello" + separator + "bAQIDBA==" + separator + "4bye",
		"digits":             "4444",
		"a JSON text":        `4{"a":[1,2,"\u001e"]}`,
		"the limit, exactly": "4" + strings.Repeat("x", s.MaxPayload-1),
	} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			p, _ := s.openPoll()
			p.push(payload)
			var got []string
			for want := strings.Split(payload, separator); len(got) < len(want); {
				got = append(got, strings.Split(p.poll(), separator)...)
			}
			require.Equal(t, payload, strings.Join(got, separator))
		})
	}
}

func TestPollHeaders(t *testing.T) {
	s := start(t, nil)
	p, _ := s.openPoll()
	posted := p.post("4hello")
	require.NoError(t, posted.err)
	require.Equal(t, http.StatusOK, posted.status)
	require.Equal(t, "ok", posted.body)
	polled := p.get()
	require.NoError(t, polled.err)
	require.Equal(t, "text/plain; charset=utf-8", strings.ToLower(polled.header.Get("Content-Type")))
	require.Equal(t, "no-store", polled.header.Get("Cache-Control"))
}

func TestAPollWaitsForAMessage(t *testing.T) {
	s := start(t, nil)
	p, _ := s.openPoll()
	for i := range 5 {
		answered, _ := p.hang()
		message := "4" + strconv.Itoa(i)
		p.push(message)
		r := <-answered
		require.NoError(t, r.err)
		require.Equal(t, message, r.body)
	}
}

func TestMessagesQueuedBetweenPollsKeepTheirOrder(t *testing.T) {
	s := start(t, nil)
	p, _ := s.openPoll()
	p.push("4!burst 500 10")
	requireBurst(t, 500, func() []string { return strings.Split(p.poll(), separator) })
}

func TestLargeMessagesByPolling(t *testing.T) {
	s := start(t, nil)
	p, _ := s.openPoll()
	p.push("4!burst 20 40000")
	requireBurst(t, 20, func() []string { return strings.Split(p.poll(), separator) })
}

// requireBurst requires the messages 0 to n-1, in order, each once.
func requireBurst(t *testing.T, n int, next func() []string) {
	t.Helper()
	var got []string
	for len(got) < n {
		got = append(got, next()...)
	}
	requireNumbered(t, n, got)
}

func requireNumbered(t *testing.T, n int, packets []string) {
	t.Helper()
	require.Len(t, packets, n)
	for i, packet := range packets {
		require.True(t, strings.HasPrefix(packet, "4"+strconv.Itoa(i)+":"), "message %d: %.20s", i, packet)
	}
}

func TestMessagesByWebSocket(t *testing.T) {
	s := start(t, nil)
	for name, text := range map[string]string{
		"text":               "4hello",
		"empty":              "4",
		"Unicode":            "4é€😀\u0000\u2028",
		"a separator":        "4a" + separator + "4b",
		"126 bytes":          "4" + strings.Repeat("x", 125),
		"65,535 bytes":       "4" + strings.Repeat("x", 65534),
		"65,536 bytes":       "4" + strings.Repeat("x", 65535),
		"the limit, exactly": "4" + strings.Repeat("x", s.MaxPayload-1),
	} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			w, _ := s.openWS()
			w.send(text)
			require.Equal(t, text, w.text())
		})
	}
}

func TestBinaryByWebSocket(t *testing.T) {
	s := start(t, nil)
	w, _ := s.openWS()
	for _, data := range []string{"\x01\x02\x03\x04", "4text", "b", "\xff\xfe\x00", strings.Repeat("\x80", 70_000), ""} {
		w.write(frame(true, opBinary, []byte(data)))
		op, got := w.message()
		require.Equal(t, byte(opBinary), op)
		require.Equal(t, data, string(got))
	}
}

func TestManyMessagesByWebSocketKeepTheirOrder(t *testing.T) {
	s := start(t, nil)
	w, _ := s.openWS()
	w.send("4!burst 800 300")
	requireBurst(t, 800, func() []string { return []string{w.text()} })
	var batch []byte
	for i := range 500 {
		batch = append(batch, textFrame("4"+strconv.Itoa(i))...)
	}
	w.write(batch)
	for i := range 500 {
		require.Equal(t, "4"+strconv.Itoa(i), w.text())
	}
}

func TestBinaryFromTheServerByPolling(t *testing.T) {
	s := start(t, nil)
	p, _ := s.openPoll()
	p.push("b/+8=" + separator + "bAA==")
	got := p.poll()
	if !strings.Contains(got, separator) {
		got += separator + p.poll()
	}
	require.Equal(t, "b/+8="+separator+"bAA==", got)
}

func TestUnfittingPackets(t *testing.T) {
	s := start(t, nil)
	t.Run("noop, open and a pong that nobody asked for are ignored", func(t *testing.T) {
		s := s.on(t)
		w, _ := s.openWS()
		w.send("6")
		w.send("0")
		w.send("3")
		w.echoes("alive")
		p, _ := s.openPoll()
		p.push("6" + separator + "0" + separator + "3" + separator + "4alive")
		require.Equal(t, "4alive", p.poll())
	})
	t.Run("a ping of the client ends the session", func(t *testing.T) {
		s := s.on(t)
		w, h := s.openWS()
		w.send("2")
		w.ended()
		s.closedWith(h.SID, "transport error")
	})
}

func TestGarbageByWebSocketEndsTheSession(t *testing.T) {
	s := start(t, nil)
	for name, text := range map[string]string{"a letter": "abc", "a digit": "7", "nothing": "", "a separator": separator} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			w, h := s.openWS()
			w.send(text)
			w.send("4never")
			require.NotContains(t, w.ended().messages, "4never")
			s.closedWith(h.SID, "parse error")
		})
	}
}

// The published tests ask for 400.
func TestGarbageByPollingEndsTheSession(t *testing.T) {
	s := start(t, nil)
	for name, body := range map[string]string{
		"a letter": "abc", "a digit": "7", "nothing": "", "the old payload format": "9:4messages",
		"after a message": "4hello" + separator + "abc", "an empty packet": "4hello" + separator, "a form": "d=4hello",
	} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			p, h := s.openPoll()
			if r := p.post(body); !differs(t, node, "garbage by polling is answered by `ok`, and ends the session all the same") {
				require.NoError(t, r.err)
				require.Equal(t, http.StatusBadRequest, r.status, r.body)
			}
			s.closedWith(h.SID, "parse error")
			p.refused()
		})
	}
}

func TestBinaryPostIsRefused(t *testing.T) {
	s := start(t, nil)
	p, h := s.openPoll()
	r := p.do(context.Background(), http.MethodPost, p.path, "\x01\x02", map[string]string{"Content-Type": "application/octet-stream"})
	if r.err == nil {
		require.Equal(t, http.StatusBadRequest, r.status)
	}
	s.closedWith(h.SID, "transport error", "parse error")
}

func TestOtherMethodsOfASession(t *testing.T) {
	s := start(t, nil)
	p, _ := s.openPoll()
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch} {
		r := p.do(context.Background(), method, p.path, "4hello", nil)
		require.NoError(t, r.err)
		require.GreaterOrEqual(t, r.status, 400, method)
	}
	p.push("4alive")
	require.Equal(t, "4alive", p.poll())
}
