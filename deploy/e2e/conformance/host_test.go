package conformance

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/zishang520/socket.io/servers/engine/v3"
	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"

	"github.com/teloo/realtime-gateway/node/taskqueue"
)

// host is the contract's server in this process: an engine that echoes, and another one under a Socket.IO server.
type host struct {
	setup
	mux   *http.ServeMux
	stops []func()

	mu       sync.Mutex
	sessions map[string]*sessionRecord
	sockets  map[string]*socketSeen
	live     map[string][]*socket.Socket // by tag
}

type sessionRecord struct {
	session engine.Socket
	closes  []string
}

func newHost(set setup) *host {
	h := &host{
		setup: set, mux: http.NewServeMux(),
		sessions: map[string]*sessionRecord{}, sockets: map[string]*socketSeen{}, live: map[string][]*socket.Socket{},
	}
	h.mux.HandleFunc("GET /seen/session/{sid}", func(w http.ResponseWriter, r *http.Request) { answer(w, h.sessionSeen(r.PathValue("sid"))) })
	h.mux.HandleFunc("GET /seen/socket/{tag}", func(w http.ResponseWriter, r *http.Request) { answer(w, h.socketSeen(r.PathValue("tag"))) })
	h.mux.HandleFunc("GET /seen/sessions", func(w http.ResponseWriter, _ *http.Request) { answer(w, h.openSessions()) })
	h.mux.HandleFunc("POST /kick/{tag}", func(_ http.ResponseWriter, r *http.Request) {
		for _, s := range h.socketsOf(r.PathValue("tag")) {
			taskqueue.Enqueue(s, func() { s.Disconnect(true) }) // on its queue: two that end a socket at once are not told apart
		}
	})
	return h
}

