package main

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/adapter"
	"github.com/teloo/realtime-gateway/node"
	"github.com/teloo/realtime-gateway/node/engine"
	"github.com/teloo/realtime-gateway/node/taskqueue"
)

// namespaces are those that every server of the tests has.
var namespaces = []any{"/", "/custom", regexp.MustCompile(`^/dynamic-\d+$`)}

type config struct {
	name, redis, listen string
	cluster             bool
	patience            time.Duration
}

// member is the server. Its fields are constant but for heard.
type member struct {
	name            string
	redis, blocking redis.UniversalClient
	cluster         *adapter.Cluster
	engine          *engine.Server
	io              *socket.Server

	mu    sync.Mutex
	heard [][]any // mu: server-side events with their arguments, oldest first
}

func newMember(cfg config, log *slog.Logger) (*member, error) {
	m := &member{name: cfg.name, redis: connect(cfg), blocking: connect(cfg)}
	acfg := adapter.DefaultConfig()
	acfg.UID = cfg.name + ":" + strconv.FormatInt(time.Now().UnixMilli(), 10)
	acfg.RequestTimeout, acfg.Sharded = cfg.patience, cfg.cluster
	var err error
	m.cluster, err = adapter.New(acfg, adapter.Deps{
		Redis: m.redis, Blocking: m.blocking, Log: log, Lead: func() bool { return false },
	})
	if err != nil {
		return nil, err
	}
	ecfg := engine.DefaultConfig()
	ecfg.NodeName, ecfg.Final, ecfg.Acceptable = cfg.name, node.Final, node.Acceptable
	if m.engine, err = engine.New(ecfg, log); err != nil {
		return nil, err
	}
	opts := socket.DefaultServerOptions()
	opts.SetAdapter(m.cluster)
	m.io = socket.NewServer(nil, opts)
	m.io.Bind(m.engine)
	for _, name := range namespaces {
		m.serve(m.io.Of(name, nil))
	}
	return m, nil
}

func connect(cfg config) redis.UniversalClient {
	return redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: []string{cfg.redis}, IsClusterMode: cfg.cluster, MaxRetries: -1, ReadTimeout: 5 * time.Second,
	})
}

// close is for after Run.
func (m *member) close() {
	m.io.Close(nil)
	_ = m.redis.Close()
	_ = m.blocking.Close()
}

// serve sets up a namespace as the tests' Node servers do.
func (m *member) serve(nsp socket.Namespace) {
	nsp.Use(func(s *socket.Socket, next func(*socket.ExtendedError)) {
		taskqueue.Take(s, func(any) {})
		conn, _ := s.Conn().(*engine.Session)
		conn.Hold()
		next(nil)
		taskqueue.Run(s)
	})
	_ = nsp.On("connection", func(args ...any) {
		s, _ := args[0].(*socket.Socket)
		m.admit(s)
		conn, _ := s.Conn().(*engine.Session)
		_ = conn.On("data", func(...any) { taskqueue.Run(s) })
		conn.Release()
	})
	for _, event := range []string{"rumour", "heard-by-go"} {
		_ = nsp.On(event, func(args ...any) { m.hear(event, args) })
	}
}

// admit puts a socket into the rooms that it asks for.
func (m *member) admit(s *socket.Socket) {
	auth := s.Handshake().Auth
	s.SetData(map[string]any{"name": auth["name"]})
	rooms, _ := auth["rooms"].([]any)
	for _, room := range rooms {
		name, _ := room.(string)
		s.Join(socket.Room(name))
	}
	_ = s.Emit("welcome", m.name)
}

// hear keeps a server-side event, and answers one that asks with who it is and what it was told.
func (m *member) hear(event string, args []any) {
	var ack socket.Ack
	if len(args) > 0 {
		ack, _ = args[len(args)-1].(socket.Ack)
	}
	if ack != nil {
		args = args[:len(args)-1]
	}
	m.mu.Lock()
	m.heard = append(m.heard, append([]any{event}, args...))
	m.mu.Unlock()
	if ack != nil {
		ack([]any{map[string]any{"name": m.name, "told": args}}, nil)
	}
}

func (m *member) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", m.engine)
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if !m.cluster.Ready() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /heard", func(w http.ResponseWriter, _ *http.Request) {
		m.mu.Lock()
		heard := slices.Clone(m.heard)
		m.mu.Unlock()
		answer(w, heard, nil)
	})
	mux.HandleFunc("POST /do", func(w http.ResponseWriter, r *http.Request) {
		var c command
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		value, err := m.do(c)
		answer(w, value, err)
	})
	return mux
}

func answer(w http.ResponseWriter, value any, err error) {
	out := map[string]any{"value": outward(value)}
	if err != nil {
		out["error"] = err.Error()
	}
	text, err := json.Marshal(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text)
}
