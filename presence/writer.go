package presence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// errUnregistered says that Redis does not have this node under its registration: it was reaped, or Redis emptied.
var errUnregistered = errors.New("node is not registered in Redis")

// writer is the one that writes this node's state: heartbeats and counts, one call at a time, in one goroutine, which
// owns all its fields.
type writer struct {
	p     *Presence
	roles string // all roles, escaped and joined

	reg     int64  // the registration Redis has of this node; 0: none known
	marked  int64  // the registration for which everything was marked to be written
	written int64  // the registration under which everything has been written
	epoch   string // changes when Redis was emptied

	patientUntil time.Time // the first registration waits for the subscription, but not longer
	nextBeat     time.Time
	holdUntil    time.Time // until then, new room members wait: other nodes have to say first who was there
	failures     int       // in a row
	notBefore    time.Time // the next attempt after a failure
	failed       time.Time // when an attempt last failed
	gathering    int       // how many flushes are left out yet, since changes come fast
}

// While changes come fast, more of them are gathered: every call costs Redis some commands for each hash it touches.
const (
	gather = 3  // flushes of which only the last is made
	busy   = 20 // changes that one flush has written, from which on they come fast
)

// grace is how long user_left waits: a user who is back in time may be written as late as changes are gathered.
func (c Config) grace() time.Duration { return c.LeaveGrace + gather*c.FlushEvery }

// hold is the part of the grace for which a room member's going is not even written: who is back on this node by then
// costs nothing.
func (c Config) hold() time.Duration { return c.LeaveGrace / 10 * 9 }

func newWriter(p *Presence) *writer {
	roles := make([]string, len(p.cfg.Roles))
	for i, r := range p.cfg.Roles {
		roles[i] = url.PathEscape(r)
	}
	return &writer{p: p, roles: strings.Join(roles, separator), patientUntil: time.Now().Add(p.cfg.HeartbeatEvery)}
}

// early says that this node should not register yet: until it is subscribed, its end would only be seen by its heartbeat.
func (w *writer) early(now time.Time) bool {
	return w.reg == 0 && w.p.subscribed.Load() == nil && now.Before(w.patientUntil)
}

// run writes until ctx ends.
func (w *writer) run(ctx context.Context) {
	tick := time.NewTicker(w.p.cfg.FlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.p.wake:
			w.nextBeat = time.Time{}
		case <-tick.C:
		}
		if w.p.resync.Swap(false) {
			w.marked, w.written = 0, 0
		}
		w.p.rooms.forget(time.Now())
		w.p.rooms.ripen(time.Now())
		if now := time.Now(); now.After(w.notBefore) && !w.early(now) {
			w.report(ctx, w.step(ctx))
		}
	}
}

// report counts failures in a row, and logs their begin and end.
func (w *writer) report(ctx context.Context, err error) {
	if err != nil {
		w.failed = time.Now()
	}
	switch {
	case errors.Is(err, errUnregistered):
		w.reg, w.nextBeat = 0, time.Time{}
	case err != nil:
		if ctx.Err() != nil {
			return
		}
		w.p.count.flushErrors.Add(1)
		w.failures++
		w.notBefore = time.Now().Add(backoff(w.failures, w.p.cfg.HeartbeatEvery))
		if w.failures == 1 {
			w.p.log.Warn("presence can't be written; trying again", "err", err)
		}
	case w.failures > 0:
		w.p.log.Info("presence is written again", "failures", w.failures)
		w.failures = 0
	}
}

// step brings Redis up to date: heartbeat if it is time, the whole state if it is gone, else what has changed.
func (w *writer) step(ctx context.Context) error {
	if err := w.beatIfDue(ctx); err != nil {
		return err
	}
	if w.marked != w.reg {
		if err := w.markAll(ctx); err != nil {
			return err
		}
	}
	if w.gathers() {
		return nil
	}
	n, err := w.drain(ctx)
	if err != nil {
		return err
	}
	if n >= busy {
		w.gathering = gather - 1
	}
	if w.written != w.reg {
		w.written = w.reg
		w.p.count.resyncs.Add(1)
		w.p.written.Store(true)
		if w.p.hooks.written != nil {
			w.p.hooks.written()
		}
	}
	return nil
}

// gathers says that this flush is left out. A full call of changes, or the whole state, is never held back.
func (w *writer) gathers() bool {
	if w.gathering == 0 {
		return false
	}
	w.gathering--
	size := w.p.cfg.ReapBatch
	if w.written != w.reg || w.p.users.waiting() >= size || w.p.rooms.waiting() >= size {
		w.gathering = 0
		return false
	}
	return true
}

// drain writes what has changed until less than a full call is left, which waits for the next flush: a steady trickle
// is gathered, and holds nothing up. Users go before any room members, since /stats tells of them. It returns how many it wrote.
func (w *writer) drain(ctx context.Context) (written int, err error) {
	for {
		users, err := w.write(ctx, w.p.users, w.flushUsers)
		if err != nil {
			return written, err
		}
		written += users
		if users == w.p.cfg.ReapBatch {
			continue
		}
		members, err := w.write(ctx, w.p.rooms, w.flushRooms)
		written += members
		if err != nil || members < w.p.cfg.ReapBatch {
			return written, err
		}
	}
}

// write makes at most one call, and returns how many changes it wrote.
func (w *writer) write(ctx context.Context, t *table, flush func(context.Context, []change) (outcome, error)) (int, error) {
	hold := t == w.p.rooms && time.Now().Before(w.holdUntil)
	changes := t.take(w.p.cfg.ReapBatch, hold)
	if len(changes) == 0 {
		return 0, nil
	}
	sent := time.Now()
	how, err := flush(ctx, changes)
	t.settle(changes, how, sent)
	if err != nil {
		return 0, err
	}
	w.p.count.flushes.Add(1)
	w.p.count.flushedFields.Add(uint64(len(changes)))
	if w.p.hooks.flushed != nil {
		w.p.hooks.flushed(t == w.p.rooms)
	}
	if err := w.beatIfDue(ctx); err != nil {
		return 0, err
	}
	if w.marked != w.reg {
		return 0, errUnregistered
	}
	return len(changes), nil
}

