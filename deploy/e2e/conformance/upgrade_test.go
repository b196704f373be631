package conformance

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// upgradePath is the path of a WebSocket for the session of p.
func (p *poller) upgradePath() string { return strings.Replace(p.path, "polling", "websocket", 1) }

// probe opens a WebSocket for the session of p and has it probed.
func (p *poller) probe() *wsConn {
	p.t.Helper()
	w := p.dialed(p.upgradePath())
	w.send("2probe")
	require.Equal(p.t, "3probe", w.text())
	return w
}

// upgrade takes the session to a WebSocket as a client with nothing to wait for does.
func (p *poller) upgrade() *wsConn {
	p.t.Helper()
	w := p.probe()
	w.send("5")
	p.eventually("it is upgraded", func() bool { return p.session(p.sid).Transport == "websocket" })
	return w
}

func TestUpgrade(t *testing.T) {
	s := start(t, nil)
	p, h := s.openPoll()
	w := p.probe()
	require.Equal(t, "6", p.poll(), "the poll is answered, so that the client can stop polling")
	w.send("5")
	w.echoes("hello")
	w.write(frame(true, opBinary, []byte{1, 2}))
	op, data := w.message()
	require.Equal(t, byte(opBinary), op)
	require.Equal(t, []byte{1, 2}, data)
	require.Equal(t, "websocket", s.session(h.SID).Transport)
}

func TestUpgradeWhileAPollWaits(t *testing.T) {
	s := start(t, nil)
	p, _ := s.openPoll()
	answered, _ := p.hang()
	w := p.probe()
	r := <-answered
	require.NoError(t, r.err)
	require.Equal(t, "6", r.body)
	w.send("5")
	w.echoes("hello")
}

func TestRequestsAfterAnUpgrade(t *testing.T) {
	s := start(t, nil)
	p, _ := s.openPoll()
	w := p.upgrade()
	p.refused()
	r := p.post("4lost")
	require.NoError(t, r.err)
	require.Equal(t, http.StatusBadRequest, r.status)
	w.echoes("alive")
	t.Run("a second WebSocket", func(t *testing.T) {
		s := s.on(t)
		second, res := s.dial(p.upgradePath(), "")
		if res.status == http.StatusSwitchingProtocols {
			second.send("2probe")
			require.Empty(t, second.ended().messages)
		}
		w.echoes("still alive")
	})
}

func TestASecondProbeMeanwhile(t *testing.T) {
	s := start(t, nil)
	p, _ := s.openPoll()
	w := p.probe()
	second, res := s.dial(p.upgradePath(), "")
	if res.status == http.StatusSwitchingProtocols {
		second.send("2probe")
		require.Empty(t, second.ended().messages)
	}
	w.send("5")
	w.echoes("the first goes on")
}

func TestUpgradesThatFailLeaveTheSession(t *testing.T) {
	s := start(t, nil)
	for name, fail := range map[string]func(p *poller){
		"closed at once":     func(p *poller) { p.dialed(p.upgradePath()).reset() },
		"closed after probe": func(p *poller) { p.probe().reset() },
		"closed in order":    func(p *poller) { w := p.probe(); w.write(closeFrame(closeNormal)); w.ended() },
		"a message first": func(p *poller) {
			w := p.dialed(p.upgradePath())
			w.send("4early")
			require.Empty(p.t, w.ended().messages)
		},
		"another probe": func(p *poller) {
			w := p.dialed(p.upgradePath())
			w.send("2other")
			require.Empty(p.t, w.ended().messages)
		},
		"garbage":        func(p *poller) { w := p.probe(); w.send("abc"); w.ended() },
		"a faulty frame": func(p *poller) { w := p.probe(); w.write([]byte{0xff, 0x00}); w.ended() },
		"a message too large": func(p *poller) {
			w := p.probe()
			w.write(textFrame("4" + strings.Repeat("x", s.MaxPayload)))
			w.ended()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			p, h := s.openPoll()
			fail(p)
			p.push("4alive")
			for got := ""; got != "4alive"; {
				got = p.poll()
				require.Contains(t, []string{"4alive", "6"}, got)
			}
			// Once the failure is known, the client may try again.
			require.Empty(t, s.session(h.SID).Closes)
			again := p.upgradeAtLast()
			again.echoes("again")
		})
	}
}

