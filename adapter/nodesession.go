package adapter

import "strconv"

const (
	// maxNodeSession bounds the text of a Node server's session, in bytes.
	maxNodeSession = 256 << 10
	// maxNodeRooms bounds its rooms: whether a client may be in them is asked one by one.
	maxNodeRooms = 1024
)

// nodeSession reads what a Node server keeps of a client whose connection to it was lost: base64 of msgpack, with the rooms
// and the application's data, whose user_id has to say whose it is. Since when the socket was in its rooms is not known:
// it counts as in them since before whatever the client may have missed, as it does with Node. Among them is the one of its
// id, by which servers go on addressing it: with Node a client that comes back keeps it.
//
// Such a session has no owner and no generation: it is taken over as long as it is the same text.
func nodeSession(text string) (record, bool) {
	if len(text) > maxNodeSession {
		return record{}, false
	}
	fields, err := packedObject(text)
	if err != nil {
		return record{}, false
	}
	sid, _ := fields["sid"].(string)
	data, _ := fields["data"].(map[string]any)
	user := identifier(data["user_id"])
	rooms, err := roomsFrom(fields["rooms"])
	if sid == "" || user == "" || err != nil || len(rooms) > maxNodeRooms {
		return record{}, false
	}
	rec := record{Owner: text, User: user, Sid: sid, Closed: true, Rooms: make(map[string]string, len(rooms))}
	for _, room := range rooms {
		rec.Rooms[room] = streamID{}.String()
	}
	return rec, true
}

// identifier is a user's, which an application may hold as text or as an integer; "" if it is neither.
func identifier(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	default:
		return ""
	}
}
