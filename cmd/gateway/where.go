package main

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/teloo/realtime-gateway/adapter"
	"github.com/teloo/realtime-gateway/api/admin"
	"github.com/teloo/realtime-gateway/node"
	"github.com/teloo/realtime-gateway/streams"
)

// lookTimeout bounds each step of a trace, so that together they stay within the admin API's time-out.
const lookTimeout = 2 * time.Second

// whereabouts finds out what became of an event: in the event stream, the log, the dead letters, and at the nodes.
type whereabouts struct {
	streams *streams.Whereabouts
	cluster *adapter.Cluster
	router  *node.Router
}

var _ admin.Tracer = whereabouts{}

func (p *parts) whereabouts() whereabouts {
	return whereabouts{streams.NewWhereabouts(p.cfg.streamsConfig(p.identity), p.commands), p.cluster, p.router}
}

var streamIDPattern = regexp.MustCompile(`^[0-9]{1,20}-[0-9]{1,20}$`)

// Trace implements admin.Tracer.
func (w whereabouts) Trace(ctx context.Context, id string) (admin.Trace, error) {
	t := admin.Trace{ID: id, Searched: []admin.TraceSearch{}}
	quests := []streams.Quest{{EventID: id}}
	if streamIDPattern.MatchString(id) {
		quests = []streams.Quest{{ID: id}, {EventID: id}} // a publisher may call its events what it likes
	}
	for _, q := range quests {
		search := search{w: w, t: &t, q: q}
		if err := search.run(ctx); err != nil {
			return admin.Trace{}, answerable(err)
		}
		if t.Source != "" || t.Log != nil || len(t.Dead) > 0 {
			break
		}
	}
	t.Verdict = verdictOf(&t)
	return t, nil
}

// search is one trace under way.
type search struct {
	w     whereabouts
	t     *admin.Trace
	q     streams.Quest
	found *adapter.Found
}

