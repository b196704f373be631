package presence

import (
	"net/url"
	"strings"
)

// Parts of a field are escaped, so the separator can't occur in them.
const separator = "|"

// keys names everything this package keeps in Redis.
type keys struct {
	prefix                     string
	nodes, users, leaving, log string
	epoch                      string
}

func newKeys(prefix, log string) keys {
	p := prefix + ":presence:"
	return keys{prefix: p, nodes: p + "nodes", users: p + "users", leaving: p + "leaving", epoch: p + "epoch", log: log}
}

func (k keys) role(role string) string      { return k.prefix + "role:" + url.PathEscape(role) }
func (k keys) room(room string) string      { return k.prefix + "room:" + url.PathEscape(room) }
func (k keys) nodeUsers(node string) string { return k.prefix + "node:" + url.PathEscape(node) }
func (k keys) nodeRooms(node string) string { return k.prefix + "rooms:" + url.PathEscape(node) }
func (k keys) aliveAt(node string) string   { return k.prefix + "alive:" + url.PathEscape(node) }

// key says whose sockets a record counts: a user's in a role, or with a room, a user's in a role in that room.
type key struct{ room, role, user string }

// field is the key's form in a node's hash: role|user, or room|role|user, which is also the form in the leaving zset.
func (k key) field(rooms bool) string {
	f := url.PathEscape(k.role) + separator + url.PathEscape(k.user)
	if rooms {
		f = url.PathEscape(k.room) + separator + f
	}
	return f
}

// parseField undoes field. It is false for what field cannot have made.
func parseField(field string, rooms bool) (key, bool) {
	parts := strings.Split(field, separator)
	if rooms != (len(parts) == 3) || len(parts) < 2 || len(parts) > 3 {
		return key{}, false
	}
	for i, p := range parts {
		u, err := url.PathUnescape(p)
		if err != nil {
			return key{}, false
		}
		parts[i] = u
	}
	k := key{role: parts[len(parts)-2], user: parts[len(parts)-1]}
	if rooms {
		k.room = parts[0]
	}
	return k, k.field(rooms) == field
}
