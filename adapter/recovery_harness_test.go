package adapter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/engine/v3"
	"github.com/zishang520/socket.io/servers/socket/v3"
)

// lobby is a node whose sockets have sessions: as the gateway does, it takes a session over in its middleware, and opens
// or resumes it when the socket has connected.
type lobby struct {
	*testNode

	// Set before the first visit.
	ungranted  []string             // rooms that nobody is granted again
	atMiddle   func(*Recovery)      // before a session is taken
	atConnect  func(*socket.Socket) // before a session is opened or resumed
	inHello    func()               // within hello
	mu         sync.Mutex
	served     map[string]*socket.Socket // mu; by user, the latest
	announced  sync.Map                  // connections, by id, that the server listens to
	failures   []error                   // mu: of Open and Resume
	sessionErr []error                   // mu: of Session and Take
}

// admitted is a socket's data behind the middleware.
type admitted struct {
	recovery *Recovery
	user     string
	rooms    []string
}

func openLobby(t testing.TB, addr string, cfg Config, change ...func(*Deps)) *lobby {
	t.Helper()
	l := prepareLobby(t, addr, cfg, change...)
	l.run()
	eventually(t, "node is ready", l.cluster.Ready)
	return l
}

func prepareLobby(t testing.TB, addr string, cfg Config, change ...func(*Deps)) *lobby {
	t.Helper()
	l := &lobby{testNode: prepareCluster(t, addr, cfg, change...), served: make(map[string]*socket.Socket)}
	recovery := socket.DefaultConnectionStateRecovery()
	recovery.SetSkipMiddlewares(false)
	l.serveWith(recovery)
	l.io.Use(func(s *socket.Socket, next func(*socket.ExtendedError)) {
		go func() {
			if err := l.admit(s); err != nil {
				next(socket.NewExtendedError(err.Error(), nil))
				return
			}
			next(nil)
		}()
	})
	_ = l.io.On("connection", func(args ...any) { l.serve(args[0].(*socket.Socket)) })
	_ = l.io.Engine().On("connection", func(args ...any) { l.announced.Store(args[0].(engine.Socket).Id(), true) })
	return l
}

func (l *lobby) admit(s *socket.Socket) error {
	auth := s.Handshake().Auth
	user, _ := auth["user"].(string)
	a := &admitted{user: user}
	r, recovers := s.Data().(*Recovery)
	if !recovers {
		rooms, _ := auth["rooms"].([]any)
		for _, room := range rooms {
			a.rooms = append(a.rooms, room.(string))
		}
		s.SetData(a)
		return nil
	}
	if l.atMiddle != nil {
		l.atMiddle(r)
	}
	whose, rooms, err := r.Session()
	if err == nil && whose != user {
		r.Discard(context.Background())
		return errors.New("another user's")
	}
	if err == nil {
		err = r.Take(context.Background())
	}
	if err != nil {
		l.mu.Lock()
		l.sessionErr = append(l.sessionErr, err)
		l.mu.Unlock()
		return err
	}
	a.recovery = r
	a.rooms = slices.DeleteFunc(rooms, func(room string) bool { return slices.Contains(l.ungranted, room) })
	s.SetData(a)
	return nil
}

func (l *lobby) serve(s *socket.Socket) {
	a := s.Data().(*admitted)
	if l.atConnect != nil {
		l.atConnect(s)
	}
	hello := func() (string, any) {
		if l.inHello != nil {
			l.inHello()
		}
		return "connected", map[string]any{"recovered": a.recovery != nil, "rooms": a.rooms}
	}
	_ = s.On("join", func(args ...any) {
		s.Join(socket.Room(args[0].(string)))
		l.cluster.Saved(s, func(err error) { _ = s.Emit("saved", err == nil) })
	})
	_ = s.On("leave", func(args ...any) {
		s.Leave(socket.Room(args[0].(string)))
		l.cluster.Saved(s, func(err error) { _ = s.Emit("saved", err == nil) })
	})
	var err error
	if a.recovery != nil {
		err = a.recovery.Resume(s, a.rooms, hello)
	} else {
		err = l.cluster.Open(s, a.user, a.rooms, hello)
	}
	l.mu.Lock()
	l.served[a.user] = s
	if err != nil {
		l.failures = append(l.failures, err)
	}
	l.mu.Unlock()
	if err != nil {
		go s.Conn().Close(true)
	}
	if !s.Connected() || s.Conn().ReadyState() != "open" {
		l.cluster.Lost(s)
		s.Disconnect(false)
	}
}