func (s *search) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{s.events, s.log, s.dead, s.replay, s.nodes} {
		limit, cancel := context.WithTimeout(ctx, lookTimeout)
		err := step(limit)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// events looks into the event stream, and for the source of an event_id.
func (s *search) events(ctx context.Context) error {
	one, looked, err := s.w.streams.Waiting(ctx, s.q)
	if err != nil {
		return err
	}
	s.looked("events", looked)
	if one == nil {
		return nil
	}
	s.of(one.ID, one.Event.Name, one.Event.EventID)
	s.t.OccurredAt, s.t.TraceParent, s.t.ReplayedFrom = one.Event.OccurredAt, one.Event.TraceParent, one.Event.ReplayedFrom
	s.t.Waiting = &admin.TraceWaiting{
		Place: one.Place, Holder: nodeName(one.Holder), IdleSecs: one.Idle.Seconds(), Deliveries: one.Deliveries,
	}
	if one.Fault != nil {
		s.t.Waiting.Fault = one.Fault.Error()
	}
	return nil
}

// log looks into the log: by the source, where that is known.
func (s *search) log(ctx context.Context) error {
	wanted := adapter.Wanted{Source: cmp.Or(s.q.ID, s.t.Source), EventID: s.q.EventID}
	if wanted.Source == "" {
		source, err := s.w.streams.SourceOf(ctx, s.q.EventID)
		if err != nil {
			return err
		}
		wanted.Source = source
	}
	if wanted.Source != "" && s.q.EventID != "" {
		// It is remembered of an event that was relayed; its entry may have been trimmed since.
		s.t.Source = wanted.Source
		s.t.EventID = s.q.EventID
	}
	return s.find(ctx, wanted)
}

func (s *search) find(ctx context.Context, wanted adapter.Wanted) error {
	found, looked, err := s.w.cluster.Find(ctx, wanted)
	if err != nil {
		return err
	}
	s.looked("log", streams.Looked(looked))
	if s.found = found; found == nil {
		return nil
	}
	s.of(found.Source, found.Event, found.EventID)
	s.t.OccurredAt = laterOf(s.t.OccurredAt, found.OccurredAt)
	s.t.TraceParent = cmp.Or(s.t.TraceParent, found.TraceParent)
	s.t.ReplayedFrom = cmp.Or(found.ReplayedFrom, s.t.ReplayedFrom)
	s.t.Log = &admin.TraceEntry{ID: found.ID, At: timeOf(found.ID), Relay: nodeName(found.Relay)}
	for _, choice := range s.w.router.Why(found.Event, found.Data, found.Rooms) {
		s.t.Rooms = append(s.t.Rooms, admin.TraceRoom(choice))
	}
	return nil
}

// dead looks into the dead letters.
func (s *search) dead(ctx context.Context) error {
	deaths, looked, err := s.w.streams.Dead(ctx, s.q)
	if err != nil {
		return err
	}
	s.looked("dead", looked)
	for _, d := range deaths {
		s.t.Dead = append(s.t.Dead, admin.TraceDeath{
			ID: d.ID, At: d.At.UTC(), Source: d.Source, Reason: d.Reason, Detail: d.Detail, Node: nodeName(d.Node),
			Deliveries: d.Deliveries, ReplayedFrom: d.ReplayedFrom,
		})
	}
	if len(deaths) > 0 && s.found == nil {
		d := deaths[0]
		if s.t.Source == "" {
			s.of(d.Source, d.Name, d.EventID)
		}
		s.t.OccurredAt, s.t.TraceParent = laterOf(s.t.OccurredAt, d.OccurredAt), cmp.Or(s.t.TraceParent, d.TraceParent)
	}
	return nil
}

// replay looks for what was made of a dead letter, which is gone then or marked.
func (s *search) replay(ctx context.Context) error {
	// A dead letter can have the id of an event, most of all its own.
	settled := s.t.Waiting != nil && s.t.Waiting.Place == streams.PlaceSettled
	if s.found != nil || s.t.Waiting != nil && !settled {
		return nil
	}
	letters := []string{}
	for _, d := range s.t.Dead {
		letters = append(letters, d.ID)
	}
	if s.q.ID != "" && len(letters) == 0 {
		letters = append(letters, s.q.ID)
	}
	for _, letter := range letters {
		if err := s.find(ctx, adapter.Wanted{ReplayedFrom: letter}); err != nil || s.found != nil {
			s.t.Waiting = nil
			return err
		}
	}
	return nil
}

// nodes asks the nodes, if it was relayed.
func (s *search) nodes(ctx context.Context) error {
	q := adapter.Inquiry{Source: cmp.Or(s.t.Source, s.q.ID)}
	if s.found != nil {
		q = adapter.Inquiry{Entry: s.found.ID, Source: s.found.Source, Rooms: s.found.Rooms, Except: s.found.Except}
	}
	if q.Entry == "" && q.Source == "" {
		return nil
	}
	reports, silent, err := s.w.cluster.Inquire(ctx, namespace, q)
	if err != nil {
		return err
	}
	known := s.found != nil
	for _, r := range reports {
		known = known || r.Delivered || r.CaughtUpAll > 0
	}
	if !known {
		return nil // what nobody knows of says nothing
	}
	if s.t.Source == "" {
		s.t.Source, s.t.AddedAt = q.Source, timeOf(q.Source)
	}
	for _, uid := range silent {
		s.t.Silent = append(s.t.Silent, nodeName(uid))
	}
	slices.SortFunc(reports, func(a, b adapter.Report) int { return cmp.Compare(a.Node, b.Node) })
	for _, r := range reports {
		s.t.Nodes = append(s.t.Nodes, admin.TraceNode{
			Node: nodeName(r.Node), Since: r.Since.UTC(), Remembers: r.Delivered, At: r.At.UTC(), Sockets: r.Sockets,
			CaughtUp: r.CaughtUpAll, Derived: r.Derived,
		})
	}
	s.t.Users, s.t.MoreUsers = usersOf(s.t, reports)
	return nil
}

// of notes which event it is.
func (s *search) of(source, event, eventID string) {
	s.t.Source, s.t.AddedAt = source, timeOf(source)
	s.t.Event, s.t.EventID = cmp.Or(event, s.t.Event), cmp.Or(eventID, s.t.EventID)
}

func (s *search) looked(where string, l streams.Looked) {
	s.t.Searched = append(s.t.Searched, admin.TraceSearch{
		Where: where, Entries: l.Entries, Oldest: l.Oldest, Newest: l.Newest, Complete: !l.Ended,
	})
}

// timeOf is when a stream's entry was written; zero without an id.
func timeOf(id string) time.Time {
	ms, _, _ := strings.Cut(id, "-")
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil || n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b.UTC()
	}
	return a
}

// nodeName is the name in a node's identity.
func nodeName(identity string) string {
	if i := strings.LastIndexByte(identity, ':'); i > 0 {
		return identity[:i]
	}
	return identity
}

// mostUsers is how many users a trace names.
const mostUsers = 32

