package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/teloo/realtime-gateway/api"
)

// Watcher is a visitor's connection.
type Watcher interface {
	comparable
	// Emit sends an event and does not wait.
	Emit(event string, value any)
}

// Errors of Admit; their texts are what the visitor's client is told.
var (
	ErrUnauthorized = errors.New("unauthorized")
	ErrRateLimited  = errors.New("rate_limited")
)

// Questions that nodes ask each other, and what a node tells when it leaves.
const (
	QuestionNow  = "gateway:figures"
	QuestionPast = "gateway:history"
	NewsLeaving  = "gateway:leaving"
)

// Page is the operators' page of one node, for watchers of type W. It is safe for concurrent use.
type Page[W Watcher] struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	key     *api.KeyCheck
	history *history
	roster  *roster       // mu
	wake    chan struct{} // somebody came

	mu       sync.Mutex
	watchers map[W]bool // mu: false: has not been sent the history
	scene    scene      // of collect
}

// New makes a page; it is served while Run runs.
func New[W Watcher](cfg Config, deps Deps) (*Page[W], error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Figures == nil || deps.Ask == nil || deps.Members == nil || deps.Cluster == nil || deps.Log == nil || deps.ClientAddr == nil {
		return nil, errors.New("dashboard: a dependency is missing")
	}
	return &Page[W]{
		cfg: cfg, deps: deps, log: deps.Log.With("component", "dashboard"),
		key:     api.NewKeyCheck(cfg.Key, cfg.MaxFailures, cfg.MaxAddresses),
		history: newHistory(cfg.Window, cfg.SampleEvery), roster: newRoster(cfg.Window),
		wake: make(chan struct{}, 1), watchers: make(map[W]bool),
	}, nil
}

// Admit decides on a connect by the key in its auth.
func (p *Page[W]) Admit(r *http.Request, auth map[string]any) error {
	key, _ := auth["key"].(string)
	if key == "" {
		return ErrUnauthorized // guesses nothing
	}
	addr := p.deps.ClientAddr(r)
	right, wait := p.key.Check(addr, key)
	switch {
	case wait > 0:
		return ErrRateLimited
	case !right:
		p.log.Warn("admin key refused", "address", logged(addr))
		return ErrUnauthorized
	}
	return nil
}

func logged(addr netip.Addr) string {
	if !addr.IsValid() {
		return "unknown"
	}
	return addr.String()
}

// Entered begins to send a watcher figures.
func (p *Page[W]) Entered(w W) {
	p.mu.Lock()
	p.watchers[w] = false
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Left ends it.
func (p *Page[W]) Left(w W) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.watchers, w)
}

// Answer is what this node tells others: an answer of type JSON to each of the Questions.
func (p *Page[W]) Answer(question string) []byte {
	var told any = p.figures()
	if question == QuestionPast {
		told = p.past()
	}
	raw, err := json.Marshal(told)
	if err != nil {
		p.log.Error("figures not encoded", "err", err)
		return nil
	}
	return raw
}

func (p *Page[W]) figures() Figures { return p.history.lately(p.deps.Figures()) }

func (p *Page[W]) past() past { return p.history.past(p.deps.Figures().Identity) }

// Run notes this node's figures, and collects the other nodes' while somebody watches, until ctx ends.
func (p *Page[W]) Run(ctx context.Context) error {
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return p.runSamples(ctx) })
	both.Go(func() error { return p.runCollect(ctx) })
	return both.Wait()
}

// rosterEvery is how many samples apart the nodes are noted while nobody watches, so that who comes sees whom they missed.
const rosterEvery = 2

func (p *Page[W]) runSamples(ctx context.Context) error {
	every := p.cfg.SampleEvery
	for n := 0; ; n++ {
		next := time.Now().Truncate(every).Add(every)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(next)):
		}
		p.guarded("sample", func() {
			p.history.add(newSample(p.deps.Figures(), ms(next)))
			if n%rosterEvery == 0 {
				p.noteMembers(ctx)
			}
		})
	}
}

// noteMembers remembers who is there.
func (p *Page[W]) noteMembers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.AskTimeout)
	defer cancel()
	members, err := p.deps.Members(ctx)
	if err != nil {
		return // they are what they were
	}
	now := ms(time.Now())
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.watchers) > 0 {
		return // collect knows better
	}
	p.roster.heard(nil, now)
	p.roster.members(members, now)
	for _, m := range members {
		p.roster.nodes[m.Name].seen = now
	}
}

// Leaving notes that a node is going in order; identity is its process.
func (p *Page[W]) Leaving(identity string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.roster.leaving(identity)
}

// guarded makes a panic of what was given cost one turn.
func (p *Page[W]) guarded(what string, do func()) {
	defer func() {
		if fault := recover(); fault != nil {
			p.log.Error("panic", "in", what, "err", fmt.Sprint(fault))
		}
	}()
	do()
}
