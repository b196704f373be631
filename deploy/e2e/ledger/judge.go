package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// result is what one run showed.
type result struct {
	fault      string
	run        int
	clients    int
	events     int
	total      tally
	each       map[int]tally // by client
	served     int64         // ms until the last client was served again; -1: not
	reconnects int
	recovered  int
	failures   []string
	notes      []string
	dir        string // with the logs; "" if nothing failed
}

// maxFailures bounds what is printed of one run.
const maxFailures = 15

func (r *result) failf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

// judge compares all ledgers, the log and the processes with what they should be.
func (s *scene) judge(ctx context.Context, r *result) {
	events := s.writer.written()
	kinds := make([]int, len(events))
	for n, e := range events {
		kinds[n] = kindOf(e.name)
	}
	r.clients, r.events, r.each = len(s.world.people), len(events), map[int]tally{}
	s.fleet.look(func(records []*record) {
		for id, c := range records {
			s.judgeConnections(r, c)
			if s.skip[id] {
				continue
			}
			b := book{want: expected(events, c.person.rooms()), kinds: kinds, notices: c.notices(), excused: s.excused}
			t := b.compare(c.receipts)
			r.each[id] = t
			r.total.add(t)
			for _, remark := range t.remarks {
				r.failf("client %d (%s, %s): %s", id, c.person.user, c.node(), remark)
			}
			if len(t.remarks) > 0 {
				s.dump(c, t)
			}
		}
		r.served = s.servedAfter(records)
	})
	s.bound(r)
	s.judgeLog(ctx, r)
	r.failures = append(r.failures, s.faults()...)
}

func (s *scene) judgeConnections(r *result, c *record) {
	for i, one := range c.sessions {
		if one.recovered != one.said {
			r.failf("client %d: connected.recovered is %v, socket.recovered %v", c.person.id, one.recovered, one.said)
		}
		ended := 0
		if i > 0 {
			ended = c.sessions[i-1].ended
		}
		if early := one.received - ended; early > 0 {
			r.failf("client %d received %d events before it was greeted, connection %d", c.person.id, early, i)
		}
		if i == 0 {
			continue
		}
		r.reconnects++
		if one.recovered {
			r.recovered++
		}
		if s.about.stayConnected {
			before := c.sessions[i-1]
			r.failf("client %d was disconnected from %s, %d ms after the first harm: %s", c.person.id, before.node,
				s.sinceHarm(before.down), before.why)
		}
	}
	if !c.connected() {
		r.failf("client %d is not connected at the end; refused %d times: %s", c.person.id, len(c.refusals), last(c.refusals))
	}
	for _, trouble := range c.troubles {
		r.notes = append(r.notes, fmt.Sprintf("client %d: %s", c.person.id, trouble))
	}
}

// sinceHarm is how long after the first mark at (unix ms) was.
func (s *scene) sinceHarm(at int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.marks) == 0 {
		return 0
	}
	return at - s.marks[0].at
}

func last(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return texts[len(texts)-1]
}

func (s *scene) bound(r *result) {
	t := r.total
	for name, count := range map[string]int{"repeated": t.repeated, "reordered": t.reordered, "misdelivered": t.misdelivered} {
		if count > 0 {
			r.failf("%s: %d", name, count)
		}
	}
	if s.about.lossWithNotice {
		if t.silent > 0 {
			r.failf("lost without notice: %d", t.silent)
		}
	} else if t.lost > 0 {
		r.failf("lost: %d", t.lost)
	}
	if s.about.allRecovered && r.reconnects == 0 {
		r.failf("nobody had to reconnect, so that nothing was shown")
	}
	if s.about.allRecovered && r.recovered < r.reconnects {
		r.failf("%d of %d reconnects were not recovered", r.reconnects-r.recovered, r.reconnects)
	}
	if t.delivered < s.set.deliveries {
		r.failf("%d deliveries, too few to show anything", t.delivered)
	}
	if r.served < 0 {
		r.failf("not every client was served again")
	}
}

