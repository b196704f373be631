package adapter

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
)

// publishBatch is how many messages go to Redis in one pipeline at most.
const publishBatch = 256

// ErrQueueFull is the reason for which a message of the library's void methods was dropped and counted.
var ErrQueueFull = errors.New("adapter: publish queue is full")

// publisher appends to the log, in the order in which messages were queued. A message is sent at most once: XADD is not
// idempotent, so what failed is reported and never repeated.
type publisher struct {
	c     *Cluster
	queue chan publication

	// gate makes closing final: enqueuing holds it for reading, the stop for writing.
	gate     sync.RWMutex
	closed   bool          // gate
	stopping chan struct{} // closed first, so that waiting callers let go of the gate
}

type publication struct {
	ctx    context.Context // nil: nobody waits
	fields []string
	done   chan error // nil: nobody waits; else has room for one
}

func (p *publisher) init(c *Cluster) {
	p.c = c
	p.queue = make(chan publication, c.cfg.PublishQueue)
	p.stopping = make(chan struct{})
}

// Publish appends a broadcast to the log and returns when Redis has accepted or refused it. The errors are
// ErrInvalidBroadcast, ErrStopped, Redis' own, and ctx's if it ended first: the broadcast may have been sent then.
// While the queue is full it waits.
func (c *Cluster) Publish(ctx context.Context, b Broadcast) error {
	fields, err := EncodeBroadcast(c.cfg.UID, b)
	if err != nil {
		c.count.publishFailed.Add(1)
		return err
	}
	return c.publisher.send(ctx, fields)
}

func (p *publisher) send(ctx context.Context, fields []string) error {
	pub := publication{ctx: ctx, fields: fields, done: make(chan error, 1)}
	if err := p.enqueue(pub); err != nil {
		return err
	}
	select {
	case err := <-pub.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *publisher) enqueue(pub publication) error {
	p.gate.RLock()
	defer p.gate.RUnlock()
	if p.closed {
		p.c.count.publishFailed.Add(1)
		return ErrStopped
	}
	select {
	case p.queue <- pub:
		return nil
	default:
	}
	select {
	case p.queue <- pub:
		return nil
	case <-pub.ctx.Done():
		p.c.count.publishFailed.Add(1)
		return fmt.Errorf("%w: %w", ErrQueueFull, pub.ctx.Err())
	case <-p.stopping:
		p.c.count.publishFailed.Add(1)
		return ErrStopped
	}
}

// offer queues a message that nobody waits for; one that finds no place is counted.
func (p *publisher) offer(fields []string) {
	p.gate.RLock()
	defer p.gate.RUnlock()
	if p.closed {
		p.c.count.publishFailed.Add(1)
		p.c.warnf("publish", "message not published", "err", ErrStopped)
		return
	}
	select {
	case p.queue <- publication{fields: fields}:
	default:
		p.c.count.publishDropped.Add(1)
		p.c.warnf("publish", "message not published", "err", ErrQueueFull)
	}
}

func (p *publisher) run(ctx context.Context) {
	batch := make([]publication, 0, publishBatch)
	for {
		select {
		case <-ctx.Done():
			p.finish()
			return
		case first := <-p.queue:
			p.flush(context.WithoutCancel(ctx), p.gather(append(batch[:0], first)))
		}
	}
}

// gather adds what else waits, without waiting for it.
func (p *publisher) gather(batch []publication) []publication {
	for len(batch) < publishBatch {
		select {
		case pub := <-p.queue:
			batch = append(batch, pub)
		default:
			return batch
		}
	}
	return batch
}

// finish refuses new messages and sends the queued ones, as far as that goes within the stop's time.
func (p *publisher) finish() {
	close(p.stopping)
	p.gate.Lock()
	p.closed = true
	p.gate.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	for {
		batch := p.gather(make([]publication, 0, publishBatch))
		if len(batch) == 0 {
			return
		}
		if ctx.Err() != nil {
			for _, pub := range batch {
				p.settle(pub, ErrStopped)
			}
			continue
		}
		p.flush(ctx, batch)
	}
}

func (p *publisher) flush(ctx context.Context, batch []publication) {
	pipe := p.c.redis.Pipeline()
	cmds := make([]*redis.StringCmd, len(batch))
	oldest := p.oldest()
	for i, pub := range batch {
		if pub.ctx != nil && pub.ctx.Err() != nil {
			continue
		}
		cmds[i] = pipe.XAdd(ctx, &redis.XAddArgs{
			Stream: p.c.logKey, Values: pub.fields, MinID: oldest, Approx: oldest != "",
		})
	}
	// Each command carries its own error, those that were never sent included.
	_, _ = pipe.Exec(ctx)
	for i, pub := range batch {
		if cmds[i] == nil {
			p.settle(pub, pub.ctx.Err())
			continue
		}
		p.settle(pub, cmds[i].Err())
	}
}

// oldest is the id below which entries are trimmed, "" for none. The age is measured from the log's own newest id as
// this node knows it, so that a wrong local clock cannot trim. As with the scripts that trim, the newest entry beyond the
// age stays, which is where the ring begins if it is not full.
func (p *publisher) oldest() string {
	newest, aged := p.c.joinPosition().ms, p.c.agedMs.Load()
	age := uint64(p.c.cfg.LogMaxAge.Milliseconds())
	if newest <= age || aged <= age/8 {
		return ""
	}
	return streamID{ms: min(newest-age, aged-age/8)}.String()
}

func (p *publisher) settle(pub publication, err error) {
	if err == nil {
		p.c.count.published.Add(1)
	} else {
		p.c.count.publishFailed.Add(1)
		p.c.warnf("publish", "message not published", "err", err)
	}
	if pub.done != nil {
		pub.done <- err
	}
}
