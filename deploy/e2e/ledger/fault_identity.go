package main

import (
	"context"
	"fmt"
	"time"
)

// identity ends sessions on purpose, in each way that there is; none of them may ever recover, whoever comes next on
// the same socket object, and the next login must work.
type identity struct {
	groups map[string][]int // clients by what is done to them
	begun  map[int]int      // events that had been begun when a client's session was ended
	since  map[int]int      // sessions it had before
}

const groupSize = 6

// The groups. Those that stay the same user lose what was written while they were away, and are told so.
const (
	kicked  = "kicked"        // by the server; comes back
	out     = "logged out"    // and in again
	other   = "other user"    // logged out, and in as somebody else
	swapped = "swapped token" // reconnects as somebody else without having logged out
	expired = "expired token" // reconnects with a token that has run out, and then with a good one
)

func (*identity) about() about {
	return about{
		name:           "identity",
		text:           "kicked, logged out, other user, swapped and expired tokens on the same socket object",
		lossWithNotice: true,
	}
}

func (f *identity) inject(ctx context.Context, s *scene) error {
	f.groups, f.begun, f.since = map[string][]int{}, map[int]int{}, map[int]int{}
	id := 0
	for _, group := range []string{kicked, out, other, swapped, expired} {
		for range groupSize {
			f.groups[group] = append(f.groups[group], id)
			id++
		}
	}
	s.fleet.look(func(records []*record) {
		for id := range groupSize * 5 {
			f.since[id] = len(records[id].sessions)
		}
	})
	s.mark("sessions ended on purpose")
	steps := []func(context.Context, *scene) error{f.endSessions, f.wait(3 * time.Second), f.comeBack}
	for _, step := range steps {
		if err := step(ctx, s); err != nil {
			return err
		}
	}
	return s.back(ctx, backBound)
}

func (*identity) wait(d time.Duration) func(context.Context, *scene) error {
	return func(ctx context.Context, _ *scene) error { return pause(ctx, d) }
}

func (f *identity) endSessions(ctx context.Context, s *scene) error {
	for _, id := range f.groups[kicked] {
		if err := s.kick(ctx, s.world.people[id].user); err != nil {
			return err
		}
	}
	for _, id := range append(append([]int(nil), f.groups[out]...), f.groups[other]...) {
		f.begun[id] = s.writer.begun()
		if err := s.fleet.tell(id, map[string]any{"cmd": "logout", "ids": []int{id}}); err != nil {
			return err
		}
	}
	for _, id := range f.groups[other] {
		s.skip[id] = true
	}
	for _, id := range f.groups[swapped] {
		s.skip[id] = true
		if err := s.fleet.tell(id, map[string]any{"cmd": "become", "id": id, "token": token(stranger(s, id), time.Hour)}); err != nil {
			return err
		}
	}
	for _, id := range f.groups[expired] {
		old := token(s.world.people[id], -time.Hour)
		if err := s.fleet.tell(id, map[string]any{"cmd": "become", "id": id, "token": old}); err != nil {
			return err
		}
	}
	// The workers have taken the new tokens when they answer nothing more: give them a moment, then cut.
	if err := pause(ctx, 500*time.Millisecond); err != nil {
		return err
	}
	for _, id := range append(append([]int(nil), f.groups[swapped]...), f.groups[expired]...) {
		f.begun[id] = s.writer.begun()
		s.edge.slots[id].cut(outage)
	}
	return nil
}

func (f *identity) comeBack(_ context.Context, s *scene) error {
	for _, id := range f.groups[out] {
		if err := s.fleet.tell(id, map[string]any{"cmd": "login", "id": id}); err != nil {
			return err
		}
	}
	for _, id := range f.groups[other] {
		command := map[string]any{"cmd": "login", "id": id, "token": token(stranger(s, id), time.Hour)}
		if err := s.fleet.tell(id, command); err != nil {
			return err
		}
	}
	for _, id := range f.groups[expired] {
		command := map[string]any{"cmd": "login", "id": id, "token": token(s.world.people[id], time.Hour)}
		if err := s.fleet.tell(id, command); err != nil {
			return err
		}
	}
	return nil
}

