package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sample is what one run of a scenario measured.
type sample struct {
	Scenario string  `json:"scenario"`
	Peer     string  `json:"peer"`
	Round    int     `json:"round"`
	Metrics  metrics `json:"metrics"`
}

// results are a whole run.
type results struct {
	Machine Machine  `json:"machine"`
	Args    []string `json:"args"`
	Samples []sample `json:"samples"`

	Servers []peer  `json:"-"`
	Opt     options `json:"-"`
}

// row is a line of the table of figures.
type row struct {
	scenario, metric, title string
	// less is better.
	less bool
}

var rows = []row{
	{"fanout", "deliveries_per_second", "fan-out to all, deliveries/s", false},
	{"fanout", "deliveries_per_cpu_second", "fan-out to all, deliveries per CPU-second", false},
	{"fanout-big", "deliveries_per_second", "fan-out, the larger number of sockets, deliveries/s", false},
	{"fanout-big", "deliveries_per_cpu_second", "fan-out, the larger number, deliveries per CPU-second", false},
	{"targeted", "events_per_second", "targeted `user_{id}` events/s", false},
	{"targeted", "events_per_cpu_second", "targeted events per CPU-second", false},
	{"rooms", "deliveries_per_second", "rooms of 50, deliveries/s", false},
	{"rooms", "deliveries_per_cpu_second", "rooms of 50, deliveries per CPU-second", false},
	{"connect", "per_second", "connects with JWT/s", false},
	{"connect", "per_cpu_second", "connects per CPU-second", false},
	{"connect", "p99_ms", "connect, p99 ms", true},
	{"idle", "kb_per_socket", "resident KB per idle socket", true},
	{"idle", "server_cpu", "CPU when idle, % of a core", true},
	{"latency-targeted", "capacity", "targeted, own capacity for the latencies, events/s", false},
	{"latency-targeted", "p50_ms_at_10", "targeted, XADD→client at 10 %, p50 ms", true},
	{"latency-targeted", "p99_ms_at_10", "… p99 ms", true},
	{"latency-targeted", "p999_ms_at_10", "… p99.9 ms", true},
	{"latency-targeted", "p50_ms_at_50", "targeted, XADD→client at 50 %, p50 ms", true},
	{"latency-targeted", "p99_ms_at_50", "… p99 ms", true},
	{"latency-targeted", "p999_ms_at_50", "… p99.9 ms", true},
	{"latency-targeted", "p50_ms_at_80", "targeted, XADD→client at 80 %, p50 ms", true},
	{"latency-targeted", "p99_ms_at_80", "… p99 ms", true},
	{"latency-targeted", "p999_ms_at_80", "… p99.9 ms", true},
	{"latency-fanout", "capacity", "fan-out, own capacity for the latencies, events/s", false},
	{"latency-fanout", "p50_ms_at_10", "fan-out, XADD→client at 10 %, p50 ms", true},
	{"latency-fanout", "p99_ms_at_10", "… p99 ms", true},
	{"latency-fanout", "p999_ms_at_10", "… p99.9 ms", true},
	{"latency-fanout", "p50_ms_at_50", "fan-out, XADD→client at 50 %, p50 ms", true},
	{"latency-fanout", "p99_ms_at_50", "… p99 ms", true},
	{"latency-fanout", "p999_ms_at_50", "… p99.9 ms", true},
	{"latency-fanout", "p50_ms_at_80", "fan-out, XADD→client at 80 %, p50 ms", true},
	{"latency-fanout", "p99_ms_at_80", "… p99 ms", true},
	{"latency-fanout", "p999_ms_at_80", "… p99.9 ms", true},
	{"slow", "p99_ms_without", "others' p99 ms while one more reads", true},
	{"slow", "p99_ms_with", "others' p99 ms while it does not", true},
	{"slow", "p99_ratio", "others' p99, ratio", true},
	{"slow", "growth_mb", "server's memory, growth by the slow reader, MB", true},
	{"slow", "slow_closed", "slow reader closed within the measurement (1: yes)", false},
}

// target is what the gateway is to reach: against another server, or by itself.
type target struct {
	scenario, metric, against, title string
	must, aim                        float64
	less                             bool
}

