package api

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

// Stats is the cluster as /stats shows it; the order of its fields is the order of the JSON's keys, and the first four
// are the original service's.
type Stats struct {
	ConnectedUsers    int64       `json:"connected_users"` // distinct users, whatever their roles
	AdminsConnected   int64       `json:"admins_connected"`
	AdvisorsConnected int64       `json:"advisors_connected"`
	ClientsConnected  int64       `json:"clients_connected"`
	Connections       int64       `json:"connections"` // sockets; a user may have several
	Nodes             []NodeStats `json:"nodes"`
	AsOf              time.Time   `json:"as_of"`           // when the figures were read; zero: now
	Stale             bool        `json:"stale,omitempty"` // set by this package when they could not be read anew
}

// NodeStats is one node of the cluster.
type NodeStats struct {
	Name          string    `json:"name"`
	Connections   int64     `json:"connections"`
	Version       string    `json:"version"`
	LastHeartbeat time.Time `json:"last_heartbeat"`
}

type statsReader struct {
	read    *shared[[]byte]
	log     *slog.Logger
	last    atomic.Pointer[[]byte] // the last figures read, marked stale, encoded
	failing atomic.Bool            // so that an outage is logged once
}

func newStatsReader(cfg Config, source func(context.Context) (Stats, error), log *slog.Logger) *statsReader {
	s := &statsReader{log: log}
	s.read = &shared[[]byte]{timeout: cfg.ReadTimeout, keep: cfg.CacheFor, read: func(ctx context.Context) ([]byte, error) {
		if source == nil {
			return nil, ErrUnavailable
		}
		figures, err := source(ctx)
		if err != nil {
			return nil, err
		}
		return s.encode(figures)
	}}
	return s
}

// encode gives the answer and keeps its stale form.
func (s *statsReader) encode(figures Stats) ([]byte, error) {
	if figures.AsOf.IsZero() {
		figures.AsOf = time.Now()
	}
	figures.AsOf = rfc3339(figures.AsOf)
	nodes := make([]NodeStats, len(figures.Nodes))
	for i, n := range figures.Nodes {
		n.LastHeartbeat = rfc3339(n.LastHeartbeat)
		nodes[i] = n
	}
	figures.Nodes = nodes

	figures.Stale = true
	stale, err := json.Marshal(figures)
	if err != nil {
		return nil, fmt.Errorf("encode figures: %w", err)
	}
	figures.Stale = false
	fresh, err := json.Marshal(figures)
	if err != nil {
		return nil, fmt.Errorf("encode figures: %w", err)
	}
	stale = append(stale, '\n')
	s.last.Store(&stale)
	return append(fresh, '\n'), nil
}

func rfc3339(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// answerStats answers 503 only while no figures were ever read.
func (s *server) answerStats(w http.ResponseWriter, r *http.Request) error {
	body, err := s.stats.read.get(r.Context())
	if r.Context().Err() == nil && s.stats.failing.Swap(err != nil) != (err != nil) {
		if err != nil {
			s.log.Warn("figures cannot be read", "err", err)
		} else {
			s.log.Info("figures can be read again")
		}
	}
	if err != nil {
		stale := s.stats.last.Load()
		if stale == nil {
			return ErrUnavailable
		}
		body = *stale
	}
	writeBody(w, http.StatusOK, body)
	return nil
}