// usersOf groups what the nodes say by user, and adds those that were addressed and not there.
func usersOf(t *admin.Trace, reports []adapter.Report) (users []admin.TraceUser, more int) {
	byUser := make(map[string]*admin.TraceUser)
	order := []string{}
	user := func(name string) *admin.TraceUser {
		u := byUser[name]
		if u == nil {
			u = &admin.TraceUser{User: name}
			byUser[name], order = u, append(order, name)
		}
		return u
	}
	for _, room := range t.Rooms {
		if name, ok := strings.CutPrefix(room.Room, node.UserRoom("")); ok {
			user(name)
		}
	}
	for _, r := range reports {
		for _, caughtUp := range [...]bool{false, true} {
			list := r.Receivers
			if caughtUp {
				list = r.CaughtUp
			}
			for _, one := range list {
				u := user(one.User)
				u.Sockets = append(u.Sockets, admin.TraceSocket{
					Socket: one.Socket, Node: nodeName(r.Node), Outcome: one.State, At: one.At.UTC(), CaughtUp: caughtUp,
					Gone: one.Gone.UTC(), Why: one.Why,
				})
			}
		}
	}
	for _, name := range order {
		u := byUser[name]
		u.Outcome = outcomeOf(u.Sockets, allTold(t))
		users = append(users, *u)
	}
	more = max(0, len(users)-mostUsers)
	return users[:len(users)-more], more
}

// allTold says that no node could know more: all have answered, and remember that time.
func allTold(t *admin.Trace) bool {
	if len(t.Silent) > 0 || t.Log == nil {
		return false
	}
	return !slices.ContainsFunc(t.Nodes, func(n admin.TraceNode) bool { return !n.Remembers && n.Since.After(t.Log.At) && n.CaughtUp == 0 })
}

// outcomeOf is the best of what became of a user's sockets.
func outcomeOf(sockets []admin.TraceSocket, allTold bool) string {
	best := map[string]bool{}
	for _, s := range sockets {
		if s.CaughtUp && s.Outcome == admin.OutcomeWritten {
			best[admin.OutcomeCaughtUp] = true
		} else {
			best[s.Outcome] = true
		}
	}
	for _, outcome := range []string{
		admin.OutcomeWritten, admin.OutcomeCaughtUp, admin.OutcomeQueued, admin.OutcomeDropped, admin.OutcomeUnknown,
	} {
		if best[outcome] {
			return outcome
		}
	}
	if allTold {
		return admin.OutcomeAway
	}
	return admin.OutcomeUnknown
}

// verdictOf sums a trace up.
func verdictOf(t *admin.Trace) string {
	if t.Log == nil && len(t.Nodes) == 0 {
		switch {
		case t.Waiting != nil && t.Waiting.Place != streams.PlaceSettled:
			return t.Waiting.Place
		case len(t.Dead) > 0:
			return admin.VerdictDead
		case t.Source != "" && t.Waiting == nil && t.EventID != "":
			return admin.VerdictUnknown // relayed, and trimmed since
		case t.Waiting != nil:
			return admin.VerdictUnknown
		}
		return admin.VerdictNotFound
	}
	reached, replayed := 0, 0
	for _, n := range t.Nodes {
		reached += n.Sockets
		replayed += n.CaughtUp
	}
	outcomes := map[string]int{}
	for _, u := range t.Users {
		outcomes[u.Outcome]++
	}
	lacking := outcomes[admin.OutcomeQueued] + outcomes[admin.OutcomeDropped] + outcomes[admin.OutcomeAway]
	switch {
	case reached+replayed == 0 && !allTold(t):
		return admin.VerdictUnknown
	case reached+replayed == 0:
		return admin.VerdictNobody
	case outcomes[admin.OutcomeWritten] == 0 && outcomes[admin.OutcomeCaughtUp] > 0 && lacking == 0:
		return admin.VerdictCaughtUp
	case outcomes[admin.OutcomeDropped] > 0 && lacking == len(t.Users):
		return admin.VerdictDropped
	case lacking > 0:
		return admin.VerdictPartly
	}
	return admin.VerdictDelivered
}

// place names where was looked, for people.
func place(s admin.TraceSearch) string {
	text := fmt.Sprintf("%s: %d entries", s.Where, s.Entries)
	if s.Entries > 0 {
		text += fmt.Sprintf(", %s to %s", s.Oldest, s.Newest)
	}
	if !s.Complete {
		text += ", not all"
	}
	return text
}
