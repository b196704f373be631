package streams

import (
	"context"
	"time"
)

// retirement is the end of a consumer's reading before its Run's.
type retirement struct {
	asked context.Context //nolint:containedctx // ends when Retire is first called
	ask   context.CancelFunc
	// done is closed when Run reads and claims no more.
	done chan struct{}
}

func newRetirement() retirement {
	r := retirement{done: make(chan struct{})}
	r.asked, r.ask = context.WithCancel(context.Background())
	return r
}

// Retire makes the consumer read and claim no more, and returns when what it holds is settled, or with ctx's error. Run
// goes on with the chores of the cluster. It may be called more than once, and at any time.
func (c *Consumer) Retire(ctx context.Context) error {
	c.retirement.ask()
	if !c.running.Load() {
		return nil
	}
	select {
	case <-c.retirement.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for held, _ := c.backlog.size(); held > 0; held, _ = c.backlog.size() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
