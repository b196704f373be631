package admin

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTrace(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b := newBench(t)
	w := b.do("GET", "/admin/trace/a%2Fb", "")
	require.Equal(t, 200, w.Code)
	require.JSONEq(t, `{"id":"a/b","verdict":"not_found","searched":[{"where":"log","entries":0,"complete":true}]}`, w.Body.String())
	require.Empty(t, b.logs.String(), "looking changes nothing")

	// Everything that there can be is described.
	b.traced = Trace{
		Verdict: VerdictPartly, Event: "oferta_x", EventID: "e", Source: "1-1", AddedAt: at, OccurredAt: at, TraceParent: "00-x", ReplayedFrom: "3-3",
		Waiting:  &TraceWaiting{Place: "pending", Holder: "n", IdleSecs: 1.5, Deliveries: 2, Fault: "f"},
		Log:      &TraceEntry{ID: "2-2", At: at, Relay: "n"},
		Rooms:    []TraceRoom{{"admin", "rule"}},
		Dead:     []TraceDeath{{ID: "3-3", At: at, Source: "1-1", Reason: "r", Detail: "d", Node: "n", Deliveries: 1, ReplayedFrom: "1-0"}},
		Nodes:    []TraceNode{{Node: "n", Since: at, Remembers: true, At: at, Sockets: 3, CaughtUp: 1, Derived: true}},
		Silent:   []string{"m"},
		Searched: []TraceSearch{{Where: "events", Entries: 1, Oldest: "1-1", Newest: "1-1"}},
		Users: []TraceUser{{User: "u", Outcome: OutcomeDropped, Sockets: []TraceSocket{
			{Socket: "s", Node: "n", Outcome: OutcomeDropped, At: at, CaughtUp: true, Gone: at, Why: "slow_consumer"},
		}}},
		MoreUsers: 7,
	}
	require.Equal(t, 200, b.do("GET", "/admin/trace/e", "").Code)
	require.Equal(t, []string{"trace a/b", "trace e"}, b.called())
}
