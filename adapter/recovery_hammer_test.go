package adapter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// hammerFor is how long clients lose their connections for.
const hammerFor = 8 * time.Second

// roam makes a visitor lose its connection again and again, and come back to any of the nodes.
func roam(v *visitor, nodes []*lobby, rnd *rand.Rand, until time.Time) (visits int, err error) {
	for time.Now().Before(until) {
		pause(context.Background(), time.Duration(rnd.Intn(250))*time.Millisecond)
		v.cut()
		if rnd.Intn(3) == 0 {
			pause(context.Background(), time.Duration(rnd.Intn(400))*time.Millisecond)
		}
		if err := v.visit(nodes[rnd.Intn(len(nodes))]); err != nil {
			return visits, err
		}
		visits++
	}
	return visits, nil
}

// ledger is what a visitor of these rooms should have been told of the whole log, by the log itself.
func ledger(t *testing.T, c *redis.Client, after string, rooms []string) []string {
	entries, err := c.XRange(context.Background(), logKey, "("+after, "+").Result()
	require.NoError(t, err)
	var names []string
	for _, message := range entries {
		var l logged
		e, err := l.decode(rawOf(message.Values))
		require.NoError(t, err)
		mine := len(e.opts.Rooms) == 0
		for _, room := range e.opts.Rooms {
			mine = mine || slices.Contains(rooms, room)
		}
		if mine && e.kind == typeBroadcast {
			var args []string
			require.NoError(t, json.Unmarshal(e.packet.array, &args))
			names = append(names, args[0])
		}
	}
	return names
}

// differences counts what of want is missing in got, what came again, and what came out of turn.
func differences(want, got []string) (lost, repeated, reordered int) {
	place := make(map[string]int, len(want))
	for i, name := range want {
		place[name] = i
	}
	seen := make(map[string]bool, len(got))
	last := -1
	for _, name := range got {
		at, known := place[name]
		switch {
		case seen[name] || !known:
			repeated++
			continue
		case at < last:
			reordered++
		}
		seen[name], last = true, max(last, at)
	}
	return len(want) - len(seen), repeated, reordered
}

func publishUntil(t *testing.T, l *lobby, who string, rnd *rand.Rand, until time.Time) int {
	var n int
	for ; time.Now().Before(until); n++ {
		var rooms []string
		for range rnd.Intn(4) {
			rooms = append(rooms, fmt.Sprint("r", rnd.Intn(6)))
		}
		err := l.cluster.Publish(context.Background(), Broadcast{Event: fmt.Sprint(who, n), Rooms: rooms})
		if err != nil {
			t.Errorf("publishing: %v", err)
		}
		pause(context.Background(), time.Duration(rnd.Intn(4))*time.Millisecond)
	}
	return n
}

func TestEveryLedgerIsExactWhileClientsRoam(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	server := redistest.Start(t)
	redisClient := server.Client()
	cfg := testConfig("a:1")
	cfg.SyncAfter = 300 * time.Millisecond
	nodes := []*lobby{openLobby(t, server.Addr(), cfg), openLobby(t, server.Addr(), cfg.as("b:1"))}
	visitors := make([]*visitor, 24)
	starts := make([]string, len(visitors))
	for i := range visitors {
		visitors[i] = newVisitor(t, fmt.Sprint("u", i), fmt.Sprint("r", i%6), fmt.Sprint("r", i/6))
		visitors[i].mustVisit(nodes[i%2], false)
		starts[i] = visitors[i].lastOffset()
		visitors[i].stored(redisClient, isLive)
	}
	until := time.Now().Add(hammerFor)
	var group sync.WaitGroup
	var mu sync.Mutex
	var visits, events int
	for i, l := range nodes {
		rnd := rand.New(rand.NewSource(seed + int64(i)))
		group.Go(func() {
			n := publishUntil(t, l, string(rune('A'+i)), rnd, until)
			mu.Lock()
			defer mu.Unlock()
			events += n
		})
	}
	for i, v := range visitors {
		rnd := rand.New(rand.NewSource(seed + 100 + int64(i)))
		group.Go(func() {
			n, err := roam(v, nodes, rnd, until)
			if err != nil && !errors.Is(err, errVisit) {
				t.Errorf("%s: %v", v.user, err)
			}
			mu.Lock()
			defer mu.Unlock()
			visits += n
		})
	}
	group.Wait()
	var deliveries int
	for i, v := range visitors {
		require.NoError(t, v.visit(nodes[i%2]))
	}
	for _, l := range nodes {
		failures, faults := l.faults()
		stats := l.cluster.Stats()
		t.Logf("failures of resuming: %v; %+v", failures, stats)
		require.Empty(t, faults)
		require.Zero(t, stats.DeliveryPanics+stats.NotRecovered+stats.Gaps+stats.WentBack+stats.Resets)
	}
	nodes[0].tell("", "end")
	for i, v := range visitors {
		eventually(t, "the end", func() bool { got := v.got(); return got[len(got)-1] == "end" })
		got := v.got()
		require.Equal(t, "|", got[0])
		lost, repeated, reordered := differences(ledger(t, redisClient, starts[i], v.rooms), got[1:])
		require.Zero(t, lost+repeated+reordered, "%s: lost %d, repeated %d, reordered %d", v.user, lost, repeated, reordered)
		deliveries += len(got) - 1
	}
	t.Logf("%d events, %d deliveries, %d visits", events, deliveries, visits)
}