// upgradeAtLast upgrades a session whose previous WebSocket the server may still believe in.
func (p *poller) upgradeAtLast() (w *wsConn) {
	p.t.Helper()
	p.eventually("it can be upgraded", func() bool {
		var res reply
		if w, res = p.dial(p.upgradePath(), ""); res.status != http.StatusSwitchingProtocols {
			return false
		}
		w.send("2probe")
		f, err := w.read()
		if err != nil || string(f.payload) != "3probe" {
			return false
		}
		w.send("5")
		return true
	})
	return w
}

func TestUpgradeTimeout(t *testing.T) {
	s := start(t, func(set *setup) { set.UpgradeTimeout = 200 * time.Millisecond })
	for name, begin := range map[string]func(p *poller) *wsConn{
		"no probe":   func(p *poller) *wsConn { return p.dialed(p.upgradePath()) },
		"no upgrade": func(p *poller) *wsConn { return p.probe() },
	} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			p, h := s.openPoll()
			began := time.Now()
			require.Empty(t, begin(p).ended().messages)
			require.GreaterOrEqual(t, time.Since(began), s.UpgradeTimeout-early)
			require.Empty(t, s.session(h.SID).Closes)
			p.push("4alive")
			require.Equal(t, "4alive", p.poll())
			p.upgradeAtLast().echoes("again")
		})
	}
}

// Whatever the server says meanwhile arrives once and in order, and nothing on the WebSocket before the upgrade packet.
func TestMessagesFromTheServerDuringAnUpgrade(t *testing.T) {
	s := start(t, nil)
	const n = 200
	p, _ := s.openPoll()
	p.push("4!tick 200 3")
	var got []string
	take := func(packets string) {
		for packet := range strings.SplitSeq(packets, separator) {
			if packet != "6" {
				got = append(got, packet)
			}
		}
	}
	take(p.poll())
	answered := p.hangOrAnswer()
	w := p.probe()
	r := <-answered
	require.NoError(t, r.err)
	take(r.body)
	take(p.poll())
	w.send("5")
	for len(got) < n {
		take(w.text())
	}
	for i, packet := range got {
		require.Equal(t, "4"+strconv.Itoa(i), packet)
	}
}

// hangOrAnswer is a poll that may be answered at once.
func (p *poller) hangOrAnswer() <-chan reply {
	ctx, cancel := context.WithCancel(context.Background())
	ch := make(chan reply, 1)
	go func() { ch <- p.do(ctx, http.MethodGet, p.path, "", nil) }()
	p.t.Cleanup(cancel)
	return ch
}

func TestMessagesFromTheClientDuringAnUpgrade(t *testing.T) {
	s := start(t, nil)
	p, _ := s.openPoll()
	p.push("40")
	w := p.probe()
	p.push("41" + separator + "42")
	w.write(join(textFrame("5"), textFrame("43"), textFrame("44")))
	var got []string
	for len(got) < 5 {
		got = append(got, w.text())
	}
	require.Equal(t, []string{"40", "41", "42", "43", "44"}, got)
}

func TestCloseDuringAnUpgrade(t *testing.T) {
	s := start(t, nil)
	t.Run("by the client", func(t *testing.T) {
		s := s.on(t)
		p, h := s.openPoll()
		w := p.probe()
		p.push("1")
		w.ended()
		s.closedWith(h.SID, "transport close")
		p.refused()
	})
	t.Run("by the server, and the client polls on", func(t *testing.T) {
		s := s.on(t)
		p, h := s.openPoll()
		w := p.probe()
		require.Equal(t, "6", p.poll())
		p.push("4!close")
		require.Equal(t, "1", last(p.drain()))
		w.ended()
		s.closedWith(h.SID, "forced close")
	})
	t.Run("by the server, and then the client upgrades", func(t *testing.T) {
		s := s.on(t)
		p, h := s.openPoll()
		w := p.probe()
		p.push("4!burst-close 3 1")
		w.send("5")
		e := w.ended()
		requireNumbered(t, 3, e.messages)
		s.closedWith(h.SID, "forced close")
	})
}

func TestUpgradeAfterTheEnd(t *testing.T) {
	s := start(t, nil)
	p, h := s.openPoll()
	p.push("1")
	s.closedWith(h.SID, "transport close")
	_, res := s.dial(p.upgradePath(), "")
	require.Equal(t, http.StatusBadRequest, res.status)
}
