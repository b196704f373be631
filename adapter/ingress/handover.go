package ingress

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// errHanded ends a subscription behind which another node's is.
var errHanded = errors.New("ingress: handed over")

// A holder that is to stop has another node subscribe before it ends its own subscription. Both are told of one message on
// a channel of theirs, the marker, which names the next holder's term: the last one takes what comes before it, the next one
// what comes after it, and appends nothing until the last one has released the lease. One server tells all its subscribers
// in the same order, so nothing is lost between them, and nothing doubled.
//
// If the last one can do no more, the next one sends markers itself once it has the lease, and takes what comes after
// these. So does on a Redis Cluster whoever subscribes, at each server: what a holder was told, and has appended, is on its
// way from server to server ahead of such a marker. Else who subscribes at another server than the last could be told it,
// too.

// border is where a term's messages begin and end.
type border struct {
	mu      sync.Mutex
	server  string              // of the subscription
	open    bool                // the subscription is complete
	held    bool                // so is the lease
	mine    bool                // what comes now is this term's
	follows bool                // the subscription is from before the last holder's end
	told    bool                // its marker has come
	own     map[string]struct{} // markers of its own that have not come yet
	ownTill time.Time           // when they are given up; zero: there are none
	last    string              // the marker behind which nothing is this term's any more; "": there is none
}

// note changes it, and says whether this node listens.
func (b *border) note(count *counters, change func(*border)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
	count.listening.Store(b.open && b.held && b.mine)
	if b.follows && b.told && b.held {
		b.follows = false
		count.handovers.Add(1)
	}
}

// isMine reports whether a message that comes now is this term's.
func (b *border) isMine(count *counters) (mine bool) {
	b.note(count, func(b *border) {
		if !b.mine && !b.ownTill.IsZero() && time.Now().After(b.ownTill) {
			b.mine = true // a server that is away sends nothing late
		}
		mine = b.mine
	})
	return mine
}

// marked is told of each marker. Its error ends the subscription.
func (t *term) marked(marker string) (err error) {
	t.border.note(&t.count, func(b *border) {
		if b.last != "" && marker == b.last {
			b.mine, err = false, errHanded
			close(t.handed)
			return
		}
		if marker == t.value && b.follows {
			b.mine, b.told = true, true
		}
		if _, is := b.own[marker]; is {
			delete(b.own, marker)
			b.mine = b.mine || len(b.own) == 0
		}
	})
	return err
}

// ofLease is the server that has the lease, where every node subscribes: for all it is the same one, until Redis moves it.
func (g *Ingress) ofLease(ctx context.Context) (redis.UniversalClient, string, error) {
	cluster, is := g.deps.Redis.(*redis.ClusterClient)
	if !is {
		return g.deps.Redis, "", nil
	}
	master, err := cluster.MasterForKey(ctx, g.lease.key)
	if err != nil {
		return nil, "", err
	}
	return master, master.Options().Addr, nil
}

// complete is called when a subscription is.
func (t *term) complete(ctx context.Context, server string) error {
	t.border.note(&t.count, func(b *border) { b.open = true })
	if !t.isHolding() {
		if next, err := t.lease.ready(ctx, t.value, server); err != nil || !next {
			return errors.Join(errNotNext, err)
		}
		return nil
	}
	if server != "" {
		t.sendMarkers(ctx)
	}
	return nil
}

// sendMarkers publishes markers of this term's own, at each server.
func (t *term) sendMarkers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, markersTimeout)
	defer cancel()
	var sent atomic.Int64
	publish := func(ctx context.Context, at redis.Cmdable) {
		marker := fmt.Sprintf("%s own %d %d", t.value, time.Now().UnixNano(), sent.Add(1))
		t.border.note(&t.count, func(b *border) { b.own[marker] = struct{}{} })
		if err := at.Publish(ctx, t.lease.key, marker).Err(); err != nil {
			t.border.note(&t.count, func(b *border) { delete(b.own, marker) })
		}
	}
	const all = "all"
	t.border.note(&t.count, func(b *border) {
		b.own, b.ownTill = map[string]struct{}{all: {}}, time.Now().Add(markersPatience)
	})
	if cluster, is := t.deps.Redis.(*redis.ClusterClient); is {
		_ = cluster.ForEachShard(ctx, func(ctx context.Context, one *redis.Client) error {
			publish(ctx, one)
			return nil
		})
	} else {
		publish(ctx, t.deps.Redis)
	}
	_ = t.marked(all) // as many as there are were published
}

// succeed waits until the last holder has released the lease.
func (t *term) succeed(ctx context.Context) error {
	limit, cancel := context.WithTimeout(t.receiving, 3*t.cfg.Lease+finishTimeout)
	defer cancel()
	for ; limit.Err() == nil; pause(limit, heirPoll) {
		held, err := t.lease.keep(ctx, t.value)
		if err != nil || !held {
			continue
		}
		t.begins()
		if !t.border.isMine(&t.count) {
			t.sendMarkers(limit) // the last holder's may never come
		}
		return nil
	}
	return errNotNext
}

// leave ends the term when ctx does: if another node is there to follow, once it listens.
func (t *term) leave(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-t.receiving.Done():
		return
	}
	defer t.stopReceiving()
	if !t.isHolding() {
		return
	}
	limit, cancel := context.WithTimeout(t.receiving, 3*t.cfg.Lease/2)
	defer cancel()
	var server string
	t.border.note(&t.count, func(b *border) { server = b.server })
	heir, err := t.lease.callHeir(limit, t.value, server)
	if err == nil {
		t.border.note(&t.count, func(b *border) { b.last = heir })
		err = t.deps.Redis.Publish(limit, t.lease.key, heir).Err()
	}
	if err != nil {
		t.log.Debug("nobody follows at once", "err", err)
		return
	}
	select {
	case <-t.handed:
	case <-limit.Done():
	}
}
