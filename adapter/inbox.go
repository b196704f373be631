package adapter

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// inboxQueue is how many requests, and how many server-side events, may wait to be handled.
	inboxQueue = 1024
	// replyQueue is how many answers may wait to be sent; one broadcast can bring an acknowledgement per socket.
	replyQueue = 8192
	// quietAfter is how long the subscription may be silent before it is pinged, and then before it is given up.
	quietAfter = 3 * time.Second
)

// inbox receives the other nodes' requests and answers, and sends ours. Requests, the application's listeners for
// server-side events, and the sending of answers have a goroutine each, since each may wait for the others.
type inbox struct {
	c        *Cluster
	requests chan func()
	events   chan func()
	replies  chan reply
	wake     chan struct{} // has room for one: the set of namespaces changed

	mu  sync.Mutex
	sub *redis.PubSub // mu: the present subscription, nil if there is none
	// confirmed holds the channels that Redis has confirmed. mu
	confirmed map[string]struct{}
	wanted    []string // mu: the channels of the present subscription
}

type reply struct {
	channel string
	payload []byte
}

func (b *inbox) init(c *Cluster) {
	b.c = c
	b.requests = make(chan func(), inboxQueue)
	b.events = make(chan func(), inboxQueue)
	b.replies = make(chan reply, replyQueue)
	b.wake = make(chan struct{}, 1)
}

// changed tells that a namespace came or went: the present subscription is replaced.
func (b *inbox) changed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.c.subscribed.Store(false)
	select {
	case b.wake <- struct{}{}:
	default:
	}
	if b.sub != nil {
		_ = b.sub.Close()
	}
}

// subscribe keeps a subscription to the channels of all namespaces.
func (b *inbox) subscribe(ctx context.Context) {
	defer b.c.subscribed.Store(false)
	var pace backoff
	for ctx.Err() == nil {
		select {
		case <-b.wake:
		default:
		}
		channels := b.channels()
		if len(channels) == 0 {
			b.c.subscribed.Store(true)
			select {
			case <-ctx.Done():
			case <-b.wake:
			}
			continue
		}
		received, err := b.listen(ctx, channels)
		b.c.subscribed.Store(false)
		if received {
			pace.reset()
		}
		if ctx.Err() != nil || errors.Is(err, errResubscribe) {
			continue
		}
		b.c.warnf("subscribe", "subscription lost", "err", err)
		pace.wait(ctx)
	}
}

func (b *inbox) channels() []string {
	var channels []string
	for _, nsp := range b.c.namespaces() {
		channels = append(channels, publicChannel(b.c.cfg.Prefix, nsp), privateChannel(b.c.cfg.Prefix, nsp, b.c.cfg.UID))
	}
	slices.Sort(channels)
	return channels
}

var errResubscribe = errors.New("the set of namespaces changed")

// listen subscribes and handles messages until that fails. It reports whether anything was received.
func (b *inbox) listen(ctx context.Context, channels []string) (received bool, err error) {
	sub := b.open(ctx, channels)
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() })
	defer stop()
	defer func() {
		b.mu.Lock()
		b.sub = nil
		b.mu.Unlock()
		_ = sub.Close()
	}()
	pinged := false
	for {
		select {
		case <-b.wake:
			return received, errResubscribe
		default:
		}
		msg, err := sub.ReceiveTimeout(ctx, quietAfter)
		if err != nil {
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() || pinged {
				return received, b.lost(err)
			}
			if err := sub.Ping(ctx); err != nil {
				return received, b.lost(err)
			}
			pinged = true
			continue
		}
		pinged, received = false, true
		if err := b.receive(msg); err != nil {
			return received, err
		}
	}
}

// lost tells an ended subscription from one that was replaced on purpose.
func (b *inbox) lost(err error) error {
	select {
	case <-b.wake:
		return errResubscribe
	default:
		return err
	}
}

func (b *inbox) open(ctx context.Context, channels []string) *redis.PubSub {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c.cfg.Sharded {
		b.sub = b.c.redis.SSubscribe(ctx, channels...)
	} else {
		b.sub = b.c.redis.Subscribe(ctx, channels...)
	}
	b.wanted = channels
	b.confirmed = make(map[string]struct{}, len(channels))
	return b.sub
}

var errUnsubscribed = errors.New("the subscription was ended by Redis")

