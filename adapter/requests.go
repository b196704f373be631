package adapter

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrRequestTimeout is wrapped by the error of a request that some nodes did not answer in time.
var ErrRequestTimeout = errors.New("adapter: request timed out")

// requests are those that wait for other nodes' answers. Who has to answer is known by name, from the channels that
// exist when the request is sent, so that a node that leaves is no longer waited for.
type requests struct {
	c *Cluster

	mu   sync.Mutex
	open map[string]*request // mu
}

// request is one that waits.
type request struct {
	missing map[string]struct{} // requests.mu: nodes whose answer is still to come
	pending int                 // requests.mu: nodes whose answer has not been taken in entirely
	members map[string]struct{} // all nodes that were asked; constant
	// each takes an answer in. It is called without the lock.
	each func(m message)
	// left is called for a node that left without having answered. May be nil.
	left func()
	done chan struct{} // closed when nothing is pending
}

func (r *requests) init(c *Cluster) {
	r.c = c
	r.open = make(map[string]*request)
}

func newRequestID() string {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// begin registers a request to members before it is sent.
func (r *requests) begin(id string, members []string, q *request) {
	q.done = make(chan struct{})
	q.missing = make(map[string]struct{}, len(members))
	q.members = make(map[string]struct{}, len(members))
	for _, uid := range members {
		q.missing[uid] = struct{}{}
		q.members[uid] = struct{}{}
	}
	q.pending = len(q.missing)
	r.mu.Lock()
	r.open[id] = q
	r.mu.Unlock()
	r.c.count.requests.Add(1)
}

// end forgets a request and returns how many answers are missing.
func (r *requests) end(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.open[id]
	if q == nil {
		return 0
	}
	delete(r.open, id)
	return len(q.missing)
}

// answered hands an answer to its request. Answers of nodes that were not asked, and second answers, are dropped.
func (r *requests) answered(m message) {
	r.mu.Lock()
	q := r.open[m.requestID]
	r.mu.Unlock()
	if q == nil {
		return
	}
	if m.kind == typeBroadcastAck {
		if _, asked := q.members[m.uid]; asked {
			q.each(m)
		}
		return
	}
	if r.claim(q, m.uid) {
		q.each(m)
		r.complete(q)
	}
}

// claim makes sure that a node is answered for once only.
func (r *requests) claim(q *request, uid string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, missing := q.missing[uid]
	delete(q.missing, uid)
	return missing
}

// complete follows a claim when the answer was taken in: whoever waits for the request reads what the answers added.
func (r *requests) complete(q *request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.pending--; q.pending == 0 {
		close(q.done)
	}
}

func (r *requests) nodeLeft(uid string) {
	r.mu.Lock()
	open := make([]*request, 0, len(r.open))
	for _, q := range r.open {
		open = append(open, q)
	}
	r.mu.Unlock()
	for _, q := range open {
		if !r.claim(q, uid) {
			continue
		}
		if q.left != nil {
			q.left()
		}
		r.complete(q)
	}
}

// abandon forgets all requests at the stop; those who wait see the cluster's stop themselves.
func (r *requests) abandon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.open)
}

// wait returns when all nodes have answered, or an error.
func (r *requests) wait(id string, q *request, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-q.done:
		r.end(id)
		return nil
	case <-r.c.stopped:
		return ErrStopped
	case <-timer.C:
		missing := r.end(id)
		r.c.count.requestTimeouts.Add(1)
		return fmt.Errorf("%w: %d of %d nodes did not answer", ErrRequestTimeout, missing, len(q.members))
	}
}

// ask publishes a request to all nodes.
func (r *requests) ask(ctx context.Context, m message) error {
	payload, err := m.pack()
	if err != nil {
		r.c.count.encodeFailed.Add(1)
		return err
	}
	if err := r.c.inbox.publish(ctx, r.c.redis, publicChannel(r.c.cfg.Prefix, m.nsp), payload).Err(); err != nil {
		r.c.count.requestFailed.Add(1)
		return err
	}
	return nil
}

// members returns the identities of the other nodes that have the namespace: those whose own channels exist.
func (c *Cluster) members(ctx context.Context, nsp string) ([]string, error) {
	head := publicChannel(c.cfg.Prefix, nsp)
	pattern := globEscaper.Replace(head) + "*#"
	var mu sync.Mutex
	seen := make(map[string]struct{})
	err := c.eachNode(ctx, func(ctx context.Context, node redis.Cmdable) error {
		list := node.PubSubChannels
		if c.cfg.Sharded {
			list = node.PubSubShardChannels
		}
		channels, err := list(ctx, pattern).Result()
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, channel := range channels {
			uid := strings.TrimSuffix(strings.TrimPrefix(channel, head), "#")
			if uid != c.cfg.UID {
				seen[uid] = struct{}{}
			}
		}
		return nil
	})
	if err != nil {
		c.count.requestFailed.Add(1)
		return nil, err
	}
	uids := make([]string, 0, len(seen))
	for uid := range seen {
		uids = append(uids, uid)
	}
	return uids, nil
}

// gatewaysOf leaves out Node's servers, which do not answer what gateways alone know: their identities are 16 hexadecimal
// digits, and a gateway's has its start time behind a colon.
func gatewaysOf(members []string) []string {
	return slices.DeleteFunc(members, func(uid string) bool {
		_, err := hex.DecodeString(uid)
		return len(uid) == 16 && err == nil
	})
}

var globEscaper = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// subscribers counts the servers that have the namespace.
func (c *Cluster) subscribers(ctx context.Context, nsp string) (int64, error) {
	channel := publicChannel(c.cfg.Prefix, nsp)
	var mu sync.Mutex
	var total int64
	err := c.eachNode(ctx, func(ctx context.Context, node redis.Cmdable) error {
		list := node.PubSubNumSub
		if c.cfg.Sharded {
			list = node.PubSubShardNumSub
		}
		counts, err := list(ctx, channel).Result()
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		total += counts[channel]
		return nil
	})
	return total, err
}

// eachNode calls fn for each Redis server that can have subscribers. Of a Redis Cluster these are all; of sharded channels
// the one that has the channels' slot, so that a shard that is down elsewhere is no concern.
func (c *Cluster) eachNode(ctx context.Context, fn func(context.Context, redis.Cmdable) error) error {
	if cluster, ok := c.redis.(*redis.ClusterClient); ok {
		if c.cfg.Sharded {
			server, err := cluster.MasterForKey(ctx, c.logKey)
			if err != nil {
				return err
			}
			return fn(ctx, server)
		}
		return cluster.ForEachShard(ctx, func(ctx context.Context, node *redis.Client) error { return fn(ctx, node) })
	}
	return fn(ctx, c.redis)
}
