package main

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// six events of kind 0, of which a client is due all but number 3.
func sixEvents() book {
	return book{want: []int{0, 1, 2, 4, 5}, kinds: []int{0, 0, 0, 0, 0, 0}}
}

func received(numbers ...int) []receipt {
	var receipts []receipt
	for i, n := range numbers {
		receipts = append(receipts, receipt{n: n, at: int64(1000 + i)})
	}
	return receipts
}

func TestCompareFindsWhatIsWrong(t *testing.T) {
	ofKind := func(kind int, receipts []receipt, at int) []receipt {
		receipts[at].kind = kind
		return receipts
	}
	tests := map[string]struct {
		got  []receipt
		want tally
	}{
		"as it should be":           {received(0, 1, 2, 4, 5), tally{delivered: 5}},
		"the first lost":            {received(1, 2, 4, 5), tally{delivered: 4, lost: 1, silent: 1}},
		"one in the middle lost":    {received(0, 1, 4, 5), tally{delivered: 4, lost: 1, silent: 1}},
		"the last lost":             {received(0, 1, 2, 4), tally{delivered: 4, lost: 1, silent: 1}},
		"nothing received":          {nil, tally{lost: 5, silent: 5}},
		"repeated at once":          {received(0, 1, 1, 2, 4, 5), tally{delivered: 5, repeated: 1}},
		"repeated later":            {received(0, 1, 2, 4, 5, 0), tally{delivered: 5, repeated: 1}},
		"repeated twice":            {received(0, 0, 0, 1, 2, 4, 5), tally{delivered: 5, repeated: 2}},
		"two swapped":               {received(0, 2, 1, 4, 5), tally{delivered: 5, reordered: 1}},
		"one late":                  {received(1, 2, 4, 5, 0), tally{delivered: 5, reordered: 1}},
		"a batch late":              {received(0, 5, 1, 2, 4), tally{delivered: 5, reordered: 3}},
		"another's":                 {received(0, 1, 2, 3, 4, 5), tally{delivered: 5, misdelivered: 1}},
		"never written":             {received(0, 1, 2, 4, 5, 6), tally{delivered: 5, misdelivered: 1}},
		"no number":                 {received(0, 1, 2, -1, 4, 5), tally{delivered: 5, misdelivered: 1}},
		"of another kind":           {ofKind(1, received(0, 1, 2, 4, 5), 2), tally{delivered: 4, lost: 1, silent: 1, misdelivered: 1}},
		"lost, repeated and late":   {received(0, 2, 1, 1, 5), tally{delivered: 4, lost: 1, silent: 1, repeated: 1, reordered: 1}},
		"a run replayed after loss": {received(0, 1, 5, 4, 5), tally{delivered: 4, lost: 1, silent: 1, repeated: 1, reordered: 1}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := sixEvents().compare(test.got)
			require.Equal(t, got.repeated+got.reordered+got.misdelivered+got.silent > 0, len(got.remarks) > 0)
			got.remarks = nil
			require.Equal(t, test.want, got)
		})
	}
}

func TestALossIsSilentUnlessTheClientWasTold(t *testing.T) {
	tests := map[string]struct {
		notices []span
		excused func(int) bool
		silent  int
	}{
		"not told":           {nil, nil, 2},
		"told of both":       {[]span{{after: 0, before: 4}}, nil, 0},
		"told of one":        {[]span{{after: 0, before: 2}}, nil, 1},
		"told of others":     {[]span{{after: 2, before: 9}}, nil, 2},
		"told of each":       {[]span{{after: 0, before: 2}, {after: 1, before: 3}}, nil, 0},
		"gone from Redis":    {nil, func(n int) bool { return n == 2 }, 1},
		"a span excludes it": {[]span{{after: 1, before: 2}}, nil, 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := sixEvents()
			b.notices, b.excused = test.notices, test.excused
			got := b.compare(received(0, 4, 5))
			require.Equal(t, 2, got.lost)
			require.Equal(t, test.silent, got.silent)
		})
	}
}

func TestNoticesSpanFromTheLastEventBeforeToTheRoomsAfter(t *testing.T) {
	c := record{
		receipts: received(0, 2, 1, 7, 9),
		sessions: []session{
			{up: 1, ready: 1, down: 2},
			{up: 3, ready: 3, received: 2, recovered: true, begunReady: 4},
			{up: 4, received: 3}, // lost before it was in its rooms
			{up: 5, ready: 6, received: 3, recovered: true, begunReady: 7},
			{up: 8, ready: 0, received: 5},
		},
	}
	require.Equal(t, []span{{after: 2, before: 7}, {after: 9, before: int(^uint(0) >> 1)}}, c.notices())
}

