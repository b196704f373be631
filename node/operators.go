package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// ErrUnanswered says that not all nodes told what they have, in time.
var ErrUnanswered = errors.New("node: not all nodes answered")

// UserSocket is a connected socket of a user, on any node. Fields at their zero value are unknown.
type UserSocket struct {
	ID, Node, Role string
	// Address is the client's, or its last proxy's.
	Address              string
	Connected, TokenEnds time.Time
	Rooms                []string
}

// socketData is what nodes tell each other of a socket.
type socketData struct {
	UserID string `json:"user_id"`
	Role   string `json:"role"`
	Node   string `json:"node"`
	// TokenEnds is in unix seconds, 0 if not known.
	TokenEnds int64 `json:"token_ends,omitempty"`
}

// MarshalJSON is what other nodes see of a socket in fetchSockets: whom it belongs to, nothing that opens anything.
func (s *session) MarshalJSON() ([]byte, error) {
	id := s.who()
	data := socketData{UserID: id.User, Role: id.Role, Node: s.node}
	if !id.ExpiresAt.IsZero() {
		data.TokenEnds = id.ExpiresAt.Unix()
	}
	return json.Marshal(data)
}

// UserSockets returns the sockets that a user has in the whole cluster. The error wraps ErrUnanswered, or is ctx's.
func (n *Node) UserSockets(ctx context.Context, user string) ([]UserSocket, error) {
	type result struct {
		sockets []socket.SocketDetails
		err     error
	}
	answered := make(chan result, 1)
	go n.io.Sockets().Adapter().FetchSockets(ofUser(user))(func(sockets []socket.SocketDetails, err error) {
		answered <- result{sockets, err} // in the adapter's own time at the latest
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case got := <-answered:
		if got.err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnanswered, got.err)
		}
		found := make([]UserSocket, 0, len(got.sockets))
		for _, s := range got.sockets {
			found = append(found, userSocket(s))
		}
		return found, nil
	}
}

func userSocket(s socket.SocketDetails) UserSocket {
	u := UserSocket{ID: string(s.Id())}
	var data socketData
	if raw, err := json.Marshal(s.Data()); err == nil && json.Unmarshal(raw, &data) == nil {
		u.Node, u.Role = data.Node, data.Role
		if data.TokenEnds > 0 {
			u.TokenEnds = time.Unix(data.TokenEnds, 0).UTC()
		}
	}
	if h := s.Handshake(); h != nil {
		u.Address = h.Address
		if h.Issued > 0 {
			u.Connected = time.UnixMilli(h.Issued).UTC()
		}
	}
	for _, room := range s.Rooms().Keys() {
		if string(room) != u.ID {
			u.Rooms = append(u.Rooms, string(room))
		}
	}
	return u
}

// DisconnectUser closes the sockets of a user in the whole cluster, in the log's order: their clients stay away, and
// what they had open is not recovered.
func (n *Node) DisconnectUser(user string) {
	n.io.Sockets().Adapter().DisconnectSockets(ofUser(user), true)
}

// ofUser selects the sockets of a user.
func ofUser(user string) *socket.BroadcastOptions {
	return &socket.BroadcastOptions{
		Rooms: types.NewSet(socket.Room(UserRoom(user))), Except: types.NewSet[socket.Room](), Flags: &socket.BroadcastFlags{},
	}
}
