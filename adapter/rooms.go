package adapter

import (
	"hash/maphash"
	"sync"

	"github.com/zishang520/socket.io/servers/socket/v3"
)

const shardCount = 64

// roomTable knows which local sockets are in which rooms.
//
// Lock order: a member's mu, then a room shard's. Nothing is called back while a shard is locked.
type roomTable struct {
	seed    maphash.Seed
	members [shardCount]memberShard
	rooms   [shardCount]roomShard

	// walkMu makes walks exclusive; the stamps by which a walk visits each member once belong to it.
	walkMu sync.Mutex
	stamp  uint64 // walkMu
}

type memberShard struct {
	mu   sync.RWMutex
	byID map[socket.SocketId]*member // mu
}

type roomShard struct {
	mu     sync.RWMutex
	byName map[socket.Room]*room // mu
}

type room struct {
	members map[*member]struct{} // its shard's mu
	// list is an immutable copy of members, nil once it is out of date. Its shard's mu.
	list []*member
}

// roomChange says what an add or remove did, for the adapter's events.
type roomChange struct {
	room  socket.Room
	whole bool // the room was created or deleted with it
}

func newRoomTable() *roomTable {
	t := &roomTable{seed: maphash.MakeSeed()}
	for i := range shardCount {
		t.members[i].byID = make(map[socket.SocketId]*member)
		t.rooms[i].byName = make(map[socket.Room]*room)
	}
	return t
}

func (t *roomTable) memberShard(id socket.SocketId) *memberShard {
	return &t.members[maphash.String(t.seed, string(id))%shardCount]
}

func (t *roomTable) roomShard(name socket.Room) *roomShard {
	return &t.rooms[maphash.String(t.seed, string(name))%shardCount]
}

func (t *roomTable) member(id socket.SocketId) *member {
	s := t.memberShard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byID[id]
}

func (t *roomTable) obtain(id socket.SocketId) *member {
	if m := t.member(id); m != nil {
		return m
	}
	s := t.memberShard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.byID[id]
	if m == nil {
		m = &member{id: id, rooms: make(map[socket.Room]streamID, 4)}
		s.byID[id] = m
	}
	return m
}

// add puts a socket into rooms, as of a position of the log, and returns those that it was not yet in.
func (t *roomTable) add(id socket.SocketId, names []socket.Room, since streamID) []roomChange {
	for {
		m := t.obtain(id)
		m.mu.Lock()
		if m.gone {
			// Removed between the look-up and the lock; the table holds another member, or none, by now.
			m.mu.Unlock()
			continue
		}
		changes := make([]roomChange, 0, len(names))
		for _, name := range names {
			if _, in := m.rooms[name]; in {
				continue
			}
			m.rooms[name] = since
			changes = append(changes, roomChange{room: name, whole: t.enter(name, m)})
		}
		m.mu.Unlock()
		return changes
	}
}

// remove takes a socket out of one room. It reports whether it was in it.
func (t *roomTable) remove(id socket.SocketId, name socket.Room) (roomChange, bool) {
	m := t.member(id)
	if m == nil {
		return roomChange{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, in := m.rooms[name]; !in {
		return roomChange{}, false
	}
	delete(m.rooms, name)
	return roomChange{room: name, whole: t.leave(name, m)}, true
}

// removeAll forgets a socket and returns the rooms that it was in.
func (t *roomTable) removeAll(id socket.SocketId) []roomChange {
	s := t.memberShard(id)
	s.mu.Lock()
	m := s.byID[id]
	delete(s.byID, id)
	s.mu.Unlock()
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = true
	changes := make([]roomChange, 0, len(m.rooms))
	for name := range m.rooms {
		changes = append(changes, roomChange{room: name, whole: t.leave(name, m)})
	}
	m.rooms = nil
	return changes
}

// enter reports whether it created the room. Lookup, creation and insertion happen under one lock, and so do removal
// and deletion in leave: a room that empties cannot swallow a member.
func (t *roomTable) enter(name socket.Room, m *member) bool {
	s := t.roomShard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.byName[name]
	if !ok {
		r = &room{members: make(map[*member]struct{}, 1)}
		s.byName[name] = r
	}
	r.members[m] = struct{}{}
	r.list = nil
	return !ok
}

// leave reports whether it deleted the room.
func (t *roomTable) leave(name socket.Room, m *member) bool {
	s := t.roomShard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.byName[name]
	if !ok {
		return false
	}
	delete(r.members, m)
	r.list = nil
	if len(r.members) > 0 {
		return false
	}
	delete(s.byName, name)
	return true
}

// list returns a room's members; the slice is shared and must not be changed.
func (t *roomTable) list(name socket.Room) []*member {
	s := t.roomShard(name)
	s.mu.RLock()
	r := s.byName[name]
	if r == nil {
		s.mu.RUnlock()
		return nil
	}
	list := r.list
	s.mu.RUnlock()
	if list != nil {
		return list
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r = s.byName[name]; r == nil {
		return nil
	}
	if r.list == nil {
		r.list = make([]*member, 0, len(r.members))
		for m := range r.members {
			r.list = append(r.list, m)
		}
	}
	return r.list
}

// walk visits each member once that is in any of o's rooms (in the table, if there are none) and in none of the
// excepted ones. visit must neither block nor call the table's walk.
func (t *roomTable) walk(o options, visit func(*member)) {
	t.walkMu.Lock()
	defer t.walkMu.Unlock()
	if len(o.Rooms) == 1 && len(o.Except) == 0 {
		for _, m := range t.list(socket.Room(o.Rooms[0])) {
			visit(m)
		}
		return
	}
	t.stamp++
	for _, name := range o.Except {
		for _, m := range t.list(socket.Room(name)) {
			m.stamp = t.stamp
		}
	}
	for _, name := range o.Rooms {
		for _, m := range t.list(socket.Room(name)) {
			if m.stamp != t.stamp {
				m.stamp = t.stamp
				visit(m)
			}
		}
	}
	if len(o.Rooms) == 0 {
		t.walkAll(visit)
	}
}

func (t *roomTable) walkAll(visit func(*member)) {
	for i := range t.members {
		s := &t.members[i]
		s.mu.RLock()
		for _, m := range s.byID {
			if m.stamp != t.stamp {
				visit(m)
			}
		}
		s.mu.RUnlock()
	}
}

// selected returns the members that a walk visits.
func (t *roomTable) selected(o options) []*member {
	var found []*member
	t.walk(o, func(m *member) { found = append(found, m) })
	return found
}