func TestServedAfterIsTheLongestWait(t *testing.T) {
	early := &record{receipts: []receipt{{n: 1, at: 100}, {n: 5, at: 210}}}
	late := &record{
		receipts: []receipt{{n: 1, at: 100}, {n: 2, at: 205}, {n: 6, at: 260}, {n: 7, at: 900}},
		sessions: []session{{down: 300}, {up: 400}},
	}
	s := &scene{marks: []mark{{at: 200, n: 5}}}
	require.EqualValues(t, 10, s.servedAfter([]*record{early}))
	require.EqualValues(t, 600, s.servedAfter([]*record{early, late}), "from the disconnect to the next event")

	late.sessions = nil
	require.EqualValues(t, 60, s.servedAfter([]*record{early, late}), "an event begun before the harm does not count")

	s.marks[0].n = 8
	require.EqualValues(t, -1, s.servedAfter([]*record{early, late}))
}

func TestTogetherAwaySeesOverlapOfTwoNodesOnly(t *testing.T) {
	of := func(node string, down, up int64) *record {
		return &record{sessions: []session{{up: 1, node: node, down: down}, {up: up, node: "gw3"}}}
	}
	require.Empty(t, togetherAway([]*record{of("gw1", 10, 20), of("gw1", 15, 30), of("gw2", 30, 40)}))
	require.NotEmpty(t, togetherAway([]*record{of("gw1", 10, 20), of("gw2", 19, 40)}))
}

func TestRecoveryOfAllNeedsReconnects(t *testing.T) {
	for reconnects, want := range map[int]int{0: 1, 9: 0, 10: 1} {
		r := &result{reconnects: reconnects, recovered: min(reconnects, 9)}
		(&scene{about: about{allRecovered: true}}).bound(r)
		require.Len(t, r.failures, want, "%v", r.failures)
	}
}

func TestABoundFailsTheRun(t *testing.T) {
	tests := map[string]struct {
		about about
		total tally
		ok    bool
	}{
		"exact":                          {about{}, tally{delivered: 9}, true},
		"a loss":                         {about{}, tally{delivered: 9, lost: 1}, false},
		"a loss with notice, allowed":    {about{lossWithNotice: true}, tally{delivered: 9, lost: 1}, true},
		"a loss without, where allowed":  {about{lossWithNotice: true}, tally{delivered: 9, lost: 1, silent: 1}, false},
		"a repetition, where loss is ok": {about{lossWithNotice: true}, tally{delivered: 9, repeated: 1}, false},
		"a reordering, where loss is ok": {about{lossWithNotice: true}, tally{delivered: 9, reordered: 1}, false},
		"another's, where loss is ok":    {about{lossWithNotice: true}, tally{delivered: 9, misdelivered: 1}, false},
		"too little happened":            {about{}, tally{delivered: 8}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := &scene{about: test.about, set: settings{deliveries: 9}}
			r := &result{total: test.total}
			s.bound(r)
			require.Equal(t, test.ok, len(r.failures) == 0, "%v", r.failures)
		})
	}
}

func TestConnectionsAreJudged(t *testing.T) {
	tests := map[string]struct {
		about    about
		sessions []session
		failures int
	}{
		"never lost":                   {about{stayConnected: true}, []session{{up: 1}}, 0},
		"lost though it may not be":    {about{stayConnected: true}, []session{{up: 1, down: 2}, {up: 3}}, 1},
		"back":                         {about{}, []session{{up: 1, down: 2}, {up: 3}}, 0},
		"not back":                     {about{}, []session{{up: 1, down: 2}}, 1},
		"never came":                   {about{}, nil, 1},
		"the two sides disagree":       {about{}, []session{{up: 1, down: 2}, {up: 3, recovered: true}}, 1},
		"the other way round":          {about{}, []session{{up: 1, down: 2}, {up: 3, said: true}}, 1},
		"served before the greeting":   {about{}, []session{{up: 1, down: 2, ended: 3}, {up: 3, received: 4}}, 1},
		"before the first greeting":    {about{}, []session{{up: 1, received: 1}}, 1},
		"served after the greeting":    {about{}, []session{{up: 1, down: 2, ended: 3}, {up: 3, received: 3}}, 0},
		"agree that it was a recovery": {about{}, []session{{up: 1, down: 2}, {up: 3, said: true, recovered: true}}, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := &result{}
			(&scene{about: test.about}).judgeConnections(r, &record{sessions: test.sessions})
			require.Len(t, r.failures, test.failures, "%v", r.failures)
		})
	}
}
