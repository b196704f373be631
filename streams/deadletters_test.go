package streams

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func (r *rig) letters() *DeadLetters { return NewDeadLetters(r.rdb, DefaultConfig().Prefix) }

// bury writes a dead letter as a Consumer does and returns its id; id "*" lets Redis choose.
func (r *rig) bury(id, reason string, pairs ...string) string {
	r.tb.Helper()
	got, err := r.rdb.XAdd(r.tb.Context(), &redis.XAddArgs{Stream: r.keys.dead, ID: id, Values: append(slices.Clone(pairs),
		"dead_reason", reason, "dead_source_id", "1-1", "dead_node", "n:1", "dead_deliveries", "2", "dead_at", "2026-01-31T12:00:00Z")}).Result()
	require.NoError(r.tb, err)
	return got
}

// values returns a stream's values of one field, in order; empty where an entry has none.
func (r *rig) values(stream, field string) []string {
	entries, err := r.rdb.XRange(r.tb.Context(), stream, "-", "+").Result()
	require.NoError(r.tb, err)
	out := []string{}
	for _, e := range entries {
		v, _ := e.Values[field].(string)
		out = append(out, v)
	}
	return out
}

func ids(page []Letter) []string {
	out := []string{}
	for _, l := range page {
		out = append(out, l.ID)
	}
	return out
}

func TestLetterSaysAllThatIsKnown(t *testing.T) {
	r := newRig(t)
	id := r.bury("1769860800000-3", "no_route", "event", "oferta_x", "data", `{"a":1}`, "event_id", "e1",
		"dead_detail", "why", "replayed_from", "5-5", "dead_truncated", "99", "dead_dropped_fields", "7", "x", "1", "x", "2")
	got, err := r.letters().Get(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, Letter{
		ID: id, At: time.UnixMilli(1769860800000), Reason: "no_route", Detail: "why", SourceID: "1-1", Node: "n:1", Deliveries: 2,
		Event: "oferta_x", EventID: "e1", ReplayedFrom: "5-5", FullSize: 99, Dropped: 7,
		Fields: []Field{{"event", "oferta_x"}, {"data", `{"a":1}`}, {"event_id", "e1"}, {"x", "1"}, {"x", "2"}}, Size: 38,
	}, got)
	require.False(t, got.Whole())

	id = r.bury("*", "bad_data", "payload", `{"event":"oferta_y","event_id":"e2","data":7}`)
	got, err = r.letters().Get(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, "oferta_y", got.Event)
	require.Equal(t, "e2", got.EventID)
	require.True(t, got.Whole())

	for _, wrong := range []string{"", "x", "1", "1-x", "9-9"} {
		_, err := r.letters().Get(t.Context(), wrong)
		require.ErrorIs(t, err, ErrNoLetter, wrong)
	}
}

func TestListFiltersAndPages(t *testing.T) {
	r := newRig(t)
	d := r.letters()
	page, next, err := d.List(t.Context(), Filter{})
	require.NoError(t, err)
	require.Empty(t, page)
	require.Empty(t, next)
	var all []string
	for i := range 90 {
		reason, event := "no_route", "oferta_x"
		if i%3 == 0 {
			reason = "poison"
		}
		if i%2 == 0 {
			event = "oferta_y"
		}
		all = append(all, r.bury(fmt.Sprintf("%d-1", 1000+10*i), reason, "event", event, "data", "{}"))
	}
	for name, tc := range map[string]struct {
		filter Filter
		want   func(i int) bool
	}{
		"all":      {Filter{}, func(int) bool { return true }},
		"reason":   {Filter{Reason: "poison"}, func(i int) bool { return i%3 == 0 }},
		"event":    {Filter{Event: "oferta_x"}, func(i int) bool { return i%2 == 1 }},
		"both":     {Filter{Event: "oferta_x", Reason: "poison"}, func(i int) bool { return i%6 == 3 }},
		"none":     {Filter{Reason: "unheard"}, func(int) bool { return false }},
		"since":    {Filter{Since: time.UnixMilli(1100)}, func(i int) bool { return i >= 10 }},
		"until":    {Filter{Until: time.UnixMilli(1100)}, func(i int) bool { return i < 10 }},
		"within":   {Filter{Since: time.UnixMilli(1100).Add(1), Until: time.UnixMilli(1120).Add(1)}, func(i int) bool { return i == 11 || i == 12 }},
		"nothing":  {Filter{Since: time.UnixMilli(1100), Until: time.UnixMilli(1100)}, func(int) bool { return false }},
		"pre-1970": {Filter{Until: time.UnixMilli(-5)}, func(int) bool { return false }},
	} {
		var want []string
		for i, id := range all {
			if tc.want(i) {
				want = append(want, id)
			}
		}
		for _, newest := range []bool{false, true} {
			f := tc.filter
			f.Limit, f.Newest = 7, newest
			var got []string
			for {
				page, next, err := d.List(t.Context(), f)
				require.NoError(t, err, name)
				require.LessOrEqual(t, len(page), 7)
				got = append(got, ids(page)...)
				if next == "" {
					break
				}
				f.After = next
			}
			if newest {
				slices.Reverse(got)
			}
			require.Equal(t, want, got, "%s, newest %v", name, newest)
		}
	}
	for _, wrong := range []Filter{{After: "x"}, {Limit: -1}} {
		_, _, err = d.List(t.Context(), wrong)
		require.ErrorIs(t, err, ErrSelection)
	}
	tallies, err := d.Count(t.Context(), Filter{Event: "oferta_x"})
	require.NoError(t, err)
	require.Equal(t, []Tally{
		{Reason: "no_route", Count: 30, Oldest: time.UnixMilli(1010), Newest: time.UnixMilli(1890)},
		{Reason: "poison", Count: 15, Oldest: time.UnixMilli(1030), Newest: time.UnixMilli(1870)},
	}, tallies)
	n, err := d.Len(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 90, n)
}

