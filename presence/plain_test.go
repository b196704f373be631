package presence

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// forms is one form of the scripts that change counts, with state of its own in one of Redis' databases.
type forms struct {
	users, rooms, reap, left *redis.Script
	client                   *redis.Client
}

func plainForm(t *testing.T, addr string) forms {
	t.Helper()
	script := func(name string) *redis.Script {
		source, err := os.ReadFile("testdata/" + name + ".lua")
		require.NoError(t, err)
		return redis.NewScript(string(source))
	}
	return forms{script("users"), script("rooms"), script("reap"), script("left"), dbClient(t, addr, 1)}
}

func dbClient(t *testing.T, addr string, db int) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: addr, DB: db, MaxRetries: -1})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// state is all that Redis holds, but for the nodes' entries and what time it is.
func (f forms) state(t *testing.T, began time.Time) map[string]any {
	t.Helper()
	ctx := context.Background()
	all := map[string]any{}
	keys, err := f.client.Keys(ctx, "*").Result()
	require.NoError(t, err)
	for _, key := range keys {
		switch key {
		case "nodes", "epoch":
		case "leaving":
			members, err := f.client.ZRangeWithScores(ctx, key, 0, -1).Result()
			require.NoError(t, err)
			due := map[string]int{}
			for _, m := range members {
				due[m.Member.(string)] = int(m.Score-float64(began.UnixMilli())) / hourMS
			}
			all[key] = due
		case "log":
			entries, err := f.client.XRange(ctx, key, "-", "+").Result()
			require.NoError(t, err)
			var log []map[string]any
			for _, e := range entries {
				log = append(log, e.Values)
			}
			all[key] = log
		default:
			h, err := f.client.HGetAll(ctx, key).Result()
			require.NoError(t, err)
			all[key] = h
		}
	}
	return all
}

// Calls are told apart by their grace, in hours.
const hourMS = 3_600_000

// rival makes random calls of both forms and compares what becomes of them.
type rival struct {
	t     *testing.T
	rng   *rand.Rand
	both  []forms
	began time.Time
	seq   int
	reg   map[string]int
	many  int // users, and counts in a call
}

func (r *rival) call(pick func(forms) *redis.Script, keys []string, args []any) {
	r.t.Helper()
	var replies []any
	for _, f := range r.both {
		reply, err := pick(f).Run(context.Background(), f.client, keys, args...).Result()
		require.NoError(r.t, err)
		replies = append(replies, reply)
	}
	require.Equal(r.t, replies[0], replies[1], "%v %v", keys, args)
	require.Equal(r.t, r.both[0].state(r.t, r.began), r.both[1].state(r.t, r.began), "%v %v", keys, args)
}

func (r *rival) register(node string) {
	r.seq++
	for _, f := range r.both {
		reply, err := beatScript.Run(context.Background(), f.client, []string{"nodes", "epoch"}, node, r.seq, "{}", "e").Slice()
		require.NoError(r.t, err)
		r.reg[node] = int(reply[0].(int64))
	}
}

func (r *rival) member() (room, role, user string) {
	role = []string{"client", "admin", "ghost"}[r.rng.IntN(3)] // the last is none of the configured
	return fmt.Sprint("r", r.rng.IntN(4)), role, fmt.Sprint("u", r.rng.IntN(r.many/2))
}

func (r *rival) writeUsers(node string) {
	r.seq++
	b := newBatch(8, "nodes", "node:"+node, "users")
	b.add(node, r.seq-r.rng.IntN(20)/19, r.reg[node], 1)
	for range 1 + r.rng.IntN(r.many) {
		_, role, user := r.member()
		b.add(role+"|"+user, b.key("role:"+role), r.rng.IntN(3))
	}
	r.call(func(f forms) *redis.Script { return f.users }, b.keys, b.args)
}

func (r *rival) writeRooms(node string) {
	r.seq++
	b := newBatch(8, "nodes", "rooms:"+node, "leaving", "log")
	b.add(node, r.seq-r.rng.IntN(20)/19, r.reg[node], "admin|client", r.seq*hourMS+hourMS/2)
	for range 1 + r.rng.IntN(r.many) {
		room, role, user := r.member()
		field := room + "|" + role + "|" + user
		b.add(field, b.key("room:"+room), r.rng.IntN(3), r.rng.IntN(8)/7)
		if r.rng.IntN(4) == 0 {
			b.add(0)
		} else {
			b.add(2, "joined", fmt.Sprint(field, " ", r.seq))
		}
	}
	r.call(func(f forms) *redis.Script { return f.rooms }, b.keys, b.args)
}