func answer(w http.ResponseWriter, value any) {
	if err := json.NewEncoder(w).Encode(value); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (h *host) stop() {
	for _, stop := range h.stops {
		stop()
	}
}

// echo makes raw the echoing engine.
func (h *host) echo(raw engine.BaseServer, handler http.Handler) {
	_ = raw.On("connection", h.onSession)
	_ = raw.On("connection", func(args ...any) {
		s := args[0].(engine.Socket)
		_ = s.On("data", func(args ...any) { h.onData(s, args[0].(types.BufferInterface)) })
	})
	h.mux.Handle("/engine.io/", handler)
}

// bind puts io, with these namespaces, on raw.
func (h *host) bind(raw engine.BaseServer, handler http.Handler, io *socket.Server, namespaces []socket.Namespace) {
	_ = raw.On("connection", h.onSession)
	io.Bind(raw)
	for _, nsp := range namespaces {
		_ = nsp.On("connection", func(args ...any) { h.onSocket(args[0].(*socket.Socket)) })
	}
	h.mux.Handle("/socket.io/", handler)
}

func (h *host) onSession(args ...any) {
	s := args[0].(engine.Socket)
	record := &sessionRecord{session: s}
	h.mu.Lock()
	h.sessions[s.Id()] = record
	h.mu.Unlock()
	_ = s.On("close", func(args ...any) {
		h.mu.Lock()
		defer h.mu.Unlock()
		reason, _ := args[0].(string)
		record.closes = append(record.closes, reason)
		if h.forget {
			delete(h.sessions, s.Id())
		}
	})
	if h.setup.onSession != nil {
		h.setup.onSession(s)
	}
}

// onData echoes a message, unless it is a command.
func (h *host) onData(s engine.Socket, data types.BufferInterface) {
	text, isText := data.(*types.StringBuffer)
	if !isText || !strings.HasPrefix(text.String(), "!") {
		s.Send(data.Clone(), nil, nil)
		return
	}
	words := strings.Fields(text.String())
	number := func(i int) int { n, _ := strconv.Atoi(words[i]); return n }
	switch words[0] {
	case "!close":
		s.Close(false)
	case "!discard":
		s.Close(true)
	case "!burst":
		burst(s, number(1), number(2))
	case "!burst-close":
		burst(s, number(1), number(2))
		s.Close(false)
	case "!tick":
		go tick(s, number(1), number(2))
	}
}

// burst sends n numbered messages of at least size bytes.
func burst(s engine.Socket, n, size int) {
	fill := strings.Repeat("x", size)
	for i := range n {
		s.Send(types.NewStringBufferString(strconv.Itoa(i)+":"+fill), nil, nil)
	}
}

// tick sends n numbers, one every some milliseconds.
func tick(s engine.Socket, n, every int) {
	ticker := time.NewTicker(time.Duration(every) * time.Millisecond)
	defer ticker.Stop()
	for i := range n {
		<-ticker.C
		if s.ReadyState() != "open" {
			return
		}
		s.Send(types.NewStringBufferString(strconv.Itoa(i)), nil, nil)
	}
}

func (h *host) onSocket(s *socket.Socket) {
	waitForQueue(s)
	if h.setup.onSocket != nil {
		h.setup.onSocket(s)
	}
	tag, _ := s.Handshake().Auth["tag"].(string)
	seen := h.connected(tag, s)
	_ = s.On("count", func(...any) { h.count(seen) })
	_ = s.On("echo", func(args ...any) { _ = s.Emit("echo", args...) })
	registerEvents(s)
	_ = s.On("kick", func(...any) { s.Disconnect(true) })
	_ = s.On("bye", func(...any) {
		_ = s.Emit("bye")
		s.Disconnect(true)
	})
	_ = s.On("disconnect", func(args ...any) {
		h.mu.Lock()
		defer h.mu.Unlock()
		reason, _ := args[0].(string)
		seen.Disconnects = append(seen.Disconnects, reason)
	})
	_ = s.Emit("ready")
}

// waitForQueue makes a session that can wait report its end only after what was received before has been handled.
func waitForQueue(s *socket.Socket) {
	session, ok := s.Conn().(interface{ OnClosing(fn func(done func())) })
	if !ok {
		return
	}
	session.OnClosing(func(done func()) {
		once := sync.OnceFunc(done)
		_ = s.Once("disconnect", func(...any) { once() }) // its queue takes no more then
		taskqueue.Enqueue(s, func() { s.Enqueue(once) })  // an event passes the queue twice
		if !s.Connected() {
			once()
		}
	})
}

func (h *host) connected(tag string, s *socket.Socket) *socketSeen {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := h.sockets[tag]
	if seen == nil {
		seen = &socketSeen{}
	}
	if h.forget {
		return seen
	}
	h.sockets[tag] = seen
	seen.Connects++
	h.live[tag] = append(h.live[tag], s)
	return seen
}

func (h *host) count(seen *socketSeen) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen.Handled++
	if len(seen.Disconnects) > 0 {
		seen.Late++
	}
}

func (h *host) sessionSeen(sid string) sessionSeen {
	h.mu.Lock()
	record := h.sessions[sid]
	seen := sessionSeen{}
	if record != nil {
		seen.Closes = append(seen.Closes, record.closes...)
	}
	h.mu.Unlock()
	if record != nil {
		seen.State = record.session.ReadyState()
		if transport := record.session.Transport(); transport != nil {
			seen.Transport, seen.Writable = transport.Name(), transport.Writable()
		}
	}
	return seen
}

func (h *host) socketSeen(tag string) socketSeen {
	h.mu.Lock()
	defer h.mu.Unlock()
	if seen := h.sockets[tag]; seen != nil {
		copied := *seen
		copied.Disconnects = append([]string(nil), seen.Disconnects...)
		return copied
	}
	return socketSeen{}
}

func (h *host) socketsOf(tag string) []*socket.Socket {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*socket.Socket(nil), h.live[tag]...)
}

func (h *host) openSessions() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, record := range h.sessions {
		if len(record.closes) == 0 {
			n++
		}
	}
	return n
}