func TestPageOfLargeLettersIsShort(t *testing.T) {
	r := newRig(t)
	large := strings.Repeat("x", 1<<20)
	for range 40 {
		r.bury("*", "malformed", "event", "none", "data", large)
	}
	page, next, err := r.letters().List(t.Context(), Filter{})
	require.NoError(t, err)
	require.Len(t, page, 32)
	require.Equal(t, page[31].ID, next)
	page, next, err = r.letters().List(t.Context(), Filter{After: next})
	require.NoError(t, err)
	require.Len(t, page, 8)
	require.Empty(t, next)
}

func TestReplayGoesTheNormalWayInOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var want []string
	for i := range 250 {
		data := fmt.Sprintf(`{"n":%d}`, i)
		want = append(want, data)
		if i%2 == 0 {
			r.bury("*", "no_route", "data", data, "event", "oferta_x")
		} else {
			r.bury("*", "no_route", "payload", `{"event":"oferta_x","data":`+data+`}`)
		}
	}
	steps := 0
	sum, err := r.letters().Replay(t.Context(), Selection{}, func(so Replayed) {
		require.GreaterOrEqual(t, so.Done(), min(250, steps*replayMost))
		steps++
	})
	require.NoError(t, err)
	require.Equal(t, Replayed{Replayed: 250}, sum)
	require.GreaterOrEqual(t, steps, 3)
	require.Empty(t, r.dead())
	entries, err := r.rdb.XRange(t.Context(), r.keys.events, "-", "+").Result()
	require.NoError(t, err)
	require.Len(t, entries[0].Values, 3, "nothing of its death")
	n := r.start("a:1")
	r.settled(r.unitIDs(r.keys.events))
	require.Equal(t, want, r.values(r.keys.log, "data"))
	require.EqualValues(t, 250, n.Stats().Relayed)
}

func TestReplayThatDiesAgainIsANewLetter(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start("a:1")
	r.add("event", "oferta_x", "data", "{}", "rooms", "[]")
	r.eventually("dead", func() bool { return len(r.dead()) == 1 })
	first := r.dead()[0].ID
	sum, err := r.letters().Replay(t.Context(), Selection{Filter: Filter{Reason: ReasonNoRoute}}, nil)
	require.NoError(t, err)
	require.Equal(t, Replayed{Replayed: 1}, sum, "and not for ever")
	r.eventually("dead again", func() bool { return len(r.dead()) == 1 })
	second, err := r.letters().Get(t.Context(), r.dead()[0].ID)
	require.NoError(t, err)
	require.NotEqual(t, first, second.ID)
	require.Equal(t, first, second.ReplayedFrom)
	require.Equal(t, []Field{{"event", "oferta_x"}, {"data", "{}"}, {"rooms", "[]"}}, second.Fields)
	sum, err = r.letters().Replay(t.Context(), Selection{IDs: []string{first, second.ID}}, nil)
	require.NoError(t, err)
	require.Equal(t, Replayed{Replayed: 1, Gone: 1}, sum)
	r.eventually("and again", func() bool { return len(r.dead()) == 1 && r.dead()[0].Values["replayed_from"] == second.ID })
}

