package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const eventStream = "{teloo}:events"

// load says how much is written. A pulse is an event for everybody: it makes every client's ledger dense enough to
// tell when that client is served.
type load struct {
	rate   int           // events a second, besides the pulses
	single int           // of them, a second, those for one user only, which cost the clients little; the rest are of all kinds
	burst  int           // events written at once; 0: 1
	pulse  time.Duration // 0: none but the last
}

// writer is the Core API: it writes numbered events one burst after the other, each until Redis has acknowledged it, so
// that the numbers ascend in the stream. A repeated try carries the same event_id, which the gateway relays once.
type writer struct {
	redis redis.UniversalClient
	wait  int // an event is written only once so many replicas have it
	world *world
	run   string // makes the event ids this run's own
	rnd   *rand.Rand

	gate sync.Mutex // held while nothing may be written

	mu     sync.Mutex
	events []event // guarded by mu; appended before the first try
	acked  int     // guarded by mu
}

func newWriter(client redis.UniversalClient, w *world, seed uint64) *writer {
	return &writer{
		redis: client, world: w, run: strconv.FormatInt(time.Now().UnixMilli(), 36),
		rnd: rand.New(rand.NewPCG(seed, 1)), //nolint:gosec // a reproducible flow, not a secret
	}
}

// write writes at the load's rate until ctx ends, which is no error.
func (w *writer) write(ctx context.Context, l load) error {
	tick := time.NewTicker(time.Second * time.Duration(max(1, l.burst)) / time.Duration(l.rate))
	defer tick.Stop()
	pulsed := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			var events []event
			if l.pulse > 0 && now.Sub(pulsed) >= l.pulse {
				pulsed = now
				events = append(events, pulse())
			}
			for range max(1, l.burst) {
				events = append(events, w.some(l))
			}
			// What was begun is written to the end: nothing may be left in doubt.
			if err := w.add(context.WithoutCancel(ctx), events...); err != nil {
				return err
			}
		}
	}
}

func (w *writer) some(l load) event {
	if w.rnd.IntN(l.rate) >= l.single {
		return w.next()
	}
	return event{name: "notificacion_created", data: map[string]any{"user_id": w.id(pick(w.rnd, w.world.people).user)}}
}

// last writes the event after which nothing more comes.
func (w *writer) last(ctx context.Context) error { return w.add(ctx, pulse()) }

func pulse() event {
	return event{name: "notificacion_pulso", data: map[string]any{}, rooms: []string{"admin", "advisor", "client"}}
}

// outageBound is longer than any outage that a fault makes.
const outageBound = 2 * time.Minute

// add writes events, all of them or none at each try.
func (w *writer) add(ctx context.Context, events ...event) error {
	w.gate.Lock()
	defer w.gate.Unlock()
	w.mu.Lock()
	first := len(w.events)
	for i, e := range events {
		e.data["n"] = json.Number(strconv.Itoa(first + i))
	}
	w.events = append(w.events, events...)
	w.mu.Unlock()
	entries := make([][]any, len(events))
	for i, e := range events {
		var err error
		if entries[i], err = w.entry(first+i, e); err != nil {
			return err
		}
	}
	err := until(ctx, fmt.Sprintf("event %d acknowledged", first), outageBound, func() error { return w.try(ctx, entries) })
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.acked = first + len(events)
	}
	return err
}

// try writes entries once, all over one connection, which is what WAIT is about.
func (w *writer) try(ctx context.Context, entries [][]any) error {
	server, ok := w.redis.(*redis.Client)
	if cluster, many := w.redis.(*redis.ClusterClient); many {
		var err error
		if server, err = cluster.MasterForKey(ctx, eventStream); err != nil {
			return err
		}
		ok = true
	}
	if !ok {
		return errUnwell
	}
	conn := server.Conn()
	defer func() { _ = conn.Close() }()
	_, err := conn.TxPipelined(ctx, func(tx redis.Pipeliner) error {
		for _, entry := range entries {
			tx.XAdd(ctx, &redis.XAddArgs{Stream: eventStream, Values: entry})
		}
		return nil
	})
	if err != nil || w.wait == 0 {
		return err
	}
	if have, err := conn.Wait(ctx, w.wait, time.Second).Result(); err != nil || have < int64(w.wait) {
		return fmt.Errorf("%w: %d replicas have the event: %w", errUnwell, have, err)
	}
	return nil
}

// stuck says that an event is under way and not acknowledged.
func (w *writer) stuck() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked < len(w.events)
}

func (w *writer) entry(n int, e event) ([]any, error) {
	data, err := json.Marshal(e.data)
	if err != nil {
		return nil, fmt.Errorf("event %d: %w", n, err)
	}
	fields := []any{"event", e.name, "data", data, "event_id", fmt.Sprintf("%s-%d", w.run, n)}
	if e.rooms != nil {
		rooms, err := json.Marshal(e.rooms)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", n, err)
		}
		fields = append(fields, "rooms", rooms)
	}
	return fields, nil
}

// hold waits until the event under way is acknowledged and writes no more until the returned function is called.
func (w *writer) hold() (release func()) {
	w.gate.Lock()
	return w.gate.Unlock
}

// begun is how many events were begun; the newest burst may not have been acknowledged.
func (w *writer) begun() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.events)
}

// written gives a copy of what was written.
func (w *writer) written() []event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events)
}

var eventNames = []string{
	"solicitud_created", "solicitud_updated", "solicitud_updated", "solicitud_closed",
	"oferta_created", "oferta_accepted", "oferta_updated",
	"evaluacion_started", "evaluacion_completed",
	"notificacion_created", "notificacion_read",
}

// next makes an event of some kind about somebody; all rows of the routing table and explicit rooms occur.
func (w *writer) next() event {
	e := event{name: pick(w.rnd, eventNames), data: map[string]any{}}
	some := func(field string, ids []string) { e.data[field] = w.id(pick(w.rnd, ids)) }
	switch e.name[0] {
	case 's':
		some("solicitud_id", w.world.solicitudes)
		if w.rnd.IntN(3) > 0 {
			some("client_id", w.world.clients)
		}
	case 'o', 'e':
		some("solicitud_id", w.world.solicitudes)
		if w.rnd.IntN(3) > 0 {
			some("advisor_id", w.world.advisors)
		}
		if w.rnd.IntN(2) > 0 {
			some("client_id", w.world.clients)
		}
	default:
		w.notify(e.data)
	}
	if w.rnd.IntN(8) == 0 {
		e.rooms = []string{"solicitud_" + pick(w.rnd, w.world.solicitudes), "user_" + pick(w.rnd, w.world.advisors), "client"}
	}
	return e
}

func (w *writer) notify(data map[string]any) {
	switch w.rnd.IntN(3) {
	case 0:
		data["user_id"] = w.id(pick(w.rnd, w.world.clients))
	case 1:
		data["role"] = pick(w.rnd, []string{"admin", "advisor", "client"})
	default:
		var users []any
		for range 5 {
			users = append(users, w.id(pick(w.rnd, w.world.people).user))
		}
		data["user_ids"] = users
	}
}

// id writes a numeric id as a number now and then, as the contract allows.
func (w *writer) id(id string) any {
	if _, err := strconv.Atoi(id); err == nil && w.rnd.IntN(2) == 0 {
		return json.Number(id)
	}
	return id
}

func pick[T any](rnd *rand.Rand, from []T) T { return from[rnd.IntN(len(from))] }