// stranger is who a client becomes: somebody with other rooms, who may enter the same solicitudes.
func stranger(s *scene, id int) person {
	p := s.world.people[id]
	p.user, p.role, p.claimed = fmt.Sprintf("otro-%d", id), "client", true
	return p
}

// kick disconnects a user's sockets as a Node server of the cluster would: by an entry in the log.
func (s *scene) kick(ctx context.Context, user string) error {
	data := fmt.Sprintf(`{"opts":{"rooms":["user_%s"],"except":[],"flags":{}},"close":true}`, user)
	return s.redis.direct.Do(ctx, "XADD", "{teloo}:log", "*", "uid", "ledger", "nsp", "/", "type", "6", "data", data).Err()
}

func (f *identity) check(_ context.Context, s *scene, r *result) []string {
	var wrong []string
	fail := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	subject := map[int]bool{}
	s.fleet.look(func(records []*record) {
		for group, ids := range f.groups {
			for _, id := range ids {
				subject[id] = true
				f.checkOne(s, group, records[id], fail)
			}
		}
	})
	for id, t := range r.each {
		if t.lost > 0 && !subject[id] {
			fail("client %d, to which nothing was done, lost %d", id, t.lost)
		}
	}
	return wrong
}

func (f *identity) checkOne(s *scene, group string, c *record, fail func(string, ...any)) {
	id := c.person.id
	if len(c.sessions) <= f.since[id] {
		fail("%s: client %d never came back; refused: %v", group, id, c.refusals)
		return
	}
	first := c.sessions[f.since[id]]
	before := c.sessions[f.since[id]-1]
	// With a good token of the same user after an expired one, the session may recover: it never was another's.
	if first.recovered && group != expired {
		fail("%s: client %d's old session recovered", group, id)
	}
	switch group {
	case kicked:
		if before.why != "io server disconnect" {
			fail("%s: client %d was told %q", group, id, before.why)
		}
	case swapped, expired:
		if len(c.refusals) == 0 {
			fail("%s: client %d was not refused", group, id)
		}
		if group == expired && last(c.refusals) != "token_expired" {
			fail("%s: client %d was refused with %q", group, id, last(c.refusals))
		}
	}
	if group == other || group == swapped {
		f.checkStranger(s, group, c, fail)
	}
}

// checkStranger holds what arrived after the change to what the new user may see, and to what came after the old one.
func (f *identity) checkStranger(s *scene, group string, c *record, fail func(string, ...any)) {
	id := c.person.id
	first, before := c.sessions[f.since[id]], c.sessions[f.since[id]-1]
	who := stranger(s, id)
	if first.user != who.user {
		fail("%s: client %d is %s, not %s", group, id, first.user, who.user)
	}
	events := s.writer.written()
	kinds := make([]int, len(events))
	for n, e := range events {
		kinds[n] = kindOf(e.name)
	}
	b := book{want: expected(events, who.rooms()), kinds: kinds}
	after := c.receipts[before.ended:]
	t := b.compare(after)
	if t.repeated+t.reordered+t.misdelivered > 0 {
		fail("%s: client %d: %d repeated, %d reordered, %d misdelivered: %v", group, id, t.repeated, t.reordered, t.misdelivered, t.remarks)
	}
	if len(after) > 0 && after[0].n < f.begun[id] {
		fail("%s: client %d received %d, which was written before it became %s", group, id, after[0].n, who.user)
	}
	for _, n := range b.want {
		if n >= first.begunReady && !has(after, n) {
			fail("%s: client %d as %s did not receive %d", group, id, who.user, n)
			return
		}
	}
}

func has(receipts []receipt, n int) bool {
	for _, r := range receipts {
		if r.n == n {
			return true
		}
	}
	return false
}
