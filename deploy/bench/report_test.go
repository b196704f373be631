package main

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func example() *results {
	r := &results{
		Machine: Machine{Versions: map[string]string{"go": "1"}},
		Servers: []peer{{name: "gateway", title: "gateway"}, {name: "node", title: "Node <socket.io>"}},
	}
	for round, pair := range [][2]float64{{500, 100}, {400, 200}, {900, 150}} {
		for i, p := range r.Servers {
			r.Samples = append(r.Samples, sample{"fanout", p.name, round + 1, metrics{"deliveries_per_cpu_second": pair[i], "lost": 1}})
		}
	}
	return r
}

func TestMedianAndRatio(t *testing.T) {
	require.True(t, math.IsNaN(median(nil)))
	require.InDelta(t, 2, median([]float64{3, 1, 2}), 0)
	require.InDelta(t, 2.5, median([]float64{4, 1, 2, 3}), 0)
	ratio, low, high := example().ratio("fanout", "deliveries_per_cpu_second", "gateway", "node")
	require.InDelta(t, 500.0/150, ratio, 1e-9)
	require.InDelta(t, 2, low, 1e-9)
	require.InDelta(t, 6, high, 1e-9)
}

func TestVerdicts(t *testing.T) {
	more, less := target{must: 3, aim: 5}, target{must: 22, aim: 16, less: true}
	require.Equal(t, []string{"**missed**", "reached", "aim reached"}, []string{more.verdict(2.9), more.verdict(3), more.verdict(5)})
	require.Equal(t, []string{"**missed**", "reached", "aim reached"}, []string{less.verdict(23), less.verdict(22), less.verdict(16)})
}

func TestResultsAreWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "NOTES.md"), []byte("## Notes\n\nKept.\n"), 0o644))
	require.NoError(t, example().write(dir))
	page, err := os.ReadFile(filepath.Join(dir, "RESULTS.md"))
	require.NoError(t, err)
	require.Contains(t, string(page), "| fan-out deliveries per CPU-second against Node | 3.33 × (2–6) | ≥ 3.50 | ≥ 5 | **missed** |\n")
	require.Contains(t, string(page), "| fan-out to all, deliveries per CPU-second | 500 (400–900) | 150 (100–200) | 3.33 |\n")
	require.True(t, strings.HasSuffix(string(page), "## Notes\n\nKept.\n"))
	encoded, err := os.ReadFile(filepath.Join(dir, "results.json"))
	require.NoError(t, err)
	var back results
	require.NoError(t, json.Unmarshal(encoded, &back))
	require.Equal(t, example().Samples, back.Samples)
	plot, err := os.ReadFile(filepath.Join(dir, "results.svg"))
	require.NoError(t, err)
	d := xml.NewDecoder(strings.NewReader(string(plot)))
	for err == nil {
		_, err = d.Token()
	}
	require.ErrorIs(t, err, io.EOF, "the plot is well-formed")
	require.Equal(t, 4, strings.Count(string(plot), "<rect")-1, "two of the legend, two bars")
}

func TestEveryTargetHasItsRow(t *testing.T) {
	known := map[[2]string]bool{}
	for _, r := range rows {
		known[[2]string{r.scenario, r.metric}] = true
		require.Contains(t, scenarioNames(), r.scenario)
	}
	for _, x := range targets {
		require.True(t, known[[2]string{x.scenario, x.metric}], x.title)
	}
	for _, x := range plotted {
		require.True(t, known[[2]string{x.row.scenario, x.row.metric}], x.title)
	}
}

func TestArguments(t *testing.T) {
	o, err := parse([]string{"-scenario", "idle,slow", "-peers", "gateway"})
	require.NoError(t, err)
	require.Equal(t, []string{"idle", "slow"}, o.scenarios)
	for _, bad := range []string{"-sockets=51", "-rounds=0", "-scenario=x", "-duration=1ms", "rest"} {
		_, err := parse([]string{bad})
		require.Error(t, err, bad)
	}
}

func TestProcFigures(t *testing.T) {
	pid := os.Getpid()
	for start := time.Now(); time.Since(start) < 3*clockTick; {
		_ = strings.Repeat("x", 1000)
	}
	used, err := cpuTime(pid)
	require.NoError(t, err)
	require.Positive(t, used)
	kb, err := residentKB(pid)
	require.NoError(t, err)
	require.Greater(t, kb, 1000.0)
	n, err := openFiles(pid)
	require.NoError(t, err)
	require.Greater(t, n, 2)
	require.Positive(t, onlineCores())
}
