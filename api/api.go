// Package api serves the gateway's HTTP side besides Socket.IO: what the node is, its health, the cluster's figures and,
// in development, the demo page. It owns the answers' form, their caching and who may read them. It never talks to Redis,
// gossip or sockets itself: it is given functions, and what those report in errors never reaches a client.
package api

import (
	"context"
	"encoding/json"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/teloo/realtime-gateway/api/web"
)

// Sources are the functions that know the answers. All may be called from many goroutines; those with a context must
// return soon after it ends. One left nil counts as failing.
type Sources struct {
	// Stats reads the cluster's figures. Called one at a time and at most once per Config.CacheFor.
	Stats func(context.Context) (Stats, error)
	// Health looks at this node's parts. Called like Stats.
	Health func(context.Context) Health
	// Ready says whether a load balancer should send clients here and, if not, why: short words, shown to anybody.
	Ready func() (ready bool, reasons []string)
	// Uptime is the time since the process began.
	Uptime func() time.Duration
	// Demo serves /demo; used only with Config.Dev.
	Demo Demo
}

// Demo is what the demo page needs. An error that wraps ErrInvalid is the visitor's and is shown with its text.
type Demo struct {
	// Token makes a token that this gateway accepts.
	Token func(role, user string, solicitudes []string) (token string, err error)
	// Publish writes one event to the event stream and gives its id. The event is a JSON object in the form of an
	// entry's payload field: event, data and optionally rooms, event_id, occurred_at, traceparent.
	Publish func(ctx context.Context, event json.RawMessage) (id string, err error)
}

type server struct {
	cfg    Config
	src    Sources
	log    *slog.Logger
	dist   fs.FS
	stats  *statsReader
	health *shared[Health]
}

// New returns the handler of every path but Socket.IO's. Fields of cfg left at zero take DefaultConfig's values;
// the rest is for the caller to Validate before. The handler starts no goroutine and holds nothing to be closed.
func New(cfg Config, src Sources, log *slog.Logger) http.Handler {
	return newServer(cfg, src, log, web.Dist).handler()
}

func newServer(cfg Config, src Sources, log *slog.Logger, dist fs.FS) *server {
	s := &server{cfg: cfg.withDefaults(), src: src, log: log.With("component", "api"), dist: dist}
	s.stats = newStatsReader(s.cfg, src.Stats, s.log)
	s.health = newHealthReader(s.cfg, src.Health)
	return s
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	for path, answer := range map[string]answerFunc{
		"/{$}":          s.index,
		"/health":       s.answerHealth,
		"/health/live":  s.answerLive,
		"/health/ready": s.answerReady,
		"/stats":        s.answerStats,
	} {
		mux.Handle(path, s.cors(s.only(answer, http.MethodGet, http.MethodHead)))
	}
	if s.cfg.Dev {
		s.demoRoutes(mux)
	}
	mux.Handle("/", s.only(func(http.ResponseWriter, *http.Request) error { return errNotFound }))
	return Guard(mux, s.cfg.MaxBody, s.fail)
}

type index struct {
	Name    string            `json:"name"`
	Version string            `json:"version"`
	Node    string            `json:"node"`
	Uptime  float64           `json:"uptime"` // seconds
	Links   map[string]string `json:"links"`
}

func (s *server) index(w http.ResponseWriter, _ *http.Request) error {
	doc := index{Name: s.cfg.Name, Version: s.cfg.Version, Node: s.cfg.Node, Links: map[string]string{
		"health": "/health", "live": "/health/live", "ready": "/health/ready", "stats": "/stats", "socket.io": "/socket.io/",
	}}
	if s.src.Uptime != nil {
		doc.Uptime = s.src.Uptime().Truncate(time.Millisecond).Seconds()
	}
	if s.cfg.Dev {
		doc.Links["demo"] = "/demo"
	}
	return writeJSON(w, http.StatusOK, doc)
}
