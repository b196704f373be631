package conformance

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// disconnectPacket is Socket.IO's, by which a client knows that the server sent it away on purpose.
const disconnectPacket = "41"

// faults requires that none of n went wrong, and says how many did.
func faults(t *testing.T, what string, faulty, n int) {
	t.Helper()
	t.Logf("%s: %d of %d", what, faulty, n)
	require.Zerof(t, faulty, "%s: %d of %d", what, faulty, n)
}

// told reports whether the disconnect packet is the last message.
func told(messages []string) bool {
	for _, m := range slices.Backward(messages) {
		if m != "6" && m != "1" {
			return m == disconnectPacket
		}
	}
	return false
}

func flat(answers [][]string) (packets []string) {
	for _, a := range answers {
		packets = append(packets, a...)
	}
	return packets
}

const kicks = 60

func TestKickedClientsAreTold(t *testing.T) {
	s := start(t, nil)
	for name, path := range map[string]func(s *server, tag string) bool{
		"WebSocket": func(s *server, tag string) bool {
			w := s.connectWS(tag)
			s.kick(tag)
			return told(w.ended().messages)
		},
		"WebSocket, by its own event": func(s *server, tag string) bool {
			w := s.connectWS(tag)
			w.send(`42["bye"]`)
			messages := w.ended().messages
			return told(messages) && messages[0] == `42["bye"]`
		},
		"polling, while a poll waits": func(s *server, tag string) bool {
			p := s.connectPoll(tag)
			answered, _ := p.hang()
			s.kick(tag)
			r := <-answered
			return r.err == nil && told(append(strings.Split(r.body, separator), flat(p.drain())...))
		},
		"polling, while none does": func(s *server, tag string) bool {
			p := s.connectPoll(tag)
			s.kick(tag)
			return told(flat(p.drain()))
		},
		"during an upgrade, while a poll waits": func(s *server, tag string) bool {
			p := s.connectPoll(tag)
			w := p.probe()
			if p.poll() != "6" {
				return false
			}
			answered := p.hangOrAnswer()
			s.kick(tag)
			r := <-answered
			if r.err != nil {
				return false
			}
			packets := append(strings.Split(r.body, separator), flat(p.drain())...)
			w.ended()
			return told(packets)
		},
		"during an upgrade, which is then completed": func(s *server, tag string) bool {
			p := s.connectPoll(tag)
			w := p.probe()
			if p.poll() != "6" {
				return false
			}
			s.kick(tag)
			w.send("5")
			return told(w.ended().messages)
		},
		"after an upgrade": func(s *server, tag string) bool {
			p := s.connectPoll(tag)
			w := p.upgrade()
			s.kick(tag)
			return told(w.ended().messages)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			untold := 0
			for i := range kicks {
				tag := strings.ReplaceAll(s.tag(i)+name, " ", "-")
				if !path(s, tag) {
					untold++
				}
			}
			faults(t, "kicked and not told", untold, kicks)
		})
	}
}

func TestStockClientsKnowWhyTheyWereSentAway(t *testing.T) {
	if _, err := os.Stat("../node_modules/socket.io-client"); err != nil && *engineName != node {
		t.Skip("needs Node and the packages of deploy/e2e (make conformance)")
	}
	s := start(t, nil)
	cmd := exec.Command("node", "clients.mjs", s.url(""), strconv.Itoa(20), t.Name())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	n := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var way struct {
			Way     string         `json:"way"`
			Reasons map[string]int `json:"reasons"`
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &way), lines.Text())
		t.Logf("%s: %v", way.Way, way.Reasons)
		require.Equal(t, map[string]int{"io server disconnect": 20}, way.Reasons, way.Way)
		n++
	}
	require.NoError(t, cmd.Wait())
	require.Equal(t, 4, n)
}
