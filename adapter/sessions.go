package adapter

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/zishang520/socket.io/servers/socket/v3"
)

//go:embed session_write.lua
var sessionWriteSource string

//go:embed session_take.lua
var sessionTakeSource string

var (
	sessionWriteScript = redis.NewScript(sessionWriteSource)
	sessionTakeScript  = redis.NewScript(sessionTakeSource)
)

// sessionBatch is how many sessions go into one call of Redis at most.
const sessionBatch = 256

// maxGen bounds the generations that are taken over: the scripts count in doubles.
const maxGen = 1 << 50

// sessions keeps in Redis what a client's recovery rests on: written when a socket connects and when its rooms change,
// so that it is there whatever ends the socket, its connection or this node.
type sessions struct {
	c     *Cluster
	local *registry
	loads batcher[loadCall]
	takes batcher[takeCall]
}

func (s *sessions) init(c *Cluster) {
	s.c = c
	s.local = newRegistry()
	s.loads = newBatcher(s.load)
	s.takes = newBatcher(s.take)
}

func (s *sessions) key(pid string) string { return s.c.cfg.Prefix + ":session:" + pid }

// ttl is how long Redis keeps a session as it is written.
func (s *sessions) ttl(w writing) time.Duration {
	switch w.state {
	case sessionClosed:
		return max(s.c.cfg.RecoveryWindow-time.Since(w.closed), time.Millisecond)
	case sessionEnded:
		return s.c.cfg.RecoveryWindow
	default:
		return s.c.cfg.SessionTTL
	}
}

// write writes sessions as they change, as many at once as have gathered during the last call, until ctx ends; and then
// what is left, within the stop's time.
func (s *sessions) write(ctx context.Context) {
	tick := time.NewTicker(max(s.c.cfg.SessionTTL/8, time.Millisecond))
	defer tick.Stop()
	ripe := time.NewTicker(max(s.c.cfg.CloseDelay/8, time.Millisecond))
	defer ripe.Stop()
	var pace backoff
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-s.local.wake:
		case <-ripe.C:
			s.ripen(s.c.cfg.CloseDelay)
		case <-tick.C:
			s.local.refresh(time.Now().Add(-s.c.cfg.SessionTTL / 2))
		}
		if s.flush(context.WithoutCancel(ctx)) {
			pace.reset()
			continue
		}
		pace.wait(ctx)
		s.local.signal()
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	s.ripen(0)
	for !s.flush(last) && last.Err() == nil {
		pace.wait(last)
	}
	s.fail(time.Now().Add(time.Hour))
}

func (s *sessions) ripen(age time.Duration) {
	for range s.local.ripen(time.Now().Add(-age)) {
		s.dropped()
	}
}

// flush writes all that is unsaved; false means that Redis did not take it.
func (s *sessions) flush(ctx context.Context) bool {
	for {
		s.fail(time.Now())
		batch := s.local.take(s.c.cfg.UID, sessionBatch)
		if len(batch) == 0 {
			return true
		}
		lost, err := s.writeBatch(ctx, batch)
		if err != nil {
			s.local.giveBack(batch)
			s.c.count.sessionErrors.Add(1)
			s.c.warnf("session", "sessions are not written", "err", err)
			return false
		}
		s.settle(batch, lost)
	}
}

// fail tells the waiters whose sessions were not written in time, or will not be.
func (s *sessions) fail(now time.Time) {
	late, orphans := s.local.overdue(now)
	for _, w := range late {
		w.done(ErrUnavailable)
	}
	for _, w := range orphans {
		w.done(ErrSessionLost)
	}
}

func (s *sessions) writeBatch(ctx context.Context, batch []writing) (lost []int64, err error) {
	keys := make([]string, len(batch))
	args := make([]any, 0, 4*len(batch))
	for i, w := range batch {
		body, err := json.Marshal(w.rec)
		if err != nil {
			return nil, fmt.Errorf("encoding a session: %w", err)
		}
		keys[i] = s.key(w.s.pid)
		args = append(args, w.rec.Owner, w.rec.Gen, s.ttl(w).Milliseconds(), body)
	}
	return sessionWriteScript.Run(ctx, s.c.redis, keys, args...).Int64Slice()
}

func (s *sessions) settle(batch []writing, lost []int64) {
	s.c.count.sessionsWritten.Add(uint64(len(batch)))
	for i, w := range batch {
		owned := !slices.Contains(lost, int64(i+1))
		s.local.settle(w, owned)
		err := error(nil)
		if !owned {
			err = ErrSessionLost
			s.close(w.s)
		}
		for _, waiter := range w.waiters {
			waiter.done(err)
		}
	}
}

// close closes the connection of a socket whose session another one has: its client has moved on.
func (s *sessions) close(old *session) {
	if old.sock == nil {
		return
	}
	s.c.count.sessionsSuperseded.Add(1)
	s.c.tasks.spawn(func() { old.sock.Conn().Close(true) })
}

// adopt makes a session this node's, and closes the socket here that had it before.
func (s *sessions) adopt(next *session) {
	if older := s.local.add(next); older != nil {
		s.close(older)
	}
}

// open gives a socket that has just connected its session. For holders of the delivery lock.
func (s *sessions) open(sock *socket.Socket, m *member, user string) {
	next := &session{
		pid: pidOf(sock), sid: string(sock.Id()), user: user, gen: 1, from: m.floor, sock: sock, state: sessionLive, member: m,
	}
	s.adopt(next)
	s.local.touch(sock.Id())
	if m.isGone() {
		s.leave(sock.Id())
	}
}

// leave notes that a socket is being forgotten.
func (s *sessions) leave(sid socket.SocketId) {
	if s.local.leave(sid) {
		s.dropped()
	}
}

