package node

import (
	"encoding/json"

	"github.com/teloo/realtime-gateway/presence"
)

// memberEvent is the payload of `user_joined` and `user_left`.
type memberEvent struct {
	UserID string `json:"user_id"`
	Role   string `json:"role"`
	Room   string `json:"room"`
}

// Announcement is an event of the gateway itself to the members of a room.
type Announcement struct {
	Event  string
	Data   json.RawMessage
	Rooms  []string
	Except []string
}

// MemberAnnouncement tells the others in a solicitud's room that a user came or went. The user's own sockets are spared.
func MemberAnnouncement(joined bool, m presence.Member) (Announcement, error) {
	data, err := json.Marshal(memberEvent{UserID: m.User, Role: m.Role, Room: m.Room})
	if err != nil {
		return Announcement{}, err
	}
	event := "user_left"
	if joined {
		event = "user_joined"
	}
	return Announcement{Event: event, Data: data, Rooms: []string{m.Room}, Except: []string{UserRoom(m.User)}}, nil
}
