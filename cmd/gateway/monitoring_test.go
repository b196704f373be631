package main

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/teloo/realtime-gateway/api/metrics"
)

const monitoring = repoRoot + "/deploy/monitoring"

// foreign are metrics of the Go runtime and the process that rules and panels use.
var foreign = []string{"process_cpu_seconds_total", "process_resident_memory_bytes", "go_goroutines"}

// targetLabels are added by Prometheus, le by a histogram's buckets.
var targetLabels = []string{"job", "instance", "le"}

// alerts are the rules of alerts.yml.
type alerts struct {
	Groups []struct {
		Rules []struct {
			Alert       string            `yaml:"alert"`
			Expr        string            `yaml:"expr"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

func readAlerts(t *testing.T) alerts {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(monitoring, "alerts.yml"))
	require.NoError(t, err)
	var all alerts
	require.NoError(t, yaml.Unmarshal(raw, &all))
	require.NotEmpty(t, all.Groups)
	return all
}

// panelExprs are the dashboard's expressions, by panel.
func panelExprs(t *testing.T) map[string][]string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(monitoring, "dashboard.json"))
	require.NoError(t, err)
	var board struct {
		Panels []struct {
			Title   string `json:"title"`
			Type    string `json:"type"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	require.NoError(t, json.Unmarshal(raw, &board))
	all := map[string][]string{}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "5m", "$job", "gateway").Replace(target.Expr)
			all[p.Title] = append(all[p.Title], expr)
		}
		require.True(t, p.Type == "row" || len(p.Targets) > 0, p.Title)
	}
	return all
}

var (
	metricPattern  = regexp.MustCompile(`\b(teloo_\w+|process_\w+|go_\w+)(?:\{([^}]*)\})?`)
	matcherPattern = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
	byPattern      = regexp.MustCompile(`\b(?:by|on|without|ignoring)\s*\(([^)]*)\)`)
)

// checkExpr holds an expression's names and labels against the metrics that there are.
func checkExpr(t *testing.T, known map[string]metrics.Description, expr string) {
	t.Helper()
	used := metricPattern.FindAllStringSubmatch(byPattern.ReplaceAllString(expr, ""), -1)
	require.NotEmpty(t, used, expr)
	grouped := slices.Clone(targetLabels)
	for _, m := range used {
		if slices.Contains(foreign, m[1]) {
			continue
		}
		d, ok := known[m[1]]
		if base, bucket := strings.CutSuffix(m[1], "_bucket"); !ok && bucket {
			d, ok = known[base]
			require.Equal(t, metrics.Histogram, d.Kind, m[1])
		}
		require.True(t, ok, "%s in %s is no metric", m[1], expr)
		labels := slices.Concat(targetLabels, d.Labels)
		for _, l := range matcherPattern.FindAllStringSubmatch(m[2], -1) {
			require.Contains(t, labels, l[1], "%s in %s", m[1], expr)
		}
		grouped = append(grouped, d.Labels...)
	}
	for _, by := range byPattern.FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(by[1], ",") {
			require.Contains(t, grouped, strings.TrimSpace(label), expr)
		}
	}
}

func knownMetrics() map[string]metrics.Description {
	o := newInstruments(time.Now())
	o.tabulate(nil)
	known := map[string]metrics.Description{}
	for _, d := range o.registry.Describe() { // TestReadmeMetrics holds them against a node's
		known[d.Name] = d
	}
	return known
}

// TestAlertsAndDashboardNameMetricsThatThereAre: by name and label.
func TestAlertsAndDashboardNameMetricsThatThereAre(t *testing.T) {
	known := knownMetrics()
	for _, group := range readAlerts(t).Groups {
		for _, rule := range group.Rules {
			checkExpr(t, known, rule.Expr)
		}
	}
	for _, exprs := range panelExprs(t) {
		for _, expr := range exprs {
			checkExpr(t, known, expr)
		}
	}
}

// TestRunbook has a paragraph for each alert, and none for others.
func TestRunbook(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(repoRoot, "deploy", "RUNBOOK.md"))
	require.NoError(t, err)
	var headings []string
	for _, m := range regexp.MustCompile(`(?m)^## (.+)\n\n\S`).FindAllStringSubmatch(string(raw), -1) {
		headings = append(headings, m[1])
	}
	var names []string
	for _, group := range readAlerts(t).Groups {
		for _, rule := range group.Rules {
			names = append(names, rule.Alert)
			require.True(t, strings.HasSuffix(rule.Annotations["runbook_url"], "/deploy/RUNBOOK.md#"+strings.ToLower(rule.Alert)), rule.Alert)
			require.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
			require.Contains(t, []string{"critical", "warning"}, rule.Labels["severity"], rule.Alert)
		}
	}
	require.ElementsMatch(t, names, headings)
	metricsThere := knownMetrics()
	for _, m := range regexp.MustCompile("teloo_[a-z_]+").FindAllString(string(raw), -1) {
		known := slices.ContainsFunc(slices.Collect(maps.Keys(metricsThere)), func(name string) bool { return strings.HasPrefix(name, m) })
		require.True(t, known, "%s in RUNBOOK.md is no metric", m)
	}
	requireShownFigures(t, string(raw), slices.Collect(maps.Keys(metricsThere)))
	tests, err := os.ReadFile(filepath.Join(monitoring, "alerts_test.yml"))
	require.NoError(t, err)
	for _, name := range names {
		require.Contains(t, string(tests), `ALERTS{alertname="`+name+`",alertstate="firing"}`, "a test of its firing")
		require.Contains(t, string(tests), "alertname: "+name+"}", "a test of its silence")
	}
}

// requireShownFigures: each alternative of what the runbook's commands look for begins the name of a metric.
func requireShownFigures(t *testing.T, runbook string, names []string) {
	t.Helper()
	group := regexp.MustCompile(`\([^)]*\)`)
	labels := regexp.MustCompile(`(\\\{|\.\*).*$`)
	for _, m := range regexp.MustCompile(`(?m)^figures '(.+)'$`).FindAllStringSubmatch(runbook, -1) {
		pattern := group.ReplaceAllString(strings.ReplaceAll(m[1], "_(sum|count)", ""), ".*")
		for part := range strings.SplitSeq(pattern, "|") {
			if !strings.HasPrefix(part, "event_.*") {
				part = labels.ReplaceAllString(part, "")
			}
			begins := regexp.MustCompile("^teloo_" + part)
			require.True(t, slices.ContainsFunc(names, begins.MatchString), "%s in RUNBOOK.md is no figure", part)
		}
	}
}

// TestPromtool evaluates the rules, and parses the dashboard's expressions.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("promtool is not here; .ci/install installs it")
	}
	run := func(args ...string) {
		t.Helper()
		command := exec.CommandContext(t.Context(), promtool, args...)
		command.Dir = monitoring
		output, err := command.CombinedOutput()
		require.NoError(t, err, string(output))
	}
	run("check", "rules", "alerts.yml")
	run("test", "rules", "alerts_test.yml")

	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var rules []rule
	for _, exprs := range panelExprs(t) {
		for _, expr := range exprs {
			rules = append(rules, rule{"panel", expr})
		}
	}
	slices.SortFunc(rules, func(a, b rule) int { return strings.Compare(a.Expr, b.Expr) })
	rules = slices.Compact(rules) // promtool refuses the same twice
	raw, err := yaml.Marshal(map[string]any{"groups": []map[string]any{{"name": "panels", "rules": rules}}})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "panels.yml")
	require.NoError(t, os.WriteFile(file, raw, 0o600))
	run("check", "rules", "--lint=none", file)
}
