package adapter

import (
	"hash/maphash"
	"sync"

	"github.com/zishang520/socket.io/servers/socket/v3"
)

const shardCount = 64

// roomTable knows which local sockets are in which rooms.
//
// Lock order: a member's mu, then a room shard's; a member shard's, then everyone's. Nothing is called back while a shard
// is locked.
type roomTable struct {
	seed    maphash.Seed
	members [shardCount]memberShard
	rooms   [shardCount]roomShard

	allMu sync.Mutex
	all   room // allMu: everyone

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

// room is a list of members in no order. Coming and going change the list in place, so that they cost the same however
// long it is; but not the one that a walk is reading, which is left to it and copied, once.
type room struct {
	name   socket.Room
	list   []seat // its shard's mu
	walked bool   // its shard's mu: a walk is reading list
}

type seat struct {
	m     *member
	place *place
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
		m = newMember(id)
		s.byID[id] = m
		t.allMu.Lock()
		t.all.enter(m, &m.all)
		t.allMu.Unlock()
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
			if m.placeIn(name) >= 0 {
				continue
			}
			p := &place{since: since}
			changes = append(changes, roomChange{room: name, whole: t.enter(name, m, p)})
			m.rooms = append(m.rooms, p)
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
	i := m.placeIn(name)
	if i < 0 {
		return roomChange{}, false
	}
	p, last := m.rooms[i], len(m.rooms)-1
	m.rooms[i], m.rooms[last] = m.rooms[last], nil
	m.rooms = m.rooms[:last]
	return roomChange{room: name, whole: t.leave(p)}, true
}

// removeAll forgets a socket and returns the rooms that it was in.
func (t *roomTable) removeAll(id socket.SocketId) []roomChange {
	s := t.memberShard(id)
	s.mu.Lock()
	m := s.byID[id]
	if m != nil {
		delete(s.byID, id)
		t.allMu.Lock()
		t.all.leave(&m.all)
		t.allMu.Unlock()
	}
	s.mu.Unlock()
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = true
	changes := make([]roomChange, 0, len(m.rooms))
	for _, p := range m.rooms {
		changes = append(changes, roomChange{room: p.room.name, whole: t.leave(p)})
	}
	m.rooms = nil
	return changes
}

// enter reports whether it created the room. Lookup, creation and insertion happen under one lock, and so do removal
// and deletion in leave: a room that empties cannot swallow a member.
func (t *roomTable) enter(name socket.Room, m *member, p *place) bool {
	s := t.roomShard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.byName[name]
	if !ok {
		r = &room{name: name}
		s.byName[name] = r
	}
	r.enter(m, p)
	return !ok
}

// leave reports whether it deleted the room.
func (t *roomTable) leave(p *place) bool {
	name := p.room.name
	s := t.roomShard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	p.room.leave(p)
	if len(p.room.list) > 0 {
		return false
	}
	delete(s.byName, name)
	return true
}

// own makes the list one that may be changed, and is no longer than it has to be. For holders of the shard's mu.
func (r *room) own() {
	const small = 16
	n := len(r.list)
	if !r.walked && (cap(r.list) <= small || n > cap(r.list)/4) {
		return
	}
	r.walked = false
	r.list = append(make([]seat, 0, n+n/8+1), r.list...)
}

// enter is for holders of the shard's mu.
func (r *room) enter(m *member, p *place) {
	r.own()
	p.room, p.seat = r, len(r.list)
	if r.list == nil {
		r.list = make([]seat, 0, 1) // most rooms are one user's
	}
	r.list = append(r.list, seat{m: m, place: p})
}

// leave gives the seat to the last of the list. For holders of the shard's mu.
func (r *room) leave(p *place) {
	r.own()
	end := len(r.list) - 1
	last := r.list[end]
	r.list[p.seat] = last
	last.place.seat = p.seat
	r.list[end] = seat{}
	r.list = r.list[:end]
}

// read calls fn with a room's members, which stay as they are until it returns. For holders of walkMu.
func (t *roomTable) read(name socket.Room, fn func([]seat)) {
	s := t.roomShard(name)
	s.mu.Lock()
	r := s.byName[name]
	if r == nil {
		s.mu.Unlock()
		return
	}
	list := r.list
	r.walked = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		r.walked = false
		s.mu.Unlock()
	}()
	fn(list)
}

// readAll is read for all members.
func (t *roomTable) readAll(fn func([]seat)) {
	t.allMu.Lock()
	list := t.all.list
	t.all.walked = true
	t.allMu.Unlock()
	defer func() {
		t.allMu.Lock()
		t.all.walked = false
		t.allMu.Unlock()
	}()
	fn(list)
}

// walk visits each member once that is in any of o's rooms (in the table, if there are none) and in none of the
// excepted ones. No lock but walkMu is held by it; visit must not call the table's walk.
func (t *roomTable) walk(o options, visit func(*member)) {
	t.walkMu.Lock()
	defer t.walkMu.Unlock()
	if len(o.Rooms) == 1 && len(o.Except) == 0 {
		t.read(socket.Room(o.Rooms[0]), func(list []seat) {
			for i := range list {
				visit(list[i].m)
			}
		})
		return
	}
	t.stamp++
	for _, name := range o.Except {
		t.read(socket.Room(name), func(list []seat) {
			for i := range list {
				list[i].m.stamp = t.stamp
			}
		})
	}
	fresh := func(list []seat) {
		for i := range list {
			if m := list[i].m; m.stamp != t.stamp {
				m.stamp = t.stamp
				visit(m)
			}
		}
	}
	for _, name := range o.Rooms {
		t.read(socket.Room(name), fresh)
	}
	if len(o.Rooms) == 0 {
		t.readAll(fresh)
	}
}

// selected returns the members that a walk visits.
func (t *roomTable) selected(o options) []*member {
	var found []*member
	t.walk(o, func(m *member) { found = append(found, m) })
	return found
}