// reapSome subtracts what a node holds, some of it named twice and some that it does not hold.
func (r *rival) reapSome(node, hash, third string, grace any) {
	fields, err := r.both[0].client.HKeys(context.Background(), hash+node).Result()
	require.NoError(r.t, err)
	slices.Sort(fields)
	b := newBatch(8, "nodes", hash+node, third)
	b.add(node, grace)
	for _, field := range append(append(fields, fields[:len(fields)/2]...), "none|none|none") {
		name, _, _ := strings.Cut(field, "|")
		total := "role:" + name
		if grace != "" {
			total = "room:" + name
		}
		at := b.key(total)
		if r.rng.IntN(10) == 0 {
			at = 0
		}
		b.add(field, at)
	}
	r.call(func(f forms) *redis.Script { return f.reap }, b.keys, b.args)
}

func (r *rival) end(node string) {
	r.seq++
	for _, f := range r.both {
		require.NoError(r.t, leaveScript.Run(context.Background(), f.client, []string{"nodes"}, node, r.seq).Err())
	}
	r.reapSome(node, "node:", "users", "")
	r.reapSome(node, "rooms:", "leaving", r.seq*hourMS+hourMS/2)
	r.register(node)
}

// leave announces some members, those due of which are made so.
func (r *rival) leave() {
	ctx := context.Background()
	members, err := r.both[0].client.ZRange(ctx, "leaving", 0, -1).Result()
	require.NoError(r.t, err)
	slices.Sort(members)
	var args []any
	for _, m := range append(members, append(members, "none|none|none")...) {
		switch r.rng.IntN(4) {
		case 0:
			for _, f := range r.both {
				require.NoError(r.t, f.client.ZAddXX(ctx, "leaving", redis.Z{Score: 1, Member: m}).Err())
			}
			args = append(args, m, 2, "left", m)
		case 1:
			args = append(args, m, 2, "left", m)
		case 2:
			args = append(args, m, 0)
		}
	}
	r.call(func(f forms) *redis.Script { return f.left }, []string{"leaving", "log"}, args)
}

func (r *rival) empty() {
	for _, f := range r.both {
		require.NoError(r.t, f.client.FlushDB(context.Background()).Err())
	}
	r.register("a")
	r.register("b")
}

// lose has a hash of totals go, so that some are less than what nodes hold of them.
func (r *rival) lose() {
	room, role, _ := r.member()
	for _, f := range r.both {
		require.NoError(r.t, f.client.Del(context.Background(), "room:"+room, "role:"+role).Err())
	}
}

func (r *rival) step() {
	node := []string{"a", "b"}[r.rng.IntN(2)]
	switch n := r.rng.IntN(100); {
	case n < 30:
		r.writeUsers(node)
	case n < 85:
		r.writeRooms(node)
	case n < 90:
		r.end(node)
	case n < 97:
		r.leave()
	case n < 98:
		r.lose()
	default:
		r.empty()
	}
}

// TestScriptsDoAsTheirPlainForms makes thousands of random calls, and none may leave anything else in Redis, reply or
// announce anything else than one that handles each count by itself.
func TestScriptsDoAsTheirPlainForms(t *testing.T) {
	t.Parallel()
	for _, server := range []struct {
		name  string
		start func() string
	}{
		{"redis", func() string { return redistest.Start(t).Addr() }},
		{"miniredis", func() string { return miniredis.RunT(t).Addr() }},
	} {
		t.Run(server.name, func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			t.Log("seed", seed)
			addr := server.start()
			r := &rival{
				t: t, rng: rand.New(rand.NewPCG(seed, 3)), began: time.Now(), reg: map[string]int{},
				both: []forms{plainForm(t, addr), {usersScript, roomsScript, reapScript, leftScript, dbClient(t, addr, 2)}},
			}
			r.empty()
			r.many = 12
			for range 1500 {
				r.step()
			}
			r.empty()
			r.many = maxBatch // more than one command takes
			for _, node := range []string{"a", "b", "a", "b"} {
				r.writeUsers(node)
				r.writeRooms(node)
			}
			r.leave()
			r.end("a")
		})
	}
}