func (w *writer) beatIfDue(ctx context.Context) error {
	if w.reg != 0 && time.Now().Before(w.nextBeat) {
		return nil
	}
	ctx, cancel := w.p.callContext(ctx)
	defer cancel()
	cfg := &w.p.cfg
	own := entry{Name: cfg.Name, Addr: cfg.Addr, Version: cfg.Version, Connections: w.p.users.total()}
	if run := w.p.subscribed.Load(); run != nil {
		own.Run = *run
	}
	body, err := json.Marshal(own)
	if err != nil {
		return fmt.Errorf("encoding the heartbeat: %w", err)
	}
	sent := time.Now()
	reply, err := beatScript.Run(ctx, w.p.deps.Redis, []string{w.p.keys.nodes, w.p.keys.epoch},
		cfg.Node, w.p.seq.Add(1), body, strconv.FormatUint(rand.Uint64(), 36)).Slice() //nolint:gosec // a name, not a secret
	if err != nil {
		w.p.beatFailed.Store(int64(time.Since(w.p.born)))
		return fmt.Errorf("heartbeat: %w", err)
	}
	if len(reply) != 3 {
		return fmt.Errorf("heartbeat: reply of %d elements", len(reply))
	}
	reg, _ := reply[0].(int64)
	epoch, _ := reply[1].(string)
	if reg <= 0 {
		return errors.New("heartbeat: overtaken by another process of this identity")
	}
	w.nextBeat = sent.Add(cfg.HeartbeatEvery)
	w.reg = reg
	w.enterEpoch(epoch)
	w.p.lastBeat.Store(int64(sent.Sub(w.p.born)))
	return nil
}

// enterEpoch notices that Redis was emptied: what it held is then written again without being announced again.
func (w *writer) enterEpoch(epoch string) {
	if epoch == w.epoch {
		return
	}
	if w.epoch != "" {
		now := time.Now()
		w.p.log.Warn("Redis was emptied; presence is written again")
		w.p.users.emptied(now)
		w.p.rooms.emptied(now)
		w.marked, w.written = 0, 0
		w.holdUntil = now.Add(2 * w.p.cfg.HeartbeatEvery)
	}
	w.epoch = epoch
}

// markAll has the whole state written: what this node counts, and zeros for what Redis holds of it besides.
func (w *writer) markAll(ctx context.Context) error {
	for _, s := range []struct {
		hash  string
		table *table
		rooms bool
	}{
		{w.p.keys.nodeUsers(w.p.cfg.Node), w.p.users, false},
		{w.p.keys.nodeRooms(w.p.cfg.Node), w.p.rooms, true},
	} {
		err := w.p.scan(ctx, s.hash, func(fields []field) error {
			for _, f := range fields {
				if k, ok := parseField(f.name, s.rooms); ok {
					s.table.stranger(k, f.count)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		s.table.doubt()
	}
	w.marked = w.reg
	return nil
}

func (w *writer) flushUsers(ctx context.Context, changes []change) (outcome, error) {
	k := &w.p.keys
	b := newBatch(len(changes), k.nodes, k.nodeUsers(w.p.cfg.Node), k.users)
	b.add(w.p.cfg.Node, w.p.seq.Add(1), w.reg, w.p.users.total())
	for _, c := range changes {
		b.add(c.rec.field(false), b.key(k.role(c.rec.role)), c.n)
	}
	ctx, cancel := w.p.callContext(ctx)
	defer cancel()
	reply, err := usersScript.Run(ctx, w.p.deps.Redis, b.keys, b.args...).Int64()
	switch {
	case err != nil:
		return unknown, fmt.Errorf("writing users: %w", err)
	case reply != 1:
		return refused, errUnregistered
	}
	return applied, nil
}

// graceLeft is how much of the grace those have who go by these changes. After an outage it is all of it: where they are
// now may have to be written yet.
func (w *writer) graceLeft(changes []change) time.Duration {
	cfg := &w.p.cfg
	if time.Since(w.failed) < cfg.grace() ||
		slices.ContainsFunc(changes, func(c change) bool { return c.n == 0 && !c.ripe }) {
		return cfg.grace()
	}
	return cfg.grace() - cfg.hold()
}

func (w *writer) flushRooms(ctx context.Context, changes []change) (outcome, error) {
	k := &w.p.keys
	b := newBatch(len(changes), k.nodes, k.nodeRooms(w.p.cfg.Node), k.leaving, k.log)
	b.add(w.p.cfg.Node, w.p.seq.Add(1), w.reg, w.roles, w.graceLeft(changes).Milliseconds())
	for _, c := range changes {
		var entry []string
		if c.fresh {
			entry = w.p.announcement(true, c.rec.key)
		}
		known := 0
		if c.known {
			known = 1
		}
		b.add(c.rec.field(true), b.key(k.room(c.rec.room)), c.n, known, len(entry))
		for _, s := range entry {
			b.add(s)
		}
	}
	ctx, cancel := w.p.callContext(ctx)
	defer cancel()
	reply, err := roomsScript.Run(ctx, w.p.deps.Redis, b.keys, b.args...).Int64()
	switch {
	case err != nil:
		return unknown, fmt.Errorf("writing room members: %w", err)
	case reply < 0:
		return refused, errUnregistered
	}
	w.p.count.joined.Add(uint64(reply))
	return applied, nil
}
