package main

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the tables into deploy/SCALING.md")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestThePageHasTheModelsTables(t *testing.T) {
	const page = "../../SCALING.md"
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	want := string(text)
	for name, table := range map[string]string{"sizes": sizesTable(), "log": logTable(), "shards": shardsTable()} {
		block := regexp.MustCompile(`(?s)(<!-- ` + name + `:begin -->\n).*?(<!-- ` + name + `:end -->)`)
		require.True(t, block.MatchString(want), name)
		want = block.ReplaceAllString(want, "${1}"+table+"${2}")
	}
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(want), 0o600))
		return
	}
	require.Equal(t, want, string(text), "go test ./deploy/bench/scaling -update")
}

func TestNeed(t *testing.T) {
	n := load{Users: 36_000, Nodes: 10, Events: 100}.need() // 1,000 entries a second
	require.InDelta(t, 6e6, n.RedisOut, 1)
	require.InDelta(t, 10*(50*20+1000*1.05)/1e6+(1000*17+20*40+10*1600)/1e6, n.RedisCPU, 1e-9)
	require.InDelta(t, 0.0065, n.Reading, 1e-9)
	require.InDelta(t, 34e6+64<<20+3600*17_500, n.NodeMemory, 1)
	require.Equal(t, "none", n.first())
	require.InDelta(t, 36_000*700+240_000*600+600_000*220, n.RedisMemory, 1)
}

func TestMoreNodesOrEventsNeverNeedLess(t *testing.T) {
	for _, nodes := range []int{1, 10, 100, 1000} {
		for _, events := range []float64{0.1, 1, 10, 100} {
			a := load{Users: 1_000_000, Nodes: nodes, Events: events}.need()
			b := load{Users: 1_000_000, Nodes: 2 * nodes, Events: events}.need()
			c := load{Users: 1_000_000, Nodes: nodes, Events: 2 * events}.need()
			require.Greater(t, b.RedisCPU, a.RedisCPU)
			require.Greater(t, c.RedisCPU, a.RedisCPU)
			require.Greater(t, c.NodeCPU, a.NodeCPU)
			require.GreaterOrEqual(t, a.NodeCPU, b.NodeCPU)
		}
	}
}

func TestTheFirstLimit(t *testing.T) {
	for want, n := range map[string]need{
		"none":           {RedisCPU: 0.7, RedisOut: redisOutMost, Reading: 0.6},
		"Redis' thread":  {RedisCPU: 2, RedisOut: 1.5 * redisOutMost, Reading: 0.7},
		"Redis' network": {RedisCPU: 0.8, RedisOut: 1.5 * redisOutMost},
		"nodes' reading": {Reading: 0.7},
	} {
		require.Equal(t, want, n.first())
	}
}

func TestCarries(t *testing.T) {
	l := load{Users: 3600, Nodes: 50, Events: carries(50)} // few connects, and that many events
	require.InDelta(t, redisCPUMost, l.need().RedisCPU, 0.01)
}

func TestReadingSingly(t *testing.T) {
	few := load{Users: 36_000, Nodes: 10, Events: 10} // 100 entries a second, 20 connects
	require.InDelta(t, 10*100*21.05/1e6+(100*17+20*40+10*1600)/1e6, few.eager(), 1e-9)
	for _, events := range []float64{1, 10, 100} {
		l := load{Users: 36_000, Nodes: 10, Events: events}
		require.GreaterOrEqual(t, l.eager(), l.need().RedisCPU)
	}
	require.InDelta(t, 1, big(12).eager(), 0, "a thread has no more")
}

// The chart's autoscaler aims at what the page says.
func TestTheChartsThresholds(t *testing.T) {
	text, err := os.ReadFile("../../../charts/gateway/values.yaml")
	require.NoError(t, err)
	var values struct {
		MaxConnections int `yaml:"maxConnections"`
		Autoscaling    struct {
			TargetCPU   float64 `yaml:"targetCPU"`
			Connections struct {
				Target int `yaml:"target"`
			} `yaml:"connections"`
		} `yaml:"autoscaling"`
	}
	require.NoError(t, yaml.Unmarshal(text, &values))
	require.Equal(t, 7*values.MaxConnections/10, values.Autoscaling.Connections.Target)
	require.Equal(t, smallNode, values.Autoscaling.Connections.Target)
	require.InDelta(t, 100*nodeCPUMost, values.Autoscaling.TargetCPU, 1e-9)
}

// The page's sentence of the window that LOG_MAX_ENTRIES leaves.
func TestTheLogsWindow(t *testing.T) {
	require.Equal(t, 4166, logMost/(logSeconds/2))
	require.InDelta(t, 60, logMost/load{Users: 5_000_000, Events: eventsPerUserHour}.entries(), 1)
	require.InDelta(t, 20, logMost/carries(10), 1)
	require.InDelta(t, 2, 50_000*redisPerConnect/1e6, 0.01)
}

func TestNodesFor(t *testing.T) {
	require.Equal(t, 2, nodesFor(7_000, 7_000))
	require.Equal(t, 3, nodesFor(7_001, 7_000))
}

// Readers get every entry, and Redis' figures move.
func TestMeasure(t *testing.T) {
	points, err := measure(t.Context(), plan{Readers: []int{2}, Rates: []int{200}, Step: time.Second, Tick: 5 * time.Millisecond, Size: 100})
	require.NoError(t, err)
	require.Len(t, points, 1)
	p := points[0]
	require.False(t, p.behind(), p)
	require.InDelta(t, 2*p.Written, p.Taken, 0.1*p.Taken)
	require.Positive(t, p.CPU)
	require.Greater(t, p.Out, p.Taken*100)
	require.Equal(t, 3, strings.Count(pointsTable(points), "\n"))
}