func (b *inbox) receive(msg any) error {
	switch msg := msg.(type) {
	case *redis.Subscription:
		// A Redis Cluster ends those of a slot that moves.
		if strings.HasSuffix(msg.Kind, "unsubscribe") {
			return errUnsubscribed
		}
		b.confirm(msg.Channel)
	case *redis.Message:
		b.c.guard("message", func() { b.handle(msg) })
	}
	return nil
}

func (b *inbox) confirm(channel string) {
	b.mu.Lock()
	b.confirmed[channel] = struct{}{}
	complete := len(b.confirmed) == len(b.wanted)
	b.mu.Unlock()
	// A namespace added meanwhile has its subscription still to come.
	if complete && len(b.wake) == 0 {
		b.c.subscribed.Store(true)
	}
}

func (b *inbox) handle(msg *redis.Message) {
	m, err := unpackMessage([]byte(msg.Payload))
	if err != nil {
		b.c.count.badMessages.Add(1)
		b.c.warnf("message", "pub/sub message skipped", "err", err)
		return
	}
	if m.uid == b.c.cfg.UID {
		return
	}
	a := b.c.adapterOf(m.nsp)
	if a == nil {
		return
	}
	switch m.kind {
	case typeBroadcast:
		b.queue(b.requests, func() { a.answerBroadcast(m) })
	case typeFetchSockets:
		b.queue(b.requests, func() { a.answerFetch(m) })
	case typeServerSideEmit:
		b.queue(b.events, func() { a.answerServerSideEmit(m) })
	case typeSessionTaken:
		b.c.sessions.takenBy(m)
	case typeInquiry:
		b.queue(b.requests, func() { a.answerInquiry(m) })
	case typeInquiryReply, typeFetchReply, typeServerSideReply, typeBroadcastCount, typeBroadcastAck:
		b.c.peers.answered(m)
	default:
		b.c.count.badMessages.Add(1)
	}
}

func (b *inbox) queue(to chan func(), fn func()) {
	select {
	case to <- fn:
	default:
		b.c.count.messagesDropped.Add(1)
		b.c.warnf("inbox", "request of another node dropped, too many are waiting")
	}
}

// answer handles the other nodes' requests.
func (b *inbox) answer(ctx context.Context) { b.work(ctx, b.requests) }

// emit hands server-side events to the application.
func (b *inbox) emit(ctx context.Context) { b.work(ctx, b.events) }

func (b *inbox) work(ctx context.Context, from chan func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case fn := <-from:
			b.c.guard("request", fn)
		}
	}
}

// respond queues an answer to the requester m.
func (b *inbox) respond(m message, kind messageType, data map[string]any) {
	answer := message{uid: b.c.cfg.UID, nsp: m.nsp, kind: kind, requestID: m.requestID, data: data}
	payload, err := answer.pack()
	if err != nil {
		b.c.count.requestFailed.Add(1)
		b.c.warnf("answer", "answer not sent", "err", err)
		return
	}
	select {
	case b.replies <- reply{channel: privateChannel(b.c.cfg.Prefix, m.nsp, m.uid), payload: payload}:
	default:
		b.c.count.messagesDropped.Add(1)
		b.c.warnf("answer", "answer dropped, too many are waiting")
	}
}

// reply sends the answers, as many at once as are waiting.
func (b *inbox) reply(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-b.replies:
			b.sendReplies(context.WithoutCancel(ctx), first)
		}
	}
}

func (b *inbox) sendReplies(ctx context.Context, first reply) {
	pipe := b.c.redis.Pipeline()
	b.publish(ctx, pipe, first.channel, first.payload)
	for range publishBatch - 1 {
		select {
		case next := <-b.replies:
			b.publish(ctx, pipe, next.channel, next.payload)
			continue
		default:
		}
		break
	}
	cmds, _ := pipe.Exec(ctx)
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil {
			b.c.count.requestFailed.Add(1)
			b.c.warnf("answer", "answer not sent", "err", err)
		}
	}
}

func (b *inbox) publish(ctx context.Context, to redis.Cmdable, channel string, payload []byte) *redis.IntCmd {
	if b.c.cfg.Sharded {
		return to.SPublish(ctx, channel, payload)
	}
	return to.Publish(ctx, channel, payload)
}