// finish notes that a socket has gone: recoverable, or for good.
func (s *sessions) finish(sid socket.SocketId, state sessionState) {
	if s.local.finish(sid, state) {
		s.dropped()
	}
}

func (s *sessions) dropped() {
	s.c.count.sessionsDropped.Add(1)
	s.c.warnf("session", "a session's end is left to its TTL, too many wait to be written")
}

// takenBy closes the sockets of this node whose sessions another node has taken over.
func (s *sessions) takenBy(m message) {
	pids, _ := m.data["pids"].([]any)
	gens, _ := m.data["gens"].([]any)
	for i := range min(len(pids), len(gens)) {
		pid, _ := pids[i].(string)
		gen, _ := gens[i].(int64)
		if old := s.local.supersede(pid, gen); old != nil {
			s.close(old)
		}
	}
}

// announce tells the nodes that had these sessions, and did not know their sockets to be gone, that they are taken: each
// node in one message.
func (s *sessions) announce(calls []*batched[takeCall]) {
	type owned struct{ nsp, owner string }
	pids, gens := map[owned][]any{}, map[owned][]any{}
	for _, call := range calls {
		v := call.value
		if v.taken && v.was.Owner != s.c.cfg.UID && !v.was.Closed {
			of := owned{v.nsp, v.was.Owner}
			pids[of], gens[of] = append(pids[of], v.pid), append(gens[of], v.next.Gen)
		}
	}
	for of := range pids {
		s.c.inbox.respond(message{nsp: of.nsp, uid: of.owner}, typeSessionTaken,
			map[string]any{"pids": pids[of], "gens": gens[of]})
	}
}

// loadCall reads a session and, on demand, whether the log has entries with certain ids.
type loadCall struct {
	pid   string
	looks []streamID
	// What Redis answered.
	rec   record
	found bool // there is a session that has not ended
	has   bool // the log has all of those entries
}

// read returns a session as Redis holds it; what this node has still to write of it is written first.
func (s *sessions) read(ctx context.Context, ask loadCall) (loadCall, error) {
	if state, unsaved, ok := s.local.local(ask.pid); ok {
		if state == sessionEnded {
			return ask, nil
		}
		if unsaved {
			if err := s.saved(ctx, ask.pid); err != nil {
				return ask, err
			}
		}
	}
	return s.loads.do(ctx, ask)
}

func (s *sessions) saved(ctx context.Context, pid string) error {
	done := make(chan error, 1)
	s.local.waitPid(pid, s.waiter(func(err error) { done <- err }))
	select {
	case err := <-done:
		if errors.Is(err, ErrSessionLost) {
			return nil // what Redis holds is another's, and to be read
		}
		return err
	case <-ctx.Done():
		return ErrUnavailable
	}
}

// waiter makes that done is called in time even if Redis holds up the writer.
func (s *sessions) waiter(done func(error)) waiter {
	var once sync.Once
	call := func(err error) { once.Do(func() { s.c.guard("session", func() { done(err) }) }) }
	timer := time.AfterFunc(s.c.cfg.SessionTimeout, func() { call(ErrUnavailable) })
	return waiter{
		deadline: time.Now().Add(s.c.cfg.SessionTimeout),
		done:     func(err error) { timer.Stop(); call(err) },
	}
}

// sessionOf reads a session that has not ended, as a gateway writes it or a Node server.
func sessionOf(text string) (record, bool) {
	if !strings.HasPrefix(text, "{") {
		return nodeSession(text)
	}
	var rec record
	valid := json.Unmarshal([]byte(text), &rec) == nil && !rec.Ended && rec.Gen > 0 && rec.Gen < maxGen
	return rec, valid
}

func (s *sessions) load(ctx context.Context, calls []*batched[loadCall]) error {
	keys := make([]string, len(calls))
	for i, call := range calls {
		keys[i] = s.key(call.value.pid)
	}
	pipe := s.c.redis.Pipeline()
	stored := pipe.MGet(ctx, keys...)
	looks := make([][]*redis.XMessageSliceCmd, len(calls))
	for i, call := range calls {
		for _, id := range call.value.looks {
			looks[i] = append(looks[i], pipe.XRangeN(ctx, s.c.logKey, id.String(), id.String(), 1))
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	if n := len(stored.Val()); n != len(calls) {
		return fmt.Errorf("reading sessions: %d replies for %d", n, len(calls))
	}
	for i, call := range calls {
		v := &call.value
		if text, ok := stored.Val()[i].(string); ok {
			v.rec, v.found = sessionOf(text)
		}
		v.has = !slices.ContainsFunc(looks[i], func(look *redis.XMessageSliceCmd) bool { return len(look.Val()) == 0 })
	}
	return nil
}

// takeCall takes a session over.
type takeCall struct {
	nsp   string
	pid   string
	was   record
	next  record
	taken bool
}

func (s *sessions) take(ctx context.Context, calls []*batched[takeCall]) error {
	keys := make([]string, len(calls))
	args := make([]any, 0, 5*len(calls))
	for i, call := range calls {
		v := call.value
		body, err := json.Marshal(v.next)
		if err != nil {
			return fmt.Errorf("encoding a session: %w", err)
		}
		keys[i] = s.key(v.pid)
		args = append(args, v.was.Owner, v.was.Gen, v.next.Sid, s.c.cfg.SessionTTL.Milliseconds(), body)
	}
	replies, err := sessionTakeScript.Run(ctx, s.c.redis, keys, args...).Int64Slice()
	if err != nil {
		return err
	}
	if len(replies) != len(calls) {
		return fmt.Errorf("taking sessions: %d replies for %d", len(replies), len(calls))
	}
	for i, call := range calls {
		call.value.taken = replies[i] == 1
	}
	s.announce(calls)
	return nil
}
