package ingress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

const (
	// quietAfter is how long the subscription may be silent before it is pinged, and then before it is given up.
	quietAfter = 2 * time.Second
	// batchMessages and batchBytes bound what one script appends.
	batchMessages = 128
	batchBytes    = 1 << 20
	// finishTimeout bounds the appending of what waits when the node stops.
	finishTimeout = time.Second
	// markersTimeout bounds the publishing of markers, markersPatience what it takes them to come.
	markersTimeout  = 500 * time.Millisecond
	markersPatience = 5 * time.Second
	// heirPoll is how often the lease is looked at while it is handed over.
	heirPoll = 10 * time.Millisecond
	retryMin = 50 * time.Millisecond
	retryMax = time.Second
)

var (
	errLost         = errors.New("ingress: the lease is another's, or was deleted")
	errNoListening  = errors.New("ingress: no subscription in time")
	errUnsubscribed = errors.New("ingress: the subscription was ended by Redis")
	errNotNext      = errors.New("ingress: another node listens next")
)

// message is one that was received.
type message struct {
	source           Source
	request          bool // of the emitters' other channel
	channel, payload string
}

// term is one holding of the lease. A new one has a subscription of its own: what an earlier one has received, and might
// have left in a buffer somewhere, another holder may have received, too.
type term struct {
	*Ingress

	value         string
	queue         chan message
	receiving     context.Context // ends when nothing more is to be received
	stopReceiving context.CancelFunc
	holding       chan struct{} // closed once the lease is held; at once, but for who is next
	handed        chan struct{} // closed when the last message that is for this term was received
	border        border
}

// runTerm returns when the term has ended, or ctx and what there was to do then. The lease is kept until what was received
// by then is appended.
func (g *Ingress) runTerm(ctx context.Context, value string, got claim) error {
	t := &term{
		Ingress: g, value: value, queue: make(chan message, g.cfg.QueueMessages),
		holding: make(chan struct{}), handed: make(chan struct{}),
	}
	t.receiving, t.stopReceiving = context.WithCancel(context.WithoutCancel(ctx))
	working, done := context.WithCancel(context.WithoutCancel(ctx))
	if got == held {
		t.begins()
	}
	var all errgroup.Group
	all.Go(func() error {
		defer close(t.queue)
		defer t.stopReceiving()
		return t.listen()
	})
	all.Go(func() error {
		defer done()
		return t.appendAll(working)
	})
	all.Go(func() error {
		defer t.stopReceiving()
		return t.keep(working)
	})
	all.Go(func() error {
		t.leave(ctx)
		return nil
	})
	return all.Wait()
}

// begins notes that the lease is held.
func (t *term) begins() {
	t.count.terms.Add(1)
	t.log.Info("listening to pub/sub for the cluster", "emitter", t.cfg.Emitter, "python", t.cfg.Python, "legacy", t.cfg.Legacy)
	close(t.holding)
	t.border.note(&t.count, func(b *border) { b.held = true })
}

// isHolding is for any goroutine.
func (t *term) isHolding() bool {
	select {
	case <-t.holding:
		return true
	default:
		return false
	}
}

// keep renews the lease until ctx ends or it is lost. While Redis does not answer the term goes on: if it ended, nothing
// will be appended.
func (t *term) keep(ctx context.Context) error {
	if !t.isHolding() {
		if err := t.succeed(ctx); err != nil {
			return err
		}
	}
	tick := time.NewTicker(t.cfg.Lease / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		held, err := t.lease.keep(ctx, t.value)
		if err == nil && !held {
			return errLost
		}
	}
}

// listen keeps a subscription and queues what comes by it, until receiving is to end or there was none for too long.
func (t *term) listen() error {
	ctx := t.receiving
	since := time.Now() // when there was a subscription last
	for wait := retryMin; ctx.Err() == nil; wait = min(2*wait, retryMax) {
		began, err := t.subscribe(ctx)
		switch {
		case ctx.Err() != nil: // that is why
		case errors.Is(err, errHanded):
			t.stopReceiving()
		case !t.isHolding(): // what was published meanwhile would be missing between what is queued
			return fmt.Errorf("%w: %w", errNotNext, err)
		case began:
			since, wait = time.Now(), retryMin
			t.count.lost.Add(1)
			t.log.Warn("subscription lost", "err", err)
		case time.Since(since) > t.cfg.SubscribeTimeout:
			return fmt.Errorf("%w: %w", errNoListening, err)
		}
		pause(ctx, wait)
	}
	return nil
}