var targets = []target{
	{"fanout", "deliveries_per_cpu_second", "node", "fan-out deliveries per CPU-second against Node", 3.5, 5, false},
	{"fanout", "deliveries_per_cpu_second", "centrifuge", "fan-out deliveries per CPU-second against centrifuge", 1, 1.5, false},
	{"targeted", "events_per_cpu_second", "node", "targeted events per CPU-second against Node", 5, 10, false},
	{"fanout-big", "deliveries_per_cpu_second", "node", "fan-out, the larger number of sockets, against Node", 2.5, 4, false},
	{"connect", "per_cpu_second", "node", "connects per CPU-second against Node", 3, 5, false},
	{"idle", "kb_per_socket", "", "resident KB per idle socket", 22, 16, true},
	{"latency-targeted", "p99_ms_at_50", "node", "p99 XADD→client at half of own capacity, against Node at half of its own", 0.7, 0.4, true},
	{"slow", "p99_ratio", "", "others' p99 beside a slow reader, ratio", 1.2, 1.2, true},
}

// line shows the figures of one run as they come.
func (m metrics) line(scenario string) string {
	var parts []string
	for _, r := range rows {
		if v, ok := m[r.metric]; ok && r.scenario == scenario {
			parts = append(parts, r.metric+" "+number(v))
		}
	}
	for _, name := range []string{"server_cpu", "load_cpu", "redis_cpu", "lost", "repeated", "dropped"} {
		if v, ok := m[name]; ok {
			parts = append(parts, name+" "+number(v))
		}
	}
	return strings.Join(parts, "  ")
}

// values are a metric's, by round.
func (r *results) values(scenario, metric, peer string) []float64 {
	var values []float64
	for _, s := range r.Samples {
		if v, ok := s.Metrics[metric]; ok && s.Scenario == scenario && s.Peer == peer {
			values = append(values, v)
		}
	}
	return values
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// ratio is the quotient of the medians, and the range of the rounds' own quotients.
func (r *results) ratio(scenario, metric, a, b string) (ratio, low, high float64) {
	va, vb := r.values(scenario, metric, a), r.values(scenario, metric, b)
	ratio = median(va) / median(vb)
	low, high = math.Inf(1), math.Inf(-1)
	for i := range min(len(va), len(vb)) {
		low, high = min(low, va[i]/vb[i]), max(high, va[i]/vb[i])
	}
	return ratio, low, high
}

func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case a >= 10_000:
		return fmt.Sprintf("%.1fk", v/1000)
	case a >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func spread(values []float64) string {
	switch len(values) {
	case 0:
		return "–"
	case 1:
		return number(values[0])
	default:
		return fmt.Sprintf("%s (%s–%s)", number(median(values)), number(slices.Min(values)), number(slices.Max(values)))
	}
}

// write makes the three files in dir.
func (r *results) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // for everybody to read
		return err
	}
	encoded, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	notes, err := os.ReadFile(filepath.Join(dir, "NOTES.md")) //nolint:gosec // the output folder's
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var errs []error
	for name, content := range map[string][]byte{
		"results.json": append(encoded, '\n'), "results.svg": []byte(r.svg()), "RESULTS.md": []byte(r.markdown(string(notes))),
	} {
		errs = append(errs, os.WriteFile(filepath.Join(dir, name), content, 0o644)) //nolint:gosec // for everybody to read
	}
	return errors.Join(errs...)
}

func (r *results) markdown(notes string) string {
	var b strings.Builder
	b.WriteString("# Benchmark\n\nWritten by `make bench`; see `go run ./deploy/bench -help`.\n\n![Medians relative to Node](results.svg)\n\n")
	r.targetTable(&b)
	r.figureTable(&b)
	r.shareTable(&b)
	r.conditions(&b)
	if notes != "" {
		b.WriteString("\n" + strings.TrimSpace(notes) + "\n")
	}
	return b.String()
}

func (r *results) targetTable(b *strings.Builder) {
	b.WriteString("## Targets\n\nRatios are of the medians; in brackets the range of the single rounds.\n\n| | measured | must | aim | |\n|---|---|---|---|---|\n")
	for _, t := range targets {
		var got float64
		var shown string
		if t.against == "" {
			values := r.values(t.scenario, t.metric, "gateway")
			got, shown = median(values), spread(values)
		} else {
			var low, high float64
			got, low, high = r.ratio(t.scenario, t.metric, "gateway", t.against)
			shown = fmt.Sprintf("%s × (%s–%s)", number(got), number(low), number(high))
		}
		if math.IsNaN(got) {
			continue
		}
		sign := "≥"
		if t.less {
			sign = "≤"
		}
		_, _ = fmt.Fprintf(b, "| %s | %s | %s %s | %s %s | %s |\n", t.title, shown, sign, number(t.must), sign, number(t.aim), t.verdict(got))
	}
}

