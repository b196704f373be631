package api

import (
	"context"
	"net/http"
)

// States of a node's parts, as Health carries and /health shows them.
const (
	StateOK      = "ok"
	StateDown    = "down"
	StateOff     = "off"     // gossip is not configured: a cluster of one
	StateUnknown = "unknown" // nobody could say in time

	ConsumerConsuming = "consuming"
	ConsumerWaiting   = "waiting" // Redis does not answer it
	ConsumerStopped   = "stopped"
)

// Statuses of a node as a whole.
const (
	StatusOK       = "ok"
	StatusDegraded = "degraded"
	StatusDown     = "down"
)

// Health is the state of a node's parts. Values other than those named count as faults and are shown as they are.
type Health struct {
	Redis    string // ok, down
	Gossip   string // ok, off, down
	Consumer string // consuming, waiting, stopped
}

// Status says how a node is that has such parts:
//
//   - down (503): Redis does not answer, so that nothing arrives and nobody can be let into a room; or the consumer has
//     stopped, which it does only when the node drains or is broken.
//   - degraded (200): gossip fails, which only makes reclaim and presence slower; or the consumer waits although Redis
//     answers, while the other nodes consume for it. Clients here are still served.
//   - ok (200): everything else.
func (h Health) Status() string {
	switch {
	case h.Redis != StateOK, h.Consumer != ConsumerConsuming && h.Consumer != ConsumerWaiting:
		return StatusDown
	case h.Gossip != StateOK && h.Gossip != StateOff, h.Consumer == ConsumerWaiting:
		return StatusDegraded
	default:
		return StatusOK
	}
}

func newHealthReader(cfg Config, source func(context.Context) Health) *shared[Health] {
	return &shared[Health]{timeout: cfg.ReadTimeout, keep: cfg.CacheFor, read: func(ctx context.Context) (Health, error) {
		if source == nil {
			return Health{}, ErrUnavailable
		}
		return source(ctx), nil
	}}
}

func (s *server) answerHealth(w http.ResponseWriter, r *http.Request) error {
	h, err := s.health.get(r.Context())
	if err != nil {
		h = Health{Redis: StateUnknown, Gossip: StateUnknown, Consumer: StateUnknown}
	}
	doc := struct {
		Status   string `json:"status"`
		Redis    string `json:"redis"`
		Gossip   string `json:"gossip"`
		Consumer string `json:"consumer"`
		Version  string `json:"version"`
	}{h.Status(), h.Redis, h.Gossip, h.Consumer, s.cfg.Version}
	status := http.StatusOK
	if doc.Status == StatusDown {
		status = http.StatusServiceUnavailable
	}
	return writeJSON(w, status, doc)
}

// answerLive says that the process serves requests. It asks nothing else: a node whose Redis is away must wait for it,
// not be restarted.
func (s *server) answerLive(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, map[string]bool{"live": true})
}

func (s *server) answerReady(w http.ResponseWriter, _ *http.Request) error {
	ready, reasons := false, []string{StateUnknown}
	if s.src.Ready != nil {
		ready, reasons = s.src.Ready()
	}
	doc := struct {
		Ready   bool     `json:"ready"`
		Reasons []string `json:"reasons,omitempty"`
	}{Ready: ready}
	if ready {
		return writeJSON(w, http.StatusOK, doc)
	}
	doc.Reasons = reasons
	return writeJSON(w, http.StatusServiceUnavailable, doc)
}