// notices are the stretches that a client knows it may have missed: from the last event before a connection that was
// not recovered, to what had been written when it was in its rooms again.
func (r *record) notices() []span {
	var spans []span
	for i, s := range r.sessions {
		if i == 0 || s.recovered {
			continue
		}
		gap := span{after: -1, before: int(^uint(0) >> 1)}
		for _, got := range r.receipts[:s.received] {
			gap.after = max(gap.after, got.n)
		}
		for _, later := range r.sessions[i:] {
			if later.ready > 0 {
				gap.before = later.begunReady
				break
			}
		}
		spans = append(spans, gap)
	}
	return spans
}

// servedAfter is the longest that a client waited, in ms: from a moment of harm to its first event that was begun
// after it, and from each disconnect to its next event. -1: somebody still waits.
func (s *scene) servedAfter(records []*record) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.marks) == 0 {
		return 0
	}
	var longest int64
	for id, c := range records {
		if s.skip[id] {
			continue
		}
		for _, m := range s.marks {
			wait := c.firstAfter(m.at, m.n)
			if wait < 0 {
				return -1
			}
			longest = max(longest, wait)
		}
		for _, one := range c.sessions {
			if one.down > s.marks[0].at {
				longest = max(longest, c.firstAfter(one.down, 0))
			}
		}
	}
	return longest
}

// firstAfter is how long after at (unix ms) the client received an event numbered n or more; -1: never.
func (r *record) firstAfter(at int64, n int) int64 {
	for _, got := range r.receipts {
		if got.at >= at && got.n >= n {
			return got.at - at
		}
	}
	return -1
}

var numbered = regexp.MustCompile(`\\?"n\\?":(\d+)`)

// judgeLog holds the log to each event once, in order, and the dead letters to none.
func (s *scene) judgeLog(ctx context.Context, r *result) {
	numbers, err := numbersOf(ctx, s.redis.direct, "{teloo}:log", cmp.Or(s.redis.since, "-"))
	if err != nil {
		r.failf("reading the log: %v", err)
		return
	}
	newest := -1
	for i, n := range numbers {
		if n <= newest {
			r.failf("log: event %d after %d", n, newest)
			break
		}
		if n != i && !s.about.logMayLose {
			r.failf("log: event %d in the place of %d", n, i)
			break
		}
		newest = n
	}
	if !s.about.logMayLose && len(numbers) != r.events {
		r.failf("log: %d events of %d", len(numbers), r.events)
	}
	dead, err := s.redis.direct.XRangeN(ctx, "{teloo}:dead", cmp.Or(s.redis.since, "-"), "+", 3).Result()
	if err != nil {
		r.failf("reading dead letters: %v", err)
	}
	for _, letter := range dead {
		r.failf("dead letter: %v of %v", letter.Values["dead_reason"], letter.Values["event"])
	}
}

// numbersOf reads the numbers of the harness's events from a stream's entries, those of the event stream or the log, from
// an id on.
func numbersOf(ctx context.Context, client redis.UniversalClient, stream, from string) ([]int, error) {
	var numbers []int
	for {
		page, err := client.XRangeN(ctx, stream, from, "+", 1000).Result()
		if err != nil {
			return nil, err
		}
		for _, entry := range page {
			from = "(" + entry.ID
			if n, ok := numberOf(entry.Values); ok {
				numbers = append(numbers, n)
			}
		}
		if len(page) < 1000 {
			return numbers, nil
		}
	}
}

func numberOf(values map[string]any) (int, bool) {
	text, ok := values["data"].(string)
	if !ok || !json.Valid([]byte(text)) {
		return 0, false
	}
	found := numbered.FindStringSubmatch(text)
	if found == nil {
		return 0, false
	}
	n, err := strconv.Atoi(found[1])
	return n, err == nil
}
