package dashboard

import (
	"context"
	"errors"
	"time"
)

// DeadLetters looks into the events that could not be relayed.
type DeadLetters interface {
	// List returns a page of at most limit letters without their fields, the newest first, of one reason unless that is
	// empty, older than after unless that is empty; next is the after of the next page, empty: none.
	List(ctx context.Context, reason, after string, limit int) (letters []Letter, next string, err error)
	// Get returns one letter whole, or ErrNoLetter.
	Get(ctx context.Context, id string) (Letter, error)
	// Replay puts a letter back into the event stream. It returns ErrNoLetter, or ErrRelayed.
	Replay(ctx context.Context, id string) error
	// Drop removes a letter for good, or returns ErrNoLetter.
	Drop(ctx context.Context, id string) error
}

// Errors of DeadLetters; any other is told as "unavailable".
var (
	ErrNoLetter = errors.New("dashboard: no such dead letter")
	ErrRelayed  = errors.New("dashboard: its event was relayed since")
	ErrCut      = errors.New("dashboard: not all of it was kept")
)

// Letter is a dead letter. Times are unix ms.
type Letter struct {
	ID         string  `json:"id"`
	At         int64   `json:"at"`
	Reason     string  `json:"reason"`
	Detail     string  `json:"detail,omitempty"`
	Event      string  `json:"event,omitempty"`
	EventID    string  `json:"event_id,omitempty"`
	SourceID   string  `json:"source_id,omitempty"`
	Node       string  `json:"node,omitempty"`
	Deliveries int64   `json:"deliveries,omitempty"`
	Cut        bool    `json:"cut,omitempty"` // not all of it was kept, so that it cannot be replayed
	Fields     []Field `json:"fields,omitempty"`
}

// Field is one field of an event's entry.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Size  int    `json:"size"` // bytes of the whole value, of which Value may be the beginning
}

const (
	deadPage    = 25        // letters in a list
	maxShown    = 64 << 10  // bytes of a field that are shown
	maxShownAll = 256 << 10 // bytes of all fields together
	maxAsked    = 128       // bytes of what a visitor asks for
)

// reply is the answer to a request.
type reply struct {
	OK      bool     `json:"ok"`
	Error   string   `json:"error,omitempty"` // unavailable, no_letter, relayed, cut, bad_request
	Letters []Letter `json:"letters,omitempty"`
	Next    string   `json:"next,omitempty"`
	Letter  *Letter  `json:"letter,omitempty"`
}

// Requests are what a watcher may ask for, each with one object of strings.
func (p *Page[W]) Requests() map[string]func(context.Context, []any) any {
	serve := func(name string, do func(context.Context, func(string) string) (reply, error)) func(context.Context, []any) any {
		return func(ctx context.Context, args []any) any {
			ctx, cancel := context.WithTimeout(ctx, p.cfg.DeadTimeout)
			defer cancel()
			return p.serve(ctx, name, args, do)
		}
	}
	return map[string]func(context.Context, []any) any{
		"dead_list":   serve("dead_list", p.listDead),
		"dead_get":    serve("dead_get", p.getDead),
		"dead_replay": serve("dead_replay", p.replayDead),
		"dead_drop":   serve("dead_drop", p.dropDead),
	}
}

func (p *Page[W]) serve(
	ctx context.Context, name string, args []any, do func(context.Context, func(string) string) (reply, error),
) reply {
	asked := map[string]any{}
	if len(args) > 0 {
		asked, _ = args[0].(map[string]any)
	}
	for _, value := range asked {
		if text, ok := value.(string); !ok || len(text) > maxAsked {
			return reply{Error: "bad_request"}
		}
	}
	if p.deps.Dead == nil {
		return reply{Error: "unavailable"}
	}
	answer, err := do(ctx, func(name string) string { s, _ := asked[name].(string); return s })
	switch {
	case err == nil:
		answer.OK = true
		return answer
	case errors.Is(err, ErrNoLetter):
		return reply{Error: "no_letter"}
	case errors.Is(err, ErrRelayed):
		return reply{Error: "relayed"}
	case errors.Is(err, ErrCut):
		return reply{Error: "cut"}
	}
	p.log.Warn("dead letters not reached", "request", name, "err", err)
	return reply{Error: "unavailable"}
}

func (p *Page[W]) listDead(ctx context.Context, arg func(string) string) (reply, error) {
	letters, next, err := p.deps.Dead.List(ctx, arg("reason"), arg("after"), deadPage)
	return reply{Letters: letters, Next: next}, err
}

func (p *Page[W]) getDead(ctx context.Context, arg func(string) string) (reply, error) {
	letter, err := p.deps.Dead.Get(ctx, arg("id"))
	if err != nil {
		return reply{}, err
	}
	left := maxShownAll
	for i := range letter.Fields {
		f := &letter.Fields[i]
		f.Size = len(f.Value)
		f.Value = f.Value[:min(len(f.Value), maxShown, left)]
		left -= len(f.Value)
	}
	return reply{Letter: &letter}, nil
}

func (p *Page[W]) replayDead(ctx context.Context, arg func(string) string) (reply, error) {
	began := time.Now()
	err := p.deps.Dead.Replay(ctx, arg("id"))
	if err == nil {
		p.log.Info("dead letter replayed", "id", arg("id"), "took", time.Since(began))
	}
	return reply{}, err
}

func (p *Page[W]) dropDead(ctx context.Context, arg func(string) string) (reply, error) {
	err := p.deps.Dead.Drop(ctx, arg("id"))
	if err == nil {
		p.log.Info("dead letter dropped", "id", arg("id"))
	}
	return reply{}, err
}
