package conformance

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// early is how much before its time a timer of the server may fire.
const early = 5 * time.Millisecond

// beating is a server with frequent pings and much time to answer them.
func beating(set *setup) {
	set.PingInterval, set.PingTimeout = 150*time.Millisecond, 5*time.Second
}

// impatient is a server that soon gives up a client that does not answer.
func impatient(set *setup) {
	set.PingInterval, set.PingTimeout = 150*time.Millisecond, 300*time.Millisecond
}

func TestHeartbeatByWebSocket(t *testing.T) {
	s := start(t, beating)
	began := time.Now()
	w, _ := s.openWS()
	for range 3 {
		require.Equal(t, "2", w.text())
		require.GreaterOrEqual(t, time.Since(began), s.PingInterval-early, "not before its time")
		w.send("3")
	}
	w.echoes("alive")
}

func TestHeartbeatByPolling(t *testing.T) {
	s := start(t, beating)
	began := time.Now()
	p, _ := s.openPoll()
	for range 3 {
		require.Equal(t, "2", p.poll())
		require.GreaterOrEqual(t, time.Since(began), s.PingInterval-early)
		p.push("3")
	}
	p.push("4alive")
	require.Equal(t, "4alive", p.poll())
}

func TestPingTimeoutByWebSocket(t *testing.T) {
	s := start(t, impatient)
	began := time.Now()
	w, h := s.openWS()
	require.Equal(t, "2", w.text())
	require.Empty(t, w.ended().messages)
	require.GreaterOrEqual(t, time.Since(began), s.PingInterval+s.PingTimeout-2*early)
	s.closedWith(h.SID, "ping timeout")
}

func TestPingTimeoutByPolling(t *testing.T) {
	s := start(t, impatient)
	began := time.Now()
	p, h := s.openPoll()
	require.Equal(t, "2", p.poll())
	answered, _ := p.hang()
	r := <-answered
	require.NoError(t, r.err, "a waiting poll is answered")
	require.Equal(t, "1", r.body)
	require.GreaterOrEqual(t, time.Since(began), s.PingInterval+s.PingTimeout-2*early)
	s.closedWith(h.SID, "ping timeout")
	p.refused()
}

func TestPingTimeoutOfAClientThatNeverPolls(t *testing.T) {
	s := start(t, impatient)
	p, h := s.openPoll()
	s.closedWith(h.SID, "ping timeout")
	p.refused()
}

func TestHeartbeatGoesOnAfterAnUpgrade(t *testing.T) {
	s := start(t, beating)
	p, _ := s.openPoll()
	w := p.upgrade()
	for range 3 {
		require.Equal(t, "2", w.text())
		w.send("3")
	}
	w.echoes("alive")
}

func TestPingTimeoutAfterAnUpgrade(t *testing.T) {
	s := start(t, impatient)
	p, h := s.openPoll()
	w := p.upgrade()
	w.ended()
	s.closedWith(h.SID, "ping timeout")
}

// A PONG that comes late, but in time, is as good as any.
func TestLatePong(t *testing.T) {
	s := start(t, func(set *setup) {
		set.PingInterval, set.PingTimeout = 200*time.Millisecond, 4*time.Second
	})
	w, h := s.openWS()
	require.Equal(t, "2", w.text())
	time.Sleep(300 * time.Millisecond) // later than the next ping would be
	w.send("3")
	require.Equal(t, "2", w.text())
	w.send("3")
	w.echoes("alive")
	require.Empty(t, s.session(h.SID).Closes)
}

func TestPongsByPollingAlongWithMessages(t *testing.T) {
	s := start(t, beating)
	p, _ := s.openPoll()
	var got []string
	for pings := 0; pings < 3; {
		for packet := range strings.SplitSeq(p.poll(), separator) {
			if packet == "2" {
				pings++
				p.push("3" + separator + "4x")
			} else {
				got = append(got, packet)
			}
		}
	}
	for len(got) < 3 {
		got = append(got, p.poll())
	}
	require.Equal(t, []string{"4x", "4x", "4x"}, got)
}
