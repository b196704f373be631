package adapter

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"
)

// list returns a room's members.
func (t *roomTable) list(name socket.Room) []*member {
	t.walkMu.Lock()
	defer t.walkMu.Unlock()
	var found []*member
	t.read(name, func(list []seat) {
		for _, seat := range list {
			found = append(found, seat.m)
		}
	})
	return found
}

func visited(t *roomTable, o options) []string {
	ids := make([]string, 0)
	t.walk(o, func(m *member) { ids = append(ids, string(m.id)) })
	slices.Sort(ids)
	return ids
}

func TestRoomsLoseNoMemberWhenTheyEmptyAndFillAtOnce(t *testing.T) {
	table := newRoomTable()
	const workers, rounds = 8, 20_000
	var group sync.WaitGroup
	lost := make([]int, workers)
	for w := range workers {
		group.Go(func() {
			id := socket.SocketId(fmt.Sprint("s", w))
			for i := range rounds {
				table.add(id, []socket.Room{"shared"}, streamID{})
				if !slices.ContainsFunc(table.list("shared"), func(m *member) bool { return m.id == id }) {
					lost[w]++
				}
				if i%2 == 0 {
					table.remove(id, "shared")
				} else {
					table.removeAll(id)
				}
			}
		})
	}
	group.Wait()
	for w := range workers {
		require.Zero(t, lost[w])
	}
	require.Empty(t, table.list("shared"))
	for i := range table.rooms {
		require.Empty(t, table.rooms[i].byName, "an empty room is forgotten")
		table.removeAll(socket.SocketId(fmt.Sprint("s", i)))
	}
	for i := range table.members {
		require.Empty(t, table.members[i].byID)
	}
}

func TestRoomsOfOneSocketChangedByManyAtOnce(t *testing.T) {
	table := newRoomTable()
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for i := range 5000 {
				room := socket.Room(fmt.Sprint("r", (w+i)%4))
				switch i % 5 {
				case 0:
					table.removeAll("one")
				case 1:
					table.remove("one", room)
				default:
					table.add("one", []socket.Room{room, "all"}, streamID{})
				}
			}
		})
	}
	group.Wait()
	table.add("one", []socket.Room{"all"}, streamID{})
	// Whatever the outcome, both directions of the table agree, and no member that was forgotten is left in a room.
	m := table.member("one")
	require.NotNil(t, m)
	for i := range table.rooms {
		for name, r := range table.rooms[i].byName {
			require.Len(t, r.list, 1, name)
			require.Same(t, m, r.list[0].m, name)
			require.Contains(t, m.rooms, r.list[0].place, name)
		}
	}
	for _, p := range m.rooms {
		require.Equal(t, []*member{m}, table.list(p.room.name))
	}
	require.Equal(t, []*member{m}, table.selected(options{}))
}

func TestRoomsAgreeWithAModel(t *testing.T) {
	table := newRoomTable()
	model := map[string]map[string]bool{} // id → rooms
	rnd := rand.New(rand.NewPCG(1, 2))
	name := func(kind string, n int) string { return fmt.Sprint(kind, rnd.IntN(n)) }
	for range 20_000 {
		id := name("s", 20)
		switch rnd.IntN(6) {
		case 0:
			table.removeAll(socket.SocketId(id))
			delete(model, id)
		case 1, 2:
			room := name("r", 6)
			_, was := table.remove(socket.SocketId(id), socket.Room(room))
			require.Equal(t, model[id][room], was)
			delete(model[id], room)
		default:
			room := name("r", 6)
			changes := table.add(socket.SocketId(id), []socket.Room{socket.Room(room), socket.Room(room)}, streamID{})
			require.Equal(t, !model[id][room], len(changes) == 1)
			if model[id] == nil {
				model[id] = map[string]bool{}
			}
			model[id][room] = true
		}
		o := options{}
		for range rnd.IntN(3) {
			o.Rooms = append(o.Rooms, name("r", 6))
		}
		for range rnd.IntN(2) {
			o.Except = append(o.Except, name("r", 6))
		}
		require.Equal(t, expected(model, o), visited(table, o))
	}
}

func expected(model map[string]map[string]bool, o options) []string {
	ids := make([]string, 0)
	for id, rooms := range model {
		in := len(o.Rooms) == 0
		for _, room := range o.Rooms {
			in = in || rooms[room]
		}
		for _, room := range o.Except {
			in = in && !rooms[room]
		}
		if in {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func TestAWalkMeetsEveryMemberOnceWhileOthersComeAndGo(t *testing.T) {
	for name, o := range map[string]options{"a room": {Rooms: []string{"r"}}, "everyone": {}, "two rooms": {Rooms: []string{"r", "q"}}} {
		table := newRoomTable()
		const staying = 300
		for i := range staying {
			table.add(socket.SocketId(fmt.Sprint("s", i)), []socket.Room{"r"}, streamID{})
		}
		var group sync.WaitGroup
		stop := make(chan struct{})
		for w := range 4 {
			group.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					id := socket.SocketId(fmt.Sprint("x", w, "-", i%500))
					switch i / 500 % 3 {
					case 0:
						table.add(id, []socket.Room{"r", "q"}, streamID{})
					case 1:
						table.remove(id, "r")
					default:
						table.removeAll(id)
					}
				}
			})
		}
		for range 300 {
			met := make(map[*member]int)
			stayed := 0
			table.walk(o, func(m *member) {
				if met[m]++; m.id[0] == 's' {
					stayed++
				}
			})
			require.Equal(t, staying, stayed, name)
			for m, times := range met {
				require.Equal(t, 1, times, "%s: %s", name, m.id)
			}
		}
		close(stop)
		group.Wait()
	}
}

func TestARoomThatShrinksGivesItsMemoryBack(t *testing.T) {
	table := newRoomTable()
	for i := range 10_000 {
		table.add(socket.SocketId(fmt.Sprint("s", i)), []socket.Room{"r"}, streamID{})
	}
	for i := range 9_990 {
		table.removeAll(socket.SocketId(fmt.Sprint("s", i)))
	}
	s := table.roomShard("r")
	require.Len(t, s.byName["r"].list, 10)
	require.Less(t, cap(s.byName["r"].list), 100)
	require.Less(t, cap(table.all.list), 100)
}

func TestAJoinCostsTheSameHoweverLargeTheRoom(t *testing.T) {
	table := newRoomTable()
	for i := range 10_000 {
		table.add(socket.SocketId(fmt.Sprint("s", i)), []socket.Room{"r"}, streamID{})
	}
	walk := func() { table.walk(options{Rooms: []string{"r"}}, func(*member) {}) }
	walk()
	before := &table.roomShard("r").byName["r"].list[0]
	table.remove("s5000", "r")
	table.add("s5000", []socket.Room{"r"}, streamID{})
	walk()
	require.Same(t, before, &table.roomShard("r").byName["r"].list[0], "the list was changed in place")
}
