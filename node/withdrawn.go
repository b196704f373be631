package node

import (
	"context"
	"maps"
	"slices"

	"github.com/zishang520/socket.io/servers/socket/v3"
	"golang.org/x/sync/errgroup"

	"github.com/teloo/realtime-gateway/node/auth"
)

// recheckAtOnce is how many sockets' grants are looked up at the same time.
const recheckAtOnce = 4

// unsubscribed is the payload of the event of that name: the socket was taken out of a solicitud's room. Code is
// grant_withdrawn, or forbidden when a new token's role or claims do not allow it.
type unsubscribed struct {
	Room    string `json:"room"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Withdrawn takes the sockets of users whose grants were withdrawn out of those solicitudes' rooms, unless something
// else still allows them: role, token, or a grant that was given again. An empty list says that any may have been
// withdrawn. After an error, Redis not answering, it has to be called again. One call at a time.
func (n *Node) Withdrawn(ctx context.Context, list []auth.Withdrawal) error {
	// First, so that a subscription that was allowed before, and is not found below, is looked at again by its request.
	n.withdrawals.Add(1)
	affected := make(map[string]map[string]bool, len(list))
	for _, w := range list {
		if affected[w.User] == nil {
			affected[w.User] = make(map[string]bool)
		}
		affected[w.User][SolicitudRoom(w.Solicitud)] = true
	}
	group, ctx := errgroup.WithContext(ctx) // with Redis away nobody waits for more than one look-up
	group.SetLimit(recheckAtOnce)
	for _, s := range n.sockets() {
		sess, ok := s.Data().(*session)
		if !ok {
			continue
		}
		rooms := sess.subscriptions()
		if len(list) > 0 {
			these := affected[sess.who().User]
			rooms = slices.DeleteFunc(rooms, func(room string) bool { return !these[room] })
		}
		if len(rooms) > 0 {
			group.Go(func() error { return n.recheck(ctx, s, sess, rooms) })
		}
	}
	return group.Wait()
}

// recheck takes the socket out of those of the rooms that it may no longer be in. With an error none was left.
func (n *Node) recheck(ctx context.Context, s *socket.Socket, sess *session, rooms []string) error {
	ctx, cancel := context.WithTimeout(ctx, grantTimeout)
	defer cancel()
	kept, err := n.regrant(ctx, sess.who(), rooms)
	if err != nil {
		return err
	}
	for _, room := range without(rooms, kept) {
		n.takeOut(s, sess, room, unsubscribed{Room: room, Code: "grant_withdrawn", Message: "the access to this solicitud was withdrawn"})
	}
	return nil
}

// without returns those of the rooms that are not among others.
func without(rooms, others []string) []string {
	return slices.DeleteFunc(slices.Clone(rooms), func(room string) bool { return slices.Contains(others, room) })
}

// takeOut ends a subscription that its client did not.
func (n *Node) takeOut(s *socket.Socket, sess *session, room string, why unsubscribed) {
	if !sess.exit(n.deps.Presence, room) && !s.Rooms().Has(socket.Room(room)) {
		return
	}
	s.Leave(socket.Room(room))
	n.emit(s, "unsubscribed", why)
}

// subscriptions are the solicitud rooms that the socket subscribed to.
func (s *session) subscriptions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.solicitudes))
}
