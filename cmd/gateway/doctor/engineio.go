package doctor

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// Packets of Engine.IO, and of Socket.IO within its messages.
const (
	packetOpen    = '0'
	packetClose   = "1"
	packetPing    = "2"
	packetPong    = "3"
	packetConnect = "40"
	packetRefused = "44"
	separator     = "\x1e" // between the packets of one polling body
)

const maxBody = 1 << 20

// statusError is an answer other than 200.
type statusError struct {
	status int
	body   string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("answered %d %s", e.status, http.StatusText(e.status))
}

// unknownSession tells whether another node than the session's answered.
func (e *statusError) unknownSession() bool {
	var said struct {
		Code int `json:"code"`
	}
	return e.status == http.StatusBadRequest && json.Unmarshal([]byte(e.body), &said) == nil && said.Code == 1
}

// poll is one polling session. Each request has a connection of its own, as a load balancer may see them.
type poll struct {
	client *http.Client
	base   url.URL
	header http.Header

	open   opening
	cookie string // name of one that was set; empty: none
	allows string // Access-Control-Allow-Origin of the handshake
}

type opening struct {
	SID          string `json:"sid"`
	PingInterval int    `json:"pingInterval"` // ms
}

// newPoll does a handshake; origin may be empty.
func newPoll(ctx context.Context, base url.URL, origin string) (*poll, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	p := &poll{
		base: base, header: http.Header{},
		client: &http.Client{
			Jar: jar, Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if origin != "" {
		p.header.Set("Origin", origin)
	}
	body, header, err := p.send(ctx, http.MethodGet, "")
	if err != nil {
		return nil, err
	}
	for _, c := range (&http.Response{Header: header}).Cookies() {
		p.cookie = c.Name
	}
	p.allows = header.Get("Access-Control-Allow-Origin")
	if body == "" || body[0] != packetOpen || json.Unmarshal([]byte(body[1:]), &p.open) != nil || p.open.SID == "" {
		return nil, fmt.Errorf("no Socket.IO server answers: %.60q", body)
	}
	return p, nil
}

// send posts a body, or polls.
func (p *poll) send(ctx context.Context, method, body string) (string, http.Header, error) {
	u := p.base
	query := url.Values{"EIO": {"4"}, "transport": {"polling"}}
	if p.open.SID != "" {
		query.Set("sid", p.open.SID)
	}
	u.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, u.String(), strings.NewReader(body))
	if err != nil {
		return "", nil, err
	}
	request.Header = p.header.Clone()
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "text/plain; charset=UTF-8")
	}
	answer, err := p.client.Do(request)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // without the address, which is said already
		}
		return "", nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = &statusError{answer.StatusCode, string(text)}
	}
	return string(text), answer.Header, err
}

// close ends the session; a failure of that is nobody's concern.
func (p *poll) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _, _ = p.send(ctx, http.MethodPost, packetClose) //nolint:dogsled // as said
}

// connectPacket asks for the namespace with a token.
func connectPacket(token string) string {
	if token == "" {
		return packetConnect
	}
	auth, _ := json.Marshal(map[string]string{"token": token}) //nolint:errchkjson // strings can be encoded
	return packetConnect + string(auth)
}

// socket is one WebSocket session.
type socket struct {
	conn net.Conn
	rw   io.ReadWriter
	open opening
}

// newSocket connects by WebSocket alone.
func newSocket(ctx context.Context, base url.URL, origin string) (*socket, error) {
	u := base
	u.Scheme = map[string]string{"http": "ws", "https": "wss"}[base.Scheme]
	u.RawQuery = "EIO=4&transport=websocket"
	dialer := ws.Dialer{}
	if origin != "" {
		dialer.Header = ws.HandshakeHeaderHTTP{"Origin": {origin}}
	}
	conn, buffered, _, err := dialer.Dial(ctx, u.String())
	if err != nil {
		return nil, err
	}
	s := &socket{conn: conn, rw: conn}
	if buffered != nil {
		s.rw = struct {
			io.Reader
			io.Writer
		}{io.MultiReader(unread(buffered), conn), conn}
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	text, err := s.read()
	if err == nil && (text == "" || text[0] != packetOpen || json.Unmarshal([]byte(text[1:]), &s.open) != nil) {
		err = fmt.Errorf("no Socket.IO server answers: %.60q", text)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return s, nil
}

// unread takes what was read together with the handshake's answer.
func unread(from *bufio.Reader) io.Reader {
	taken, _ := from.Peek(from.Buffered())
	rest := bytes.Clone(taken)
	ws.PutReader(from)
	return bytes.NewReader(rest)
}

func (s *socket) read() (string, error) {
	text, err := wsutil.ReadServerText(s.rw)
	return string(text), err
}

func (s *socket) write(text string) error { return wsutil.WriteClientText(s.rw, []byte(text)) }

func (s *socket) close() {
	_ = s.conn.SetWriteDeadline(time.Now().Add(time.Second))
	_ = s.write(packetClose)
	_ = s.conn.Close()
}