// subscribe receives until that fails. It reports whether the subscription was complete.
func (t *term) subscribe(ctx context.Context) (began bool, err error) {
	sub, server, err := t.open(ctx)
	if err != nil {
		return false, err
	}
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() })
	defer stop()
	defer func() { _ = sub.Close() }()
	defer t.border.note(&t.count, func(b *border) { b.open, b.mine, b.follows = false, false, false })
	missing := 1 + len(t.cfg.channels()) + len(t.cfg.patterns())
	pinged := false
	for {
		got, err := sub.ReceiveTimeout(ctx, quietAfter)
		if err != nil {
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() || pinged || !began {
				return began, err
			}
			if err := sub.Ping(ctx); err != nil {
				return began, err
			}
			pinged = true
			t.border.isMine(&t.count) // the markers' time may be over
			continue
		}
		pinged = false
		switch got := got.(type) {
		case *redis.Subscription:
			if strings.HasSuffix(got.Kind, "unsubscribe") {
				return began, errUnsubscribed
			}
			if missing--; missing == 0 {
				began = true
				err = t.complete(ctx, server)
			}
		case *redis.Message:
			err = t.received(got)
		}
		if err != nil {
			return began, err
		}
	}
}

// open subscribes on one connection, so that the order in which messages come by different channels is kept. On a Redis
// Cluster it is to the server that has the lease, and the second result names it.
func (t *term) open(ctx context.Context) (*redis.PubSub, string, error) {
	rdb, server, err := t.server(ctx)
	if err != nil {
		return nil, "", err
	}
	holding := t.isHolding()
	t.border.note(&t.count, func(b *border) { b.server, b.mine, b.follows = server, holding && server == "", !holding })
	// What fails now fails again when it is received from.
	sub := rdb.Subscribe(ctx, append(t.cfg.channels(), t.lease.key)...)
	if patterns := t.cfg.patterns(); len(patterns) > 0 {
		_ = sub.PSubscribe(ctx, patterns...)
	}
	return sub, server, nil
}

// received queues a message, or counts why not. The error ends the subscription.
func (t *term) received(got *redis.Message) error {
	if got.Pattern == "" && got.Channel == t.lease.key {
		return t.marked(got.Payload)
	}
	mine := t.border.isMine(&t.count)
	if !mine && !t.isHolding() { // it is the holder's, who counts it
		return nil
	}
	m := message{source: Legacy, channel: got.Channel, payload: got.Payload}
	switch {
	case got.Pattern != "":
		m.source, m.request = Emitter, strings.HasPrefix(got.Channel, t.cfg.Emitter+"-request#")
	case t.cfg.Python != "" && got.Channel == t.cfg.Python:
		m.source = Python
	}
	if !mine {
		t.refuse(m, Superseded, nil)
		return nil
	}
	t.enqueue(m)
	return nil
}

// enqueue queues a message if it may, and there is room.
func (t *term) enqueue(m message) {
	size := int64(len(m.payload))
	if size > int64(t.cfg.MaxMessage) || m.source == Legacy && size > int64(t.cfg.MaxEvent) {
		t.refuse(m, TooLarge, nil)
		return
	}
	if t.count.bytes.Add(size) > int64(t.cfg.QueueBytes) {
		t.count.bytes.Add(-size)
		t.refuse(m, Overflow, nil)
		return
	}
	select {
	case t.queue <- m:
		t.count.queued.Add(1)
	default:
		t.count.bytes.Add(-size)
		t.refuse(m, Overflow, nil)
	}
}

// refuse counts a message that is not passed on. Its content is nobody's business.
func (t *term) refuse(m message, o Outcome, err error) {
	t.count.add(m.source, o, 1)
	if o != Ignored {
		t.log.Debug("pub/sub message not passed on", "source", m.source.String(), "outcome", o.String(), "bytes", len(m.payload), "err", err)
	}
}
