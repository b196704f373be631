package engine

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/zishang520/socket.io/servers/engine/v3"
)

// Server makes and keeps sessions. It is the library's engine as far as Socket.IO needs one: it emits "connection" with
// each new session. Its methods are safe for concurrent use.
type Server struct {
	engine.BaseServer

	cfg     Config
	log     *slog.Logger
	ids     *sidMaker
	wheel   wheel
	writers []*writer
	turn    atomic.Uint64 // of the writers
	helpers sync.Pool     // of *sender
	count   counters
	refused tallies

	mu       sync.Mutex
	ended    bool                // mu
	sessions map[string]*Session // mu
	places   int                 // mu: taken by sessions and handshakes
	closed   map[string]uint64   // mu: by reason
	children sync.WaitGroup
}

var _ engine.BaseServer = (*Server)(nil)

// New makes a server. It takes sessions at once, and serves them while Run runs.
func New(cfg Config, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{
		BaseServer: engine.MakeBaseServer(), cfg: cfg, log: log.With("component", "engine"),
		ids: newSidMaker(cfg.NodeName, cfg.Secret), sessions: make(map[string]*Session), closed: make(map[string]uint64),
	}
	s.helpers.New = func() any { return newSender() }
	for range cfg.Writers {
		s.writers = append(s.writers, newWriter())
	}
	return s, nil
}

// Run carries the sessions until ctx ends, then ends those that are left and returns when nothing of theirs is under way.
func (s *Server) Run(ctx context.Context) error {
	own, stop := context.WithCancel(context.WithoutCancel(ctx))
	var actors sync.WaitGroup
	actors.Go(func() { s.wheel.run(own, (*Session).heartbeat) })
	for _, w := range s.writers {
		actors.Go(func() { w.run(own) })
	}
	<-ctx.Done()
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.Close()
	s.children.Wait()
	stop()
	actors.Wait()
	return nil
}

// Close ends all sessions at once.
func (s *Server) Close() engine.BaseServer {
	s.mu.Lock()
	all := make([]*Session, 0, len(s.sessions))
	for _, session := range s.sessions {
		all = append(all, session)
	}
	s.mu.Unlock()
	for _, session := range all {
		session.Close(true)
	}
	return s
}

// spawn runs fn on a goroutine that Run waits for.
func (s *Server) spawn(fn func()) { s.children.Go(fn) }

// Owner tells which node's a session id is; false for one that no node with this secret has made.
func (s *Server) Owner(sid string) (Tag, bool) { return s.ids.owner(sid) }

// Own reports whether an id names this node. It says nothing of whether there is, or has been, such a session.
func (s *Server) Own(sid string) bool { return strings.HasPrefix(sid, s.ids.prefix) }

func (s *Server) writer() *writer {
	return s.writers[s.turn.Add(1)%uint64(len(s.writers))]
}

func (s *Server) session(sid string) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[sid]
}

// takePlace takes one of Config.MaxSessions for a handshake; false if there is none.
func (s *Server) takePlace() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.places >= s.cfg.MaxSessions {
		return false
	}
	s.places++
	return true
}

// giveUpPlace is for handshakes that lead to no session.
func (s *Server) giveUpPlace() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.places--
}

// keep makes a session known, and Run wait until its end has been announced; false if the server has ended meanwhile.
// The place that the handshake has taken is the session's then.
func (s *Server) keep(session *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		s.places--
		return false
	}
	s.sessions[session.id] = session
	s.children.Add(1)
	return true
}

// enter makes Run wait for a request; false if it has ended. The caller has to call children.Done.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.children.Add(1)
	return true
}

func (s *Server) forget(session *Session, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, session.id)
	s.places--
	s.closed[reason]++
}