// What fits once fits again: replayed_from makes no letter too large or too many-fielded.
func TestLargestLetterDiesTwiceWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start("a:1")
	pairs := []string{}
	for i := range maxDeadPairs {
		pairs = append(pairs, fmt.Sprintf("f%04d", i), strings.Repeat("x", maxDeadBytes/maxDeadPairs-5))
	}
	r.add(pairs...)
	for round := range 3 {
		r.eventually("dead", func() bool { return len(r.dead()) == 1 })
		l, err := r.letters().Get(t.Context(), r.dead()[0].ID)
		require.NoError(t, err)
		require.True(t, l.Whole(), "round %d", round)
		require.Len(t, l.Fields, maxDeadPairs)
		sum, err := r.letters().Replay(t.Context(), Selection{}, nil)
		require.NoError(t, err)
		require.Equal(t, 1, sum.Replayed)
	}
}

func TestCutLetterIsRefused(t *testing.T) {
	r := newRig(t)
	cut := r.bury("*", "malformed", "event", "oferta_x", "dead_truncated", "5000000")
	dropped := r.bury("*", "malformed", "event", "oferta_x", "dead_dropped_fields", "1")
	whole := r.bury("*", "malformed", "event", "oferta_x")
	sum, err := r.letters().Replay(t.Context(), Selection{}, nil)
	require.NoError(t, err)
	require.Equal(t, Replayed{
		Replayed: 1, Refused: 2,
		Kept: []Kept{{cut, "it was cut when it died"}, {dropped, "it was cut when it died"}},
	}, sum)
	require.Equal(t, []string{cut, dropped}, r.unitIDs(r.keys.dead))
	require.Equal(t, []string{whole}, r.values(r.keys.events, "replayed_from"))
}

// A dead letter has not used its event_id up; if the publisher's repetition was relayed, the letter is not swallowed.
func TestReplayAndEventIDs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := r.start("a:1")
	r.add("event", "solicitud_x", "data", `{"do":"fail"}`, "event_id", "once")
	r.add("payload", `{"event":"solicitud_x","data":{"do":"fail"},"event_id":"again"}`)
	r.eventually("dead", func() bool { return len(r.dead()) == 2 })
	letters := r.unitIDs(r.keys.dead)
	r.add(rigEvent(`{"by":"the publisher"}`, "event_id", "again")...)
	r.eventually("relayed", func() bool { return len(r.relayed()) == 1 })
	n.stop()

	sum, err := r.letters().Replay(t.Context(), Selection{}, nil)
	require.NoError(t, err)
	require.Equal(t, Replayed{Replayed: 1, Relayed: 1, Kept: []Kept{{letters[1], "its event_id was relayed since"}}}, sum)
	require.Equal(t, letters[1:], r.unitIDs(r.keys.dead), "it is there to be looked into")

	repaired := r.start("b:1", func(_ *Config, d *Deps) {
		d.Handle = func(ev Event) (Relay, error) { return Relay{Log: []string{"data", string(ev.Data)}}, nil }
	})
	r.eventually("relayed", func() bool { return len(r.relayed()) == 2 })
	data := slices.DeleteFunc(r.values(r.keys.log, "data"), func(v string) bool { return v == "" }) // without a new stream's mark
	require.Equal(t, []string{`{"by":"the publisher"}`, `{"do":"fail"}`}, data)
	r.add(rigEvent(`{"late":1}`, "event_id", "once")...)
	r.eventually("the publisher's late repetition is swallowed", func() bool { return repaired.Stats().Duplicates == 1 })
}

func TestConcurrentReplaysReplayOnceInOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var want []string
	for range 1500 {
		want = append(want, r.bury("*", "no_route", "event", "oferta_x", "data", "{}"))
	}
	var callers sync.WaitGroup
	var mu sync.Mutex
	total := 0 // guarded by mu
	for i := range 4 {
		callers.Go(func() {
			s := Selection{}
			if i == 3 {
				s.IDs = slices.Clone(want)
				slices.Reverse(s.IDs)
			}
			sum, err := NewDeadLetters(r.client(), DefaultConfig().Prefix).Replay(t.Context(), s, nil)
			if err != nil {
				t.Errorf("Replay: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			total += sum.Replayed
		})
	}
	callers.Wait()
	require.Equal(t, 1500, total)
	require.Equal(t, want, r.values(r.keys.events, "replayed_from"))
	require.Empty(t, r.dead())
}

func TestReplayThatRedisRefusesKeepsTheLetter(t *testing.T) {
	r := newRig(t)
	id := r.bury("*", "no_route", "event", "oferta_x", "data", "{}")
	require.NoError(t, r.rdb.Set(t.Context(), r.keys.events, "no stream", 0).Err())
	sum, err := r.letters().Replay(t.Context(), Selection{}, nil)
	require.ErrorIs(t, err, errRefused)
	require.ErrorContains(t, err, "WRONGTYPE")
	require.Zero(t, sum)
	require.Equal(t, []string{id}, r.unitIDs(r.keys.dead))
}

func TestDropRemovesWhatIsChosen(t *testing.T) {
	r := newRig(t)
	var odd, even []string
	for i := range 300 {
		if i%2 == 0 {
			even = append(even, r.bury("*", "poison", "event", "oferta_x"))
		} else {
			odd = append(odd, r.bury("*", "no_route", "event", "oferta_x"))
		}
	}
	last := Dropped{}
	sum, err := r.letters().Drop(t.Context(), Selection{Filter: Filter{Reason: "poison"}}, func(so Dropped) { last = so })
	require.NoError(t, err)
	require.Equal(t, Dropped{Dropped: 150}, sum)
	require.Equal(t, sum, last)
	require.Equal(t, odd, r.unitIDs(r.keys.dead))
	sum, err = r.letters().Drop(t.Context(), Selection{IDs: []string{odd[0], even[0], odd[0], "7-0007"}}, nil)
	require.NoError(t, err)
	require.Equal(t, Dropped{Dropped: 1, Gone: 2}, sum)
	_, err = r.letters().Drop(t.Context(), Selection{IDs: []string{odd[1], "all"}}, nil)
	require.ErrorIs(t, err, ErrSelection)
	_, err = r.letters().Drop(t.Context(), Selection{IDs: make([]string, maxSelection+1)}, nil)
	require.ErrorIs(t, err, ErrSelection)
	require.Equal(t, odd[1:], r.unitIDs(r.keys.dead))
	sum, err = r.letters().Drop(t.Context(), Selection{Filter: Filter{Limit: 9}}, nil)
	require.NoError(t, err)
	require.Equal(t, Dropped{Dropped: 9, Next: odd[9]}, sum)
	require.Equal(t, odd[10:], r.unitIDs(r.keys.dead), "the oldest")
}

// Whatever is buried, listed, replayed and dropped in whatever order: each letter is in one place, once, and in order.
func TestLettersProperty(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client()
	for seed := range uint64(20) {
		d := NewDeadLetters(rdb, fmt.Sprintf("{p%d}", seed))
		m := letterModel{
			rig: &rig{tb: t, rdb: rdb, keys: d.keys}, letters: d, random: rand.New(rand.NewPCG(seed, 6)), replayed: []string{},
		}
		for range 12 {
			switch m.random.IntN(4) {
			case 0:
				m.replay()
			case 1:
				m.drop()
			default:
				m.bury()
			}
			require.Equal(t, ids(m.dead), m.rig.unitIDs(d.keys.dead), "seed %d", seed)
			require.Equal(t, m.replayed, m.rig.values(d.keys.events, "replayed_from"), "seed %d", seed)
		}
	}
}

// letterModel is what the dead letters have to be.
type letterModel struct {
	rig      *rig
	letters  *DeadLetters
	random   *rand.Rand
	dead     []Letter
	replayed []string
}

func (m *letterModel) bury() {
	for range m.random.IntN(150) {
		l := Letter{Reason: []string{"a", "b", "c"}[m.random.IntN(3)]}
		pairs := []string{"event", "oferta_x"}
		if m.random.IntN(10) == 0 {
			l.FullSize = 5
			pairs = append(pairs, "dead_truncated", "5")
		}
		l.ID = m.rig.bury("*", l.Reason, pairs...)
		m.dead = append(m.dead, l)
	}
}

func (m *letterModel) replay() {
	f := Filter{Reason: []string{"", "a", "b"}[m.random.IntN(3)], Limit: m.random.IntN(120)}
	sum, err := m.letters.Replay(m.rig.tb.Context(), Selection{Filter: f}, nil)
	require.NoError(m.rig.tb, err)
	chosen := 0
	m.dead = slices.DeleteFunc(m.dead, func(l Letter) bool {
		if f.Limit > 0 && chosen == f.Limit || !f.matches(&l) {
			return false
		}
		chosen++
		if l.Whole() {
			m.replayed = append(m.replayed, l.ID)
		}
		return l.Whole()
	})
	require.Equal(m.rig.tb, chosen, sum.Done())
}

func (m *letterModel) drop() {
	if len(m.dead) == 0 {
		return
	}
	var chosen []string
	for range 1 + m.random.IntN(20) {
		chosen = append(chosen, m.dead[m.random.IntN(len(m.dead))].ID)
	}
	_, err := m.letters.Drop(m.rig.tb.Context(), Selection{IDs: chosen}, nil)
	require.NoError(m.rig.tb, err)
	m.dead = slices.DeleteFunc(m.dead, func(l Letter) bool { return slices.Contains(chosen, l.ID) })
}
