package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Protocol is what the clients speak over WebSocket.
type Protocol int

// The protocols.
const (
	SocketIO   Protocol = iota // Engine.IO 4, Socket.IO 5
	Centrifuge                 // centrifuge's JSON protocol
)

// errClosedByServer is a server's own word that it ends the session.
var errClosedByServer = errors.New("load: closed by the server")

// refusal is a server's answer to a connect.
type refusal struct{ code string }

func (r refusal) Error() string { return "load: refused: " + r.code }

func (p Protocol) path() string {
	if p == Centrifuge {
		return "/connection/websocket"
	}
	return "/socket.io/?EIO=4&transport=websocket"
}

// message handles one text message. It runs with the loop's lock held.
func (c *conn) message(m []byte) error {
	if c.loop.fleet.cfg.Protocol == Centrifuge {
		for line := range bytes.SplitSeq(m, []byte{'\n'}) {
			if err := c.centrifuge(line); err != nil {
				return err
			}
		}
		return nil
	}
	return c.socketIO(m)
}

var helloMark = []byte(`2["connected",`)

func (c *conn) socketIO(m []byte) error {
	if len(m) == 0 {
		return errFrame
	}
	switch m[0] {
	case '0':
		return c.packetOf(c.connectPacket())
	case '1':
		return errClosedByServer
	case '2':
		return c.text([]byte{'3'})
	case '4':
		return c.packet(m[1:])
	}
	return nil
}

// packet handles one Socket.IO packet.
func (c *conn) packet(m []byte) error {
	if len(m) == 0 {
		return errFrame
	}
	switch m[0] {
	case '0':
		var reply struct {
			Pid string `json:"pid"`
		}
		if err := json.Unmarshal(m[1:], &reply); err != nil {
			return fmt.Errorf("%w: %w", errFrame, err)
		}
		c.recovered = reply.Pid != "" && reply.Pid == c.pid
		c.pid = reply.Pid
	case '1':
		return errClosedByServer
	case '2':
		if c.state != ready && bytes.HasPrefix(m, helloMark) {
			c.keepOffset(m)
			return c.welcome()
		}
		if stamp, ok := parseStamp(m); ok {
			c.event(stamp)
		}
		c.keepOffset(m)
	case '3':
		return c.subscribed()
	case '4':
		var reply struct {
			Message string `json:"message"`
			Data    struct {
				Code string `json:"code"`
			} `json:"data"`
		}
		_ = json.Unmarshal(m[1:], &reply)
		if reply.Data.Code == "" {
			reply.Data.Code = reply.Message
		}
		return refusal{reply.Data.Code}
	}
	return nil
}

// keepOffset remembers an event's last argument if it is a string: that is what a client recovers from.
func (c *conn) keepOffset(m []byte) {
	if c.pid == "" || !bytes.HasSuffix(m, []byte(`"]`)) {
		return
	}
	m = m[:len(m)-2]
	at := bytes.LastIndexByte(m, '"')
	if at < 1 || m[at-1] != ',' {
		return
	}
	if offset := m[at+1:]; len(offset) <= len(c.offset) {
		c.offsetLen = copy(c.offset[:], offset)
	}
}

// connectPacket asks for the namespace: for the earlier session if there is one to recover.
func (c *conn) connectPacket() (prefix string, body any, suffix string) {
	auth := struct {
		Token  string `json:"token"`
		Pid    string `json:"pid,omitempty"`
		Offset string `json:"offset,omitempty"`
	}{Token: c.loop.fleet.cfg.Token(c.index)}
	if c.pid != "" && c.offsetLen > 0 {
		auth.Pid, auth.Offset = c.pid, string(c.offset[:c.offsetLen])
	}
	return "40", auth, ""
}

func (c *conn) subscribePacket(room string) (prefix string, body any, suffix string) {
	if c.loop.fleet.cfg.Protocol == Centrifuge {
		return `{"id":2,"subscribe":`, map[string]string{"channel": "solicitud_" + room}, "}"
	}
	return `421["subscribe_solicitud",`, map[string]string{"solicitud_id": room}, "]"
}

func (c *conn) centrifugeConnect() (prefix string, body any, suffix string) {
	return `{"id":1,"connect":`, map[string]string{"token": c.loop.fleet.cfg.Token(c.index)}, "}"
}

// packetOf sends body as JSON between prefix and suffix.
func (c *conn) packetOf(prefix string, body any, suffix string) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.text([]byte(prefix + string(encoded) + suffix))
}

var (
	pushMark = []byte(`{"push":`)
	pingMark = []byte(`{}`)
)

// centrifuge handles one reply or push.
func (c *conn) centrifuge(line []byte) error {
	switch {
	case len(line) == 0:
		return nil
	case bytes.HasPrefix(line, pushMark):
		if stamp, ok := parseStamp(line); ok {
			c.event(stamp)
		} else if bytes.HasPrefix(line[len(pushMark):], []byte(`{"disconnect"`)) {
			return errClosedByServer
		}
		return nil
	case bytes.Equal(line, pingMark):
		return c.text(pingMark)
	}
	var reply struct {
		ID    int `json:"id"`
		Error *struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(line, &reply); err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	switch {
	case reply.Error != nil:
		return refusal{reply.Error.Message}
	case reply.ID == 1:
		return c.welcome()
	case reply.ID == 2:
		return c.subscribed()
	}
	return nil
}