func (l *lobby) socketOf(user string) *socket.Socket {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.served[user]
}

func (l *lobby) faults() (failures, session []error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.failures), slices.Clone(l.sessionErr)
}

// crash ends the node as if it had been killed: nothing more of it reaches Redis.
func (l *lobby) crash() {
	l.cancel()
	<-l.done
	l.stop()
}

// tell publishes events of these names to rooms, one after the other.
func (l *lobby) tell(rooms string, names ...string) {
	l.t.Helper()
	for _, name := range names {
		l.publish(name, strings.Fields(rooms)...)
	}
}

// caughtUp waits until the node has read all of the log.
func (l *lobby) caughtUp(c *redis.Client) {
	l.t.Helper()
	eventually(l.t, "the node has read the log", func() bool {
		newest, err := c.XRevRangeN(context.Background(), logKey, "+", "-", 1).Result()
		return err == nil && len(newest) == 1 && l.cluster.Stats().Position == newest[0].ID
	})
}

// visitor is a client that keeps, as the stock one does, its session id and offset over its connections.
type visitor struct {
	t     testing.TB
	user  string
	rooms []string

	pid, offset string // mu while connected
	conn        *websocket.Conn
	done        chan struct{}

	mu        sync.Mutex
	events    []string // mu: names, over all connections; not those below
	connected []bool   // mu: what `connected` said of recovery, by connection
	agreed    []bool   // mu: what the session id said of it
	order     []string // mu: names of the present connection, all of them
	syncs     int      // mu
	saved     []bool   // mu
	sentAway  bool     // mu: the server said DISCONNECT
	gone      bool     // mu: the connection has ended
}

var errVisit = errors.New("connect_error")

func newVisitor(t testing.TB, user string, rooms ...string) *visitor {
	v := &visitor{t: t, user: user, rooms: rooms}
	t.Cleanup(v.cut)
	return v
}

// visit connects and waits for `connected`, or for the end of the connection. The error is errVisit.
func (v *visitor) visit(l *lobby) error {
	v.t.Helper()
	v.cut()
	var err error
	eventually(v.t, "a connection", func() bool {
		err = v.dial(l)
		return err == nil || errors.Is(err, errVisit)
	})
	if err != nil {
		return err
	}
	v.done = make(chan struct{})
	go v.follow(v.conn, v.done)
	eventually(v.t, "connected", func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.gone && len(v.connected) < len(v.agreed) {
			v.agreed = v.agreed[:len(v.connected)] // it was not served
			return true
		}
		return len(v.connected) == len(v.agreed)
	})
	return nil
}

func (v *visitor) isGone() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.gone
}

func (v *visitor) mustVisit(l *lobby, recovered bool) {
	v.t.Helper()
	require.NoError(v.t, v.visit(l))
	v.mu.Lock()
	defer v.mu.Unlock()
	require.NotEmpty(v.t, v.order, "the connection ended before it was served")
	require.Equal(v.t, v.agreed, v.connected, "`connected` and the session id agree")
	require.Equal(v.t, recovered, v.connected[len(v.connected)-1], "recovered")
	require.Equal(v.t, "connected", v.order[0], "it comes first")
}

var connectReply = regexp.MustCompile(`^4([04])(\{.*\})$`)

func (v *visitor) dial(l *lobby) error {
	conn, response, err := websocket.DefaultDialer.Dial(
		"ws"+strings.TrimPrefix(l.http.URL, "http")+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if err = l.awaitAnnounced(conn); err != nil {
		_ = conn.Close()
		return err
	}
	auth := map[string]any{"user": v.user, "rooms": v.rooms}
	if v.pid != "" {
		auth["pid"] = v.pid
		if v.offset != "" {
			auth["offset"] = v.offset
		}
	}
	text, err := json.Marshal(auth)
	require.NoError(v.t, err)
	if err = conn.WriteMessage(websocket.TextMessage, append([]byte("40"), text...)); err == nil {
		err = v.greeted(conn)
	}
	if err != nil {
		_ = conn.Close()
	}
	return err
}

// awaitAnnounced reads a connection's first packet and waits until a CONNECT would not be read by nobody.
func (l *lobby) awaitAnnounced(conn *websocket.Conn) error {
	_, data, err := conn.ReadMessage()
	if err != nil {
		return err
	}
	var open struct {
		Sid string `json:"sid"`
	}
	if err := json.Unmarshal(data[1:], &open); err != nil {
		return err
	}
	eventually(l.t, "the connection is announced", func() bool {
		_, ok := l.announced.Load(open.Sid)
		return ok
	})
	return nil
}

func (v *visitor) greeted(conn *websocket.Conn) error {
	_, data, err := conn.ReadMessage()
	if err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Time{})
	reply := connectReply.FindStringSubmatch(string(data))
	require.NotNil(v.t, reply, string(data))
	if reply[1] == "4" {
		return fmt.Errorf("%w: %s", errVisit, reply[2])
	}
	var hello struct {
		Sid string `json:"sid"`
		Pid string `json:"pid"`
	}
	require.NoError(v.t, json.Unmarshal([]byte(reply[2]), &hello))
	v.mu.Lock()
	defer v.mu.Unlock()
	v.agreed = append(v.agreed, v.pid != "" && v.pid == hello.Pid)
	v.pid, v.conn, v.order, v.gone = hello.Pid, conn, nil, false
	return nil
}