func (t target) verdict(got float64) string {
	reached := func(want float64) bool { return (t.less && got <= want) || (!t.less && got >= want) }
	switch {
	case reached(t.aim):
		return "aim reached"
	case reached(t.must):
		return "reached"
	default:
		return "**missed**"
	}
}

func (r *results) figureTable(b *strings.Builder) {
	b.WriteString("\n## Figures\n\nMedian of the rounds, lowest and highest in brackets.\n\n| |")
	for _, p := range r.Servers {
		b.WriteString(" " + p.title + " |")
	}
	others := slices.DeleteFunc(slices.Clone(r.Servers), func(p peer) bool { return p.name == "gateway" })
	for _, p := range others {
		b.WriteString(" gateway ÷ " + p.title + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(r.Servers)+len(others)) + "\n")
	for _, w := range rows {
		if !r.has(w.scenario) {
			continue
		}
		b.WriteString("| " + w.title + " |")
		for _, p := range r.Servers {
			b.WriteString(" " + spread(r.values(w.scenario, w.metric, p.name)) + " |")
		}
		for _, p := range others {
			ratio, _, _ := r.ratio(w.scenario, w.metric, "gateway", p.name)
			b.WriteString(" " + number(ratio) + " |")
		}
		b.WriteString("\n")
	}
}

func (r *results) has(scenario string) bool {
	return slices.ContainsFunc(r.Samples, func(s sample) bool { return s.Scenario == scenario })
}

// shareTable shows what was the limit, and whether anything was lost.
func (r *results) shareTable(b *strings.Builder) {
	b.WriteString("\n## Where the CPU went, and what was lost\n\nShare of its core in percent, medians. Load and Redis share a core: if they come near 100 together while the server does not, " +
		"the load was the limit, and only the figures per CPU-second say something of the server.\n\n" +
		"| | server | its core | load | Redis | lost | repeated | connections dropped |\n|---|---|---|---|---|---|---|---|\n")
	for _, name := range scenarioNames() {
		if !r.has(name) {
			continue
		}
		for _, p := range r.Servers {
			_, _ = fmt.Fprintf(b, "| %s | %s |", name, p.title)
			for _, metric := range []string{"server_cpu", "load_cpu", "redis_cpu"} {
				b.WriteString(" " + number(median(r.values(name, metric, p.name))) + " |")
			}
			for _, metric := range []string{"lost", "repeated", "dropped"} {
				sum := 0.0
				for _, v := range r.values(name, metric, p.name) {
					sum += v
				}
				b.WriteString(" " + number(sum) + " |")
			}
			b.WriteString("\n")
		}
	}
}

func (r *results) conditions(b *strings.Builder) {
	m, o := r.Machine, r.Opt
	_, _ = fmt.Fprintf(b, "\n## Conditions\n\n- %s, %s, %d cores, %.0f GB, %s.\n", m.When, m.CPU, m.Cores, m.MemoryGB, m.Kernel)
	b.WriteString("- Versions:")
	for _, name := range slices.Sorted(maps.Keys(m.Versions)) {
		b.WriteString(" " + name + " " + m.Versions[name] + ";")
	}
	_, _ = fmt.Fprintf(b, "\n- %d rounds, the servers in turn; a fresh Redis and a fresh server for each group of scenarios. %d sockets, %d in `idle` and `fanout-big`, %d in `connect` (%d under way at once).\n",
		o.rounds, o.sockets, o.big, o.connects, o.opening)
	_, _ = fmt.Fprintf(b, "- The server alone on core %d (`taskset`, `GOMAXPROCS=1`), load and Redis on core %d. CPU time is the process's, user and system, from `/proc`.\n", serverCore, loadCore)
	_, _ = fmt.Fprintf(b, "- Events have %d bytes of data and go through Redis: XADD to the event stream, read there by the server's consumer group. One measurement takes %s.\n", eventBytes, o.duration)
	_, _ = fmt.Fprintf(b, "- Capacity is that of a closed loop with at most %d events to all, or %d to one, under way. Latency is from a stamp taken just before XADD to the read of the client's socket, in an open loop.\n",
		o.fanoutWindow, o.targetWindow)
	b.WriteString("- The Node server writes presence and session at connect as the gateway does, in one pipeline; its adapter is told that all is plain text. centrifuge publishes by its memory broker, which spares it the way " +
		"through a log that the other two take; `-peers centrifuge-redis` has it use Redis, `centrifuge-delay` has it collect messages for 10 ms before it writes; by default it does not. Memory is resident memory after the connects less that before, by sockets.\n")
}
