package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/adapter"
	"github.com/teloo/realtime-gateway/api/admin"
)

var tracedAt = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)

// traceOf is a trace of an event for user_u with what nodes report, node n1 first.
func traceOf(reports ...adapter.Report) *admin.Trace {
	t := &admin.Trace{
		ID: "e", Source: "1-1", Log: &admin.TraceEntry{ID: "2-2", At: tracedAt}, Rooms: []admin.TraceRoom{{Room: "user_u", Rule: "r"}},
	}
	for _, r := range reports {
		t.Nodes = append(t.Nodes, admin.TraceNode{
			Node: r.Node, Since: r.Since, Remembers: r.Delivered, Sockets: r.Sockets, CaughtUp: r.CaughtUpAll,
		})
	}
	t.Users, t.MoreUsers = usersOf(t, reports)
	t.Verdict = verdictOf(t)
	return t
}

func TestVerdicts(t *testing.T) {
	before, after := tracedAt.Add(-time.Hour), tracedAt.Add(time.Hour)
	to := func(states ...string) adapter.Report {
		r := adapter.Report{Node: "n1:1", Since: before, Delivered: true, Sockets: len(states)}
		for _, s := range states {
			r.Receivers = append(r.Receivers, adapter.Receiver{User: "u", State: s})
		}
		return r
	}
	caughtUp := adapter.Report{
		Node: "n2:1", Since: before, Delivered: true, CaughtUpAll: 1, CaughtUp: []adapter.Receiver{{User: "u", State: adapter.StateWritten}},
	}
	for _, tc := range []struct {
		verdict, outcome string
		reports          []adapter.Report
	}{
		{admin.VerdictDelivered, admin.OutcomeWritten, []adapter.Report{to("written", "written")}},
		{admin.VerdictDelivered, admin.OutcomeWritten, []adapter.Report{to("written", "dropped")}},
		{admin.VerdictDropped, admin.OutcomeDropped, []adapter.Report{to("dropped")}},
		{admin.VerdictCaughtUp, admin.OutcomeCaughtUp, []adapter.Report{to("dropped"), caughtUp}},
		{admin.VerdictCaughtUp, admin.OutcomeCaughtUp, []adapter.Report{to(), caughtUp}},
		{admin.VerdictPartly, admin.OutcomeQueued, []adapter.Report{to("queued")}},
		{admin.VerdictNobody, admin.OutcomeAway, []adapter.Report{to()}},
		// Who was not there yet cannot tell.
		{admin.VerdictUnknown, admin.OutcomeUnknown, []adapter.Report{to(), {Node: "n2:1", Since: after}}},
		{admin.VerdictDelivered, admin.OutcomeWritten, []adapter.Report{to("written"), {Node: "n2:1", Since: after}}},
	} {
		got := traceOf(tc.reports...)
		require.Equal(t, tc.verdict, got.Verdict, tc.reports)
		require.Len(t, got.Users, 1)
		require.Equal(t, tc.outcome, got.Users[0].Outcome, tc.reports)
	}
	for verdict, tr := range map[string]admin.Trace{
		admin.VerdictNotFound: {},
		admin.VerdictUnread:   {Source: "1-1", Waiting: &admin.TraceWaiting{Place: "unread"}},
		admin.VerdictPending:  {Source: "1-1", Waiting: &admin.TraceWaiting{Place: "pending"}},
		admin.VerdictDead:     {Source: "1-1", EventID: "e", Dead: []admin.TraceDeath{{ID: "3-3"}}},
		admin.VerdictUnknown:  {Source: "1-1", EventID: "e"},
	} {
		require.Equal(t, verdict, verdictOf(&tr))
	}
}

func TestUsersAreBounded(t *testing.T) {
	r := adapter.Report{Node: "n1:1", Delivered: true, Sockets: 100}
	for i := range 100 {
		r.Receivers = append(r.Receivers, adapter.Receiver{User: fmt.Sprint("v", i), State: adapter.StateWritten})
	}
	got := traceOf(r)
	require.Len(t, got.Users, mostUsers)
	require.Equal(t, "u", got.Users[0].User, "who was addressed by name comes first")
	require.Equal(t, 101-mostUsers, got.MoreUsers)
}

func TestTraceCommand(t *testing.T) {
	cluster, _, environ := adminServer(t)
	cluster.traced = admin.Trace{
		Verdict: admin.VerdictPartly, Event: "oferta_x", EventID: "e", Source: "1-1", AddedAt: tracedAt, OccurredAt: tracedAt, ReplayedFrom: "3-3",
		Waiting: &admin.TraceWaiting{Place: "pending", Holder: "n1", IdleSecs: 1.52, Deliveries: 2},
		Log:     &admin.TraceEntry{ID: "2-2", At: tracedAt, Relay: "n1"},
		Rooms:   []admin.TraceRoom{{Room: "user_u", Rule: "the user in client_id"}},
		Dead:    []admin.TraceDeath{{ID: "3-3", At: tracedAt, Reason: "no_route", Detail: "nobody", Node: "n1", Deliveries: 1}},
		Nodes: []admin.TraceNode{
			{Node: "n1", Remembers: true, Sockets: 2, CaughtUp: 1, Derived: true}, {Node: "n2", Since: tracedAt.Add(time.Second)}, {Node: "n3"},
		},
		Silent: []string{"n4"},
		Users: []admin.TraceUser{{User: "u", Outcome: "dropped", Sockets: []admin.TraceSocket{
			{Socket: "s", Node: "n1", Outcome: "dropped", At: tracedAt, Gone: tracedAt, Why: "slow_consumer"},
			{Socket: "s2", Node: "n1", Outcome: "queued", At: tracedAt, CaughtUp: true},
		}}, {Outcome: "unknown"}},
		MoreUsers: 3,
	}
	r := gateway(t, environ, "", "trace", "e")
	require.Equal(t, exitOK, r.code, r.stderr)
	golden(t, "trace.txt", r.stdout)
	require.Equal(t, []string{"trace e"}, cluster.calls)

	cluster.traced = admin.Trace{Verdict: admin.VerdictNotFound, Searched: []admin.TraceSearch{
		{Where: "log", Entries: 3, Oldest: "1-1", Newest: "9-1", Complete: true}, {Where: "dead"},
	}}
	r = gateway(t, environ, "", "trace", "e")
	require.Equal(t, exitFailure, r.code)
	require.Empty(t, r.stderr)
	require.Equal(t, "e          not found\nsearched   log: 3 entries, 1-1 to 9-1\nsearched   dead: 0 entries, not all\n", r.stdout)
	require.Contains(t, gateway(t, environ, "", "trace", "--json", "e").stdout, `"verdict":"not_found"`)
	require.Equal(t, exitFailure, gateway(t, nil, "", "trace", "e").code, "without the key")
}