func (v *visitor) follow(conn *websocket.Conn, done chan struct{}) {
	defer close(done)
	for {
		_, data, err := conn.ReadMessage()
		v.mu.Lock()
		if err != nil {
			v.gone = true
			v.mu.Unlock()
			return
		}
		v.note(string(data))
		v.mu.Unlock()
	}
}

func (v *visitor) note(text string) {
	if text == "41" {
		v.sentAway = true
		return
	}
	array, is := strings.CutPrefix(text, "42")
	var args []any
	if !is || json.Unmarshal([]byte(array), &args) != nil || len(args) == 0 {
		return
	}
	if offset, is := args[len(args)-1].(string); is && len(args) > 1 {
		v.offset = offset
	}
	name, _ := args[0].(string)
	v.order = append(v.order, name)
	switch name {
	case "connected":
		recovered, _ := args[1].(map[string]any)["recovered"].(bool)
		v.connected = append(v.connected, recovered)
		if !recovered {
			v.events = append(v.events, "|") // a fresh start: the application reloads its state
		}
	case "sync":
		v.syncs++
	case "saved":
		v.saved = append(v.saved, args[1] == true)
	default:
		v.events = append(v.events, name)
	}
}

// cut resets the connection and waits until what had arrived is noted.
func (v *visitor) cut() {
	if v.done == nil {
		return
	}
	_ = v.conn.Close()
	<-v.done
	v.done = nil
}

func (v *visitor) emit(event string, arg string) {
	v.t.Helper()
	v.mu.Lock()
	was := len(v.saved)
	v.mu.Unlock()
	require.NoError(v.t, v.conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `42[%q,%q]`, event, arg)))
	eventually(v.t, event+" is saved", func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return len(v.saved) > was
	})
	v.mu.Lock()
	defer v.mu.Unlock()
	require.True(v.t, v.saved[was])
}

func (v *visitor) got() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.events)
}

// expect waits for these events, over all connections; "|" stands for a fresh start.
func (v *visitor) expect(names ...string) {
	v.t.Helper()
	names = strings.Fields(strings.Join(names, " "))
	eventually(v.t, fmt.Sprintf("%d events", len(names)), func() bool { return len(v.got()) >= len(names) })
	require.Equal(v.t, names, v.got())
}

func (v *visitor) expectGone() {
	v.t.Helper()
	eventually(v.t, "the connection is closed", v.isGone)
}

// at makes the visitor come with another offset.
func (v *visitor) at(offset string) *visitor {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.offset = offset
	return v
}

func (v *visitor) lastOffset() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.offset
}

func sessionKey(v *visitor) string { return "{teloo}:session:" + v.pid }

// stored waits until Redis holds a session of the visitor that satisfies ok.
func (v *visitor) stored(c *redis.Client, ok func(record) bool) record {
	v.t.Helper()
	var rec record
	eventually(v.t, "the session is stored", func() bool {
		text, err := c.Get(context.Background(), sessionKey(v)).Result()
		rec = record{}
		return err == nil && json.Unmarshal([]byte(text), &rec) == nil && ok(rec)
	})
	return rec
}

func isLive(r record) bool   { return !r.Closed && !r.Ended }
func isClosed(r record) bool { return r.Closed && !r.Ended }
func isEnded(r record) bool  { return r.Ended }

// calls returns how often Redis has carried out a command.
func calls(t testing.TB, c *redis.Client, command string) int {
	info, err := c.Info(context.Background(), "commandstats").Result()
	require.NoError(t, err)
	var n int
	if at := strings.Index(info, "cmdstat_"+command+":calls="); at >= 0 {
		_, err = fmt.Sscanf(info[at:], "cmdstat_"+command+":calls=%d,", &n)
		require.NoError(t, err)
	}
	return n
}
