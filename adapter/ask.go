package adapter

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"
)

// Ask is ServerSideEmit that waits for the gateways' answers, until ctx ends and at most Config.RequestTimeout. It returns
// those that there were, in no order, together with an error if some are missing; a gateway that does not know the event
// answers nil. Node's servers hear it, too, but are not waited for: those without a listener say nothing.
func (a *nspAdapter) Ask(ctx context.Context, packet []any) ([]any, error) {
	if len(packet) == 0 {
		return nil, errNoEvent
	}
	frozen, _, err := freezeSlice(packet, 0)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.c.cfg.RequestTimeout)
	defer cancel()
	members, err := a.members(ctx)
	members = gatewaysOf(members)
	if err != nil || len(members) == 0 {
		return nil, err
	}
	answers, wait, err := a.begin(ctx, members, map[string]any{"packet": frozen})
	if err != nil {
		return nil, err
	}
	err = wait(remaining(ctx))
	return answers(), err
}

// begin asks members. answers gives what has come so far; wait returns when all have answered or its limit is over, and
// has to be called.
func (a *nspAdapter) begin(ctx context.Context, members []string, data map[string]any) (answers func() []any, wait func(time.Duration) error, err error) {
	var mu sync.Mutex
	got := make([]any, 0, len(members))
	id := newRequestID()
	q := &request{each: func(m message) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, m.data["packet"])
	}}
	a.c.peers.begin(id, members, q)
	if err := a.c.peers.ask(ctx, a.message(typeServerSideEmit, id, data)); err != nil {
		a.c.peers.end(id)
		return nil, nil, err
	}
	answers = func() []any {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(got)
	}
	return answers, func(limit time.Duration) error { return a.c.peers.wait(id, q, limit) }, nil
}

func (a *nspAdapter) askServers(ctx context.Context, members []string, data map[string]any, ack socket.Ack) error {
	answers, wait, err := a.begin(ctx, members, data)
	if err != nil {
		return err
	}
	limit := remaining(ctx)
	a.c.tasks.spawn(func() {
		err := wait(limit)
		a.c.guard("acknowledgement", func() { ack(answers(), err) })
	})
	return nil
}
