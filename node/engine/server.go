package engine

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

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
	count   counters

	mu       sync.Mutex
	running  bool                // mu
	sessions map[string]*Session // mu
	closed   map[string]uint64   // mu: by reason
	children sync.WaitGroup
}

var _ engine.BaseServer = (*Server)(nil)

// New makes a server; it serves while Run runs.
func New(cfg Config, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{
		BaseServer: engine.MakeBaseServer(), cfg: cfg, log: log.With("component", "engine"),
		ids: newSidMaker(cfg.NodeName, cfg.Secret), sessions: make(map[string]*Session), closed: make(map[string]uint64),
	}
	for range cfg.Writers {
		s.writers = append(s.writers, newWriter(s))
	}
	return s, nil
}

// Run carries the sessions until ctx ends, then ends those that are left and returns when nothing of theirs is under way.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	s.running = true
	s.mu.Unlock()
	own, stop := context.WithCancel(context.WithoutCancel(ctx))
	var actors sync.WaitGroup
	actors.Go(func() { s.wheel.run(own, (*Session).heartbeat) })
	for _, w := range s.writers {
		actors.Go(func() { w.run(own) })
	}
	<-ctx.Done()
	s.mu.Lock()
	s.running = false
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

// Pace holds its caller while the clients that keep up have more waiting than Config.MaxBacklog, so that what is sent waits
// where it costs least. It returns when that has halved, or ctx ended.
func (s *Server) Pace(ctx context.Context) {
	if s.backlog() < int64(s.cfg.MaxBacklog) {
		return
	}
	s.count.paced.Add(1)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for s.backlog() >= int64(s.cfg.MaxBacklog)/2 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Server) backlog() (frames int64) {
	for _, w := range s.writers {
		frames += w.backlog.Load()
	}
	return frames
}

func (s *Server) writer() *writer {
	return s.writers[s.turn.Add(1)%uint64(len(s.writers))]
}

func (s *Server) session(sid string) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[sid]
}

// keep makes a session known; false if the server has ended meanwhile.
func (s *Server) keep(session *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running {
		return false
	}
	s.sessions[session.id] = session
	return true
}

// enter makes Run wait for a request; false if it does not run. The caller has to call children.Done.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running {
		return false
	}
	s.children.Add(1)
	return true
}

func (s *Server) forget(session *Session, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, session.id)
	s.closed[reason]++
}
