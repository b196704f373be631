package node

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/node/auth"
)

const (
	// expiryTick is how exact expiries are.
	expiryTick = 200 * time.Millisecond
	// Of tokens that are due at the same moment expiryStep are seen to at once, then there is a pause: a step is some
	// milliseconds of work, and 10,000 sockets are closed within a second.
	expiryStep  = 128
	expiryPause = 5 * time.Millisecond
	// noticeSpread is the part of Config.TokenNotice over which notices are spread, each earlier than promised: whoever
	// issues tokens should not be asked for all new ones at once.
	noticeSpread = 12
)

// expiringEvent is the payload of `token_expiring`.
type expiringEvent struct {
	// ExpiresAt is the token's exp, in unix milliseconds.
	ExpiresAt int64 `json:"expires_at"`
}

// expiry is a session's place among the expiries. Its fields are guarded by their mu.
type expiry struct {
	// at is when something is due, closes when the socket is to be closed, in unix milliseconds; before that it is told.
	at, closes int64
	socket     *socket.Socket
	// place in the heap, from 1; 0: it is not there.
	place int
}

// expiries knows when which socket's token expires, the next first. It is safe for concurrent use.
//
// Lock order: a session's mu, mu.
type expiries struct {
	mu   sync.Mutex
	heap expiryHeap // mu
}

// set notes when the token of s is to be told of, and when s is to be closed, in place of what was noted before.
func (e *expiries) set(s *socket.Socket, sess *session, notice, closes int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := &sess.expiry
	x.at, x.closes, x.socket = min(notice, closes), closes, s
	if x.place > 0 {
		heap.Fix(&e.heap, x.place-1)
		return
	}
	heap.Push(&e.heap, sess)
}

func (e *expiries) drop(sess *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if sess.expiry.place > 0 {
		heap.Remove(&e.heap, sess.expiry.place-1)
	}
}

// dueToken is one that has to be told of, or that has expired.
type dueToken struct {
	socket  *socket.Socket
	sess    *session
	expired bool
}

// due returns up to limit of those whose time has come by now, in unix milliseconds. What is told of is noted anew.
func (e *expiries) due(now int64, limit int) (tokens []dueToken) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.heap) > 0 && len(tokens) < limit && e.heap[0].expiry.at <= now {
		sess := e.heap[0]
		x := &sess.expiry
		tokens = append(tokens, dueToken{socket: x.socket, sess: sess, expired: x.at == x.closes})
		if x.at < x.closes {
			x.at = x.closes
			heap.Fix(&e.heap, 0)
		} else {
			heap.Pop(&e.heap)
		}
	}
	return tokens
}

// expiryHeap is a heap.Interface of sessions by the time of what is due next.
type expiryHeap []*session

func (h *expiryHeap) Len() int           { return len(*h) }
func (h *expiryHeap) Less(i, j int) bool { return (*h)[i].expiry.at < (*h)[j].expiry.at }

func (h *expiryHeap) Swap(i, j int) {
	s := *h
	s[i], s[j] = s[j], s[i]
	s[i].expiry.place, s[j].expiry.place = i+1, j+1
}

func (h *expiryHeap) Push(x any) {
	sess := x.(*session) //nolint:forcetypeassert // set's own
	*h = append(*h, sess)
	sess.expiry.place = len(*h)
}

func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	sess := (*h)[last]
	(*h)[last], *h = nil, (*h)[:last]
	sess.expiry.place, sess.expiry.socket = 0, nil
	return sess
}

// closesAt is the first millisecond at which the verifier no longer takes a token: a socket that were closed before would
// be back with the same one.
func (n *Node) closesAt(id auth.Identity) int64 {
	return id.ExpiresAt.Add(n.cfg.TokenLeeway).UnixMilli() + 1
}

// follow notes when the session's token expires. For holders of the session's mu.
func (n *Node) follow(s *socket.Socket, sess *session) {
	if sess.ended || sess.identity.ExpiresAt.IsZero() {
		return
	}
	notice := n.cfg.TokenNotice
	if spread := notice / noticeSpread; spread > 0 {
		notice += rand.N(spread) //nolint:gosec // spreading needs no secrecy
	}
	n.expiries.set(s, sess, sess.identity.ExpiresAt.Add(-notice).UnixMilli(), n.closesAt(sess.identity))
}

// runExpiries tells sockets that their tokens expire, and closes those whose have, until ctx ends.
func (n *Node) runExpiries(ctx context.Context) error {
	tick := time.NewTicker(expiryTick)
	defer tick.Stop()
	pause := time.NewTicker(expiryPause)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for n.expireSome() == expiryStep {
			select {
			case <-ctx.Done():
				return nil
			case <-pause.C:
			}
		}
	}
}

// expireSome does what is due, as far as one step may go, and returns how much that was.
func (n *Node) expireSome() int {
	due := n.expiries.due(n.now().UnixMilli(), expiryStep)
	for _, d := range due {
		n.seeTo(d)
	}
	return len(due)
}

func (n *Node) seeTo(d dueToken) {
	defer n.recovered("expiry")
	if !d.expired {
		n.emit(d.socket, "token_expiring", expiringEvent{ExpiresAt: d.sess.who().ExpiresAt.UnixMilli()})
		return
	}
	if !d.sess.expire(func(id auth.Identity) bool { return n.closesAt(id) <= n.now().UnixMilli() }) {
		return
	}
	n.expired.Add(1)
	noteEnding(d.socket, endedExpired)
	n.emit(d.socket, "token_expired", wireErrorOf(auth.ErrTokenExpired))
	// Not for good: a client that fetches a new token comes back to its session.
	n.sendAway(d.socket)
}

// expire ends the session's time, after which its token cannot be renewed, unless it has been or over says no.
func (s *session) expire(over func(auth.Identity) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.expired || !over(s.identity) {
		return false
	}
	s.expired = true
	return true
}
