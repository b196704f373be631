package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http/cookiejar"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// light is a client that speaks Engine.IO 4 and Socket.IO 5 over a WebSocket by itself, and does what the official
// client in worker.mjs does: that costs so much of the machine that thousands of them at once measure themselves. All
// but conn belongs to its own goroutine.
type light struct {
	fleet  *fleet
	person person
	url    string
	token  string
	dialer websocket.Dialer // with the cookie jar of a browser
	delay  backoff

	pid, offset string // as the official client keeps them
	subscribed  bool
	greeted     bool         // this connection is
	said        bool         // the pid is that of the connection before
	asked       int          // packets that want an answer, of all connections
	waiting     map[int]bool // those of this connection that have none

	mu   sync.Mutex
	conn *websocket.Conn // guarded by mu; nil: none
}

// backoff is the official client's, in ms, with its names.
type backoff struct {
	least, most   float64 // reconnectionDelay, reconnectionDelayMax
	randomization float64 // randomizationFactor
	attempts      int
}

func (b *backoff) next() time.Duration {
	ms := b.least * float64(int64(1)<<min(b.attempts, 20))
	b.attempts++
	deviation := rand.Float64() * b.randomization * ms //nolint:gosec // not a secret
	if rand.IntN(2) == 0 {                             //nolint:gosec // not a secret
		deviation = -deviation
	}
	return time.Duration(min(ms+deviation, b.most)) * time.Millisecond
}

// Why a connection ended, in the official client's words where it has some.
var (
	errServerDisconnect = errors.New("io server disconnect")
	errTransportClose   = errors.New("transport close")
	errRefused          = errors.New("refused")
	errProtocol         = errors.New("not as the protocol has it")
)

// buffers of writing are needed for a moment only.
var buffers sync.Pool

// startLight is startFleet with light clients.
func startLight(plan fleetPlan) (*fleet, error) {
	f := &fleet{begun: plan.begun}
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	for _, p := range plan.people {
		f.records = append(f.records, &record{person: p})
		jar, err := cookiejar.New(nil)
		if err != nil {
			return f, err
		}
		f.lights = append(f.lights, &light{
			fleet: f, person: p, token: token(p, time.Hour),
			url: strings.Replace(plan.url(p.id), "http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket",
			dialer: websocket.Dialer{
				HandshakeTimeout: 20 * time.Second, Jar: jar, ReadBufferSize: 1024, WriteBufferSize: 1024, WriteBufferPool: &buffers,
			},
			delay: backoff{
				least: number(plan.options["reconnectionDelay"]), most: number(plan.options["reconnectionDelayMax"]),
				randomization: number(plan.options["randomizationFactor"]),
			},
		})
	}
	for _, c := range f.lights {
		f.running.Go(func() { c.run(ctx, plan.spread) })
	}
	return f, nil
}

func number(option any) float64 {
	switch n := option.(type) {
	case int:
		return float64(n)
	case float64:
		return n
	}
	return 0
}

// drop breaks all light clients' connections at once.
func (f *fleet) drop() {
	for _, c := range f.lights {
		c.mu.Lock()
		if c.conn != nil {
			if tcp, ok := c.conn.NetConn().(*net.TCPConn); ok && rand.IntN(2) == 0 { //nolint:gosec // not a secret
				_ = tcp.SetLinger(0)
			}
			_ = c.conn.Close()
		}
		c.mu.Unlock()
	}
}

func (c *light) run(ctx context.Context, spread time.Duration) {
	delay := rand.N(spread) //nolint:gosec // not a secret
	for pause(ctx, delay) == nil {
		err := c.connection(ctx)
		again := func(after time.Duration) time.Duration { return after/2 + rand.N(after) } //nolint:gosec // not a secret
		switch {
		case ctx.Err() != nil:
			return // the run is over
		case c.greeted:
			c.report(report{Event: "down", Why: err.Error()})
			c.greeted = false
		default:
			c.report(report{Event: "refused", Why: err.Error()})
		}
		switch {
		case errors.Is(err, errServerDisconnect):
			delay = again(300 * time.Millisecond)
		case errors.Is(err, errRefused):
			delay = again(500 * time.Millisecond)
		default:
			delay = c.delay.next()
		}
	}
}

func (c *light) report(r report) {
	r.T, r.Client = time.Now().UnixMilli(), c.person.id
	c.fleet.note(r)
}

// connection is one, from the handshake to its end, whose reason it returns.
func (c *light) connection(ctx context.Context) error {
	conn, res, err := c.dialer.DialContext(ctx, c.url, nil)
	if res != nil {
		_ = res.Body.Close() // of no use
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.conn = conn
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.conn = nil
		c.mu.Unlock()
		_ = conn.Close() // nothing to lose
	}()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	c.waiting = map[int]bool{}
	patience := 20 * time.Second
	for {
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return errTransportClose
		}
		kind, packet, err := conn.ReadMessage()
		switch {
		case err != nil:
			return errTransportClose
		case kind != websocket.TextMessage || len(packet) == 0:
			return fmt.Errorf("%w: %q", errProtocol, packet)
		case packet[0] == '0':
			patience, err = c.open(packet[1:])
		case packet[0] == '1':
			err = errTransportClose
		case packet[0] == '2':
			err = c.send("3")
		case packet[0] == '4':
			err = c.message(packet[1:])
		}
		if err != nil {
			return err
		}
	}
}

