package conformance

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// talker speaks Socket.IO, packet by packet, over whatever carries it.
type talker struct {
	*server
	sid string // Engine.IO's
	w   *wsConn
	p   *poller
	got []string // what came in the last answer to a poll
}

// carriers are the ways in which a Socket.IO connection is carried. None is connected to a namespace yet.
var carriers = map[string]func(s *server) *talker{
	"WebSocket": func(s *server) *talker {
		w := s.dialed(socketWS)
		return &talker{server: s, sid: opened(s.t, w.text()).SID, w: w}
	},
	"polling": func(s *server) *talker {
		p, h := s.pollAt(socketPoll)
		return &talker{server: s, sid: h.SID, p: p}
	},
	"upgraded": func(s *server) *talker {
		p, h := s.pollAt(socketPoll)
		return &talker{server: s, sid: h.SID, w: p.upgrade()}
	},
}

// overEach runs test over each carrier, on a connection to no namespace.
func overEach(t *testing.T, s *server, test func(c *talker)) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(carriers)) {
		t.Run(name, func(t *testing.T) { test(carriers[name](s.on(t))) })
	}
}

// overEachConnected runs test over each carrier, on a connection to "/".
func overEachConnected(t *testing.T, s *server, test func(c *talker)) {
	t.Helper()
	overEach(t, s, func(c *talker) {
		c.connect("/", "")
		test(c)
	})
}

// say sends one packet, as it is.
func (c *talker) say(text string, attachments ...[]byte) {
	c.t.Helper()
	if c.w != nil {
		c.w.send("4" + text)
		for _, data := range attachments {
			c.w.write(frame(true, opBinary, data))
		}
		return
	}
	c.p.push(polled(text, attachments))
}

// try is say for what may end the connection.
func (c *talker) try(text string, attachments ...[]byte) {
	c.t.Helper()
	if c.w != nil {
		data := textFrame("4" + text)
		for _, a := range attachments {
			data = append(data, frame(true, opBinary, a)...)
		}
		_, _ = c.w.Write(data)
		return
	}
	_ = c.p.post(polled(text, attachments))
}

func polled(text string, attachments [][]byte) string {
	parts := []string{"4" + text}
	for _, data := range attachments {
		parts = append(parts, "b"+base64.StdEncoding.EncodeToString(data))
	}
	return strings.Join(parts, separator)
}

// hear returns the next message: an Engine.IO packet, or an attachment as polling writes it.
func (c *talker) hear() string {
	c.t.Helper()
	if c.w != nil {
		op, payload := c.w.message()
		if op == opBinary {
			return "b" + base64.StdEncoding.EncodeToString(payload)
		}
		return string(payload)
	}
	for len(c.got) == 0 {
		c.got = strings.Split(c.p.poll(), separator)
	}
	first := c.got[0]
	c.got = c.got[1:]
	return first
}

// said is a packet of the server's.
type said struct {
	kind        byte // '0' to '6'
	attachments int
	nsp, id     string // "/" is the main namespace's; no id: ""
	data        string // JSON, with "bin:" and base64 in the place of each attachment
}

var grammar = regexp.MustCompile(`(?s)^4([0-6])(?:(\d+)-)?(?:(/[^,]*),)?(\d+)?(.*)$`)

// next reads the next packet, whole, whose grammar has to be exact.
func (c *talker) next() (p said) {
	c.t.Helper()
	text := c.hear()
	m := grammar.FindStringSubmatch(text)
	require.NotNil(c.t, m, text)
	p = said{kind: m[1][0], nsp: m[3], id: m[4], data: m[5]}
	require.NotEqual(c.t, "/", p.nsp, "the main namespace is not named")
	if p.nsp == "" {
		p.nsp = "/"
	}
	isBinary := p.kind == '5' || p.kind == '6'
	require.Equal(c.t, isBinary, m[2] != "", text)
	if isBinary {
		p.attachments, _ = strconv.Atoi(m[2])
		require.Positive(c.t, p.attachments, text)
		p.data = c.attach(p)
	}
	return p
}

// attach reads the attachments of p and puts them in their places; each has to have one.
func (c *talker) attach(p said) string {
	c.t.Helper()
	blobs := make([]string, p.attachments)
	for i := range blobs {
		blob := c.hear()
		require.True(c.t, strings.HasPrefix(blob, "b"), blob)
		blobs[i] = "bin:" + blob[1:]
	}
	var data any
	require.NoError(c.t, json.Unmarshal([]byte(p.data), &data), p.data)
	used := 0
	var fill func(v any) any
	fill = func(v any) any {
		switch v := v.(type) {
		case []any:
			for i := range v {
				v[i] = fill(v[i])
			}
		case map[string]any:
			if v["_placeholder"] == true {
				require.Len(c.t, v, 2, p.data)
				used++
				return blobs[int(v["num"].(float64))]
			}
			for k := range v {
				v[k] = fill(v[k])
			}
		}
		return v
	}
	filled, err := json.Marshal(fill(data))
	require.NoError(c.t, err)
	require.Equal(c.t, p.attachments, used, "each attachment has its place: %s", p.data)
	return string(filled)
}

// expect requires the next packet.
func (c *talker) expect(kind byte, nsp, id, data string) {
	c.t.Helper()
	p := c.next()
	require.Equal(c.t, fmt.Sprintf("%c %s %s", kind, nsp, id), fmt.Sprintf("%c %s %s", p.kind, p.nsp, p.id), "%+v", p)
	if data == "" {
		require.Empty(c.t, p.data)
	} else {
		require.JSONEq(c.t, data, p.data)
	}
}

// event requires the next packet to be an event in "/" without an id.
func (c *talker) event(data string) {
	c.t.Helper()
	kind := byte('2')
	if strings.Contains(data, `"bin:`) {
		kind = '5'
	}
	c.expect(kind, "/", "", data)
}

// to is how packets name a namespace.
func to(nsp string) string {
	if nsp == "/" {
		return ""
	}
	return nsp + ","
}

// connect connects to a namespace and returns the socket's id.
func (c *talker) connect(nsp, auth string) (id string) {
	c.t.Helper()
	c.say("0" + to(nsp) + auth)
	id = c.connected(nsp)
	c.expect('2', nsp, "", `["ready"]`)
	return id
}

// connected requires the answer to a CONNECT, whose payload is the id alone.
func (c *talker) connected(nsp string) (id string) {
	c.t.Helper()
	p := c.next()
	require.Equal(c.t, said{kind: '0', nsp: nsp, data: p.data}, p)
	var payload map[string]string
	require.NoError(c.t, json.Unmarshal([]byte(p.data), &payload), p.data)
	require.Len(c.t, payload, 1, p.data)
	require.GreaterOrEqual(c.t, len(payload["sid"]), 20, p.data)
	return payload["sid"]
}

// alive requires that the socket of a namespace is served, and that nothing else was said before.
func (c *talker) alive(nsp string) {
	c.t.Helper()
	c.say("2" + to(nsp) + `["echo","alive"]`)
	c.expect('2', nsp, "", `["echo","alive"]`)
}

// gone requires that the server ends the connection, and returns the packets that came before.
func (c *talker) gone() (packets []string) {
	c.t.Helper()
	if c.w != nil {
		packets = c.w.ended().messages
	} else {
		packets = slices.Concat(c.got, flat(c.p.drain()))
		c.got = nil
	}
	c.closedWith(c.sid, "forced close", "parse error")
	return slices.DeleteFunc(packets, func(p string) bool { return p == "1" || p == "6" })
}
