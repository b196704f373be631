package dashboard

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func at(t int64, clients int64, ofertas uint64) sample {
	return sample{At: t, Roles: []int64{clients, 0, 0}, Events: []uint64{0, ofertas, 0, 0}}
}

func TestHistoriesAreJoinedByTheClock(t *testing.T) {
	slow := at(10_000, 1, 0)
	slow.Latency = Latency{Count: 3, P50: 1, P95: 2, P99: 30}
	quick := at(10_000, 5, 50)
	quick.Latency = Latency{Count: 900, P50: 1, P95: 2, P99: 3}
	points := merged([]past{
		{"a:1", []sample{slow, at(15_000, 2, 0)}},
		{"b:1", []sample{at(5000, 4, 40), quick, at(15_000, 6, 75)}},
		{"restarted", []sample{at(5000, 0, 1000), at(10_000, 0, 2)}},
		{"paused", []sample{at(0, 0, 0), at(60_000, 9, 600)}},
		{"of another version", []sample{{At: 5000, Roles: []int64{1}}}},
	}, 5*time.Second)
	require.Equal(t, []point{
		{At: 0, Roles: []int64{0, 0, 0}, Events: []float64{0, 0, 0, 0}},
		{At: 5000, Roles: []int64{4, 0, 0}, Events: []float64{0, 0, 0, 0}},
		{At: 10_000, Roles: []int64{6, 0, 0}, Events: []float64{0, 2, 0, 0}, Latency: []float64{1, 2, 30}},
		{At: 15_000, Roles: []int64{8, 0, 0}, Events: []float64{0, 5, 0, 0}},
		{At: 60_000, Roles: []int64{9, 0, 0}, Events: []float64{0, 0, 0, 0}},
	}, points)
	require.Empty(t, merged(nil, time.Second))
}

func TestHistoryIsBounded(t *testing.T) {
	h := newHistory(time.Minute, 5*time.Second)
	for i := range 100 {
		h.add(sample{At: int64(i), Refused: map[string]uint64{"a": uint64(i)}})
	}
	kept := h.past("x").Samples
	require.Len(t, kept, 13)
	require.EqualValues(t, 87, kept[0].At)
	f := h.lately(Figures{Refused: map[string]uint64{"a": 100, "b": 0, "c": 2}})
	require.Equal(t, map[string]uint64{"a": 13, "c": 2}, f.RefusedLately)
	require.Empty(t, f.DeadLately)
}

func started(name string, minute int64, recovered, not uint64) Figures {
	return Figures{Name: name, Identity: name, Version: "v", Started: minute * 60_000, Recovered: recovered, NotRecovered: not}
}

func TestTheLastDeployIsWhatWasStartedTogether(t *testing.T) {
	require.Nil(t, lastDeploy(nil, nil))
	nodes := []Figures{started("a", 100, 10, 1), started("b", 105, 20, 2), started("c", 114, 30, 3)}
	require.Equal(t, deploy{
		Began: 100 * 60_000, Ended: 114 * 60_000, Nodes: 3, Of: 3, Counted: 3, Versions: []string{"v"}, Recovered: 60, NotRecovered: 6,
	}, *lastDeploy(nodes, nil))

	// Of nodes that went on running, what came since counts, if they remember.
	nodes = []Figures{started("a", 10, 1000, 100), started("b", 12, 500, 50), started("c", 114, 30, 3)}
	nodes[0].Version = "w"
	pasts := map[string][]sample{
		"a": {{At: 113 * 60_000, Recovered: 990, NotRecovered: 98}, {At: 115 * 60_000, Recovered: 995}},
		"b": {{At: 115 * 60_000}},
	}
	require.Equal(t, deploy{
		Began: 114 * 60_000, Ended: 114 * 60_000, Nodes: 1, Of: 3, Counted: 2, Versions: []string{"v", "w"}, Recovered: 40, NotRecovered: 5,
	}, *lastDeploy(nodes, pasts))
}

func TestTheRosterForgets(t *testing.T) {
	r := newRoster(time.Minute)
	r.heard([]Figures{started("a", 1, 0, 0)}, 1000)
	r.members([]Member{{Name: "a", Identity: "a"}}, 1000)
	r.heard(nil, 61_000)
	r.members(nil, 61_000)
	require.Equal(t, stateLost, r.views(true)[0].State)
	r.members(nil, 61_001)
	require.Empty(t, r.views(true))
}