func (c *light) send(packet string) error {
	return c.conn.WriteMessage(websocket.TextMessage, []byte(packet))
}

// open asks for the namespace, and for the session of before if there was one. It returns how long the server may say
// nothing.
func (c *light) open(handshake []byte) (time.Duration, error) {
	var h struct {
		PingInterval int `json:"pingInterval"`
		PingTimeout  int `json:"pingTimeout"`
	}
	if err := json.Unmarshal(handshake, &h); err != nil {
		return 0, fmt.Errorf("%w: %w", errProtocol, err)
	}
	c.delay.attempts = 0
	auth := map[string]string{"token": c.token}
	if c.pid != "" {
		auth["pid"] = c.pid
		if c.offset != "" {
			auth["offset"] = c.offset
		}
	}
	text, err := json.Marshal(auth)
	if err != nil {
		return 0, err
	}
	return time.Duration(h.PingInterval+h.PingTimeout) * time.Millisecond, c.send("40" + string(text))
}

// message takes a Socket.IO packet of the main namespace.
func (c *light) message(packet []byte) error {
	if len(packet) == 0 {
		return fmt.Errorf("%w: an empty message", errProtocol)
	}
	body := bytes.TrimLeft(packet[1:], "0123456789")
	switch id := string(packet[1 : len(packet)-len(body)]); packet[0] {
	case '0':
		return c.joined(body)
	case '1':
		return errServerDisconnect
	case '2':
		return c.event(body)
	case '3':
		return c.answer(id, body)
	case '4':
		var refusal struct {
			Message string `json:"message"`
			Data    struct {
				Code string `json:"code"`
			} `json:"data"`
		}
		_ = json.Unmarshal(body, &refusal) // it is one, whatever it says
		return fmt.Errorf("%w: %s %s", errRefused, refusal.Data.Code, refusal.Message)
	default:
		return fmt.Errorf("%w: %.80q", errProtocol, packet)
	}
}

func (c *light) joined(body []byte) error {
	var ids struct {
		Pid string `json:"pid"`
	}
	if err := json.Unmarshal(body, &ids); err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	c.said = c.pid != "" && c.pid == ids.Pid
	c.pid = ids.Pid
	return nil
}

func (c *light) event(body []byte) error {
	var args []json.RawMessage
	var name string
	if err := json.Unmarshal(body, &args); err != nil || len(args) == 0 || json.Unmarshal(args[0], &name) != nil {
		return fmt.Errorf("%w: %.80q", errProtocol, body)
	}
	if domainEvent(name) {
		data := struct {
			N int `json:"n"`
		}{N: -1}
		if len(args) > 1 {
			_ = json.Unmarshal(args[1], &data) // no number is judged later
		}
		c.report(report{Received: []int{c.person.id, data.N, kindOf(name), int(time.Now().UnixMilli())}})
	}
	if last := args[len(args)-1]; c.pid != "" && last[0] == '"' {
		if err := json.Unmarshal(last, &c.offset); err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
	}
	if name == "connected" && len(args) > 1 {
		return c.up(args[1])
	}
	return nil
}

func domainEvent(name string) bool {
	subject, _, _ := strings.Cut(name, "_")
	return subject == "solicitud" || subject == "oferta" || subject == "evaluacion" || subject == "notificacion"
}

func (c *light) up(greeting []byte) error {
	var g struct {
		Recovered bool   `json:"recovered"`
		Node      string `json:"node"`
		User      string `json:"user_id"`
	}
	if err := json.Unmarshal(greeting, &g); err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	c.greeted = true
	c.report(report{Event: "up", Recovered: g.Recovered, Said: c.said, Node: g.Node, User: g.User})
	c.subscribed = c.subscribed && g.Recovered
	if c.subscribed {
		c.report(report{Event: "ready"})
		return nil
	}
	for _, id := range c.person.solicitudes {
		text, err := json.Marshal([]any{"subscribe_solicitud", map[string]string{"solicitud_id": id}})
		if err != nil {
			return err
		}
		c.asked++
		c.waiting[c.asked] = true
		if err := c.send("42" + strconv.Itoa(c.asked) + string(text)); err != nil {
			return errTransportClose
		}
	}
	return nil
}

// answer is to a subscription. After a refusal this client comes back anew.
func (c *light) answer(id string, body []byte) error {
	var answers []struct {
		OK bool `json:"ok"`
	}
	n, err := strconv.Atoi(id)
	if err != nil || !c.waiting[n] || json.Unmarshal(body, &answers) != nil || len(answers) != 1 {
		return fmt.Errorf("%w: answer %s %.80q", errProtocol, id, body)
	}
	if !answers[0].OK {
		c.report(report{Event: "trouble", Why: fmt.Sprintf("subscribe: %.80s", body)})
		return errRefused
	}
	delete(c.waiting, n)
	if len(c.waiting) == 0 {
		c.subscribed = true
		c.report(report{Event: "ready"})
	}
	return nil
}
