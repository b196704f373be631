package compose

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type service struct {
	Environment map[string]string
	Ports       []string
	Profiles    []string
	Command     []string
	Grace       string `yaml:"stop_grace_period"`
	ReadOnly    bool   `yaml:"read_only"`
	Volumes     []string
}

func services(t *testing.T) map[string]service {
	t.Helper()
	text, err := os.ReadFile("../../docker-compose.yml")
	require.NoError(t, err)
	var file struct {
		Services map[string]service `yaml:"services"`
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	return file.Services
}

func TestComposeFile(t *testing.T) {
	text, err := os.ReadFile("../../.env.example")
	require.NoError(t, err)
	known := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^#?([A-Z_]+)=`).FindAllStringSubmatch(string(text), -1) {
		known[found[1]] = true
	}
	all := services(t)
	for name, s := range all {
		for _, port := range s.Ports {
			require.True(t, strings.HasPrefix(port, "127.0.0.1:"), "%s: the demo page lets anybody in: %s", name, port)
		}
		for variable := range s.Environment {
			require.True(t, known[variable] || name == "grafana", "%s sets %s", name, variable)
		}
	}
	for i := range 3 {
		node := all[fmt.Sprintf("gateway-%d", i+1)]
		require.True(t, node.ReadOnly)
		require.Equal(t, fmt.Sprintf("gateway-%d", i+1), node.Environment["NODE_NAME"], "HAProxy's configuration has that name")
		grace, err := time.ParseDuration(node.Grace)
		require.NoError(t, err)
		shutdown, err := time.ParseDuration(node.Environment["SHUTDOWN_TIMEOUT"])
		require.NoError(t, err)
		require.Greater(t, grace, shutdown)
	}
	require.Contains(t, strings.Join(all["redis"].Command, " "), "--appendfsync always")
	require.Equal(t, []string{"demo"}, all["flow"].Profiles)
	require.Equal(t, []string{"monitoring"}, all["prometheus"].Profiles)
	require.Equal(t, []string{"monitoring"}, all["grafana"].Profiles)
}

// TestGrafanasFiles: what Grafana reads at its start is where it looks, and names what there is.
func TestGrafanasFiles(t *testing.T) {
	all := services(t)
	mounted := map[string]string{} // by path in the container, this repository's
	for _, volume := range all["grafana"].Volumes {
		parts := strings.Split(volume, ":")
		require.Len(t, parts, 3, volume)
		require.Equal(t, "ro", parts[2], volume)
		mounted[parts[1]] = path.Join("../..", parts[0])
	}
	provisioning := mounted["/etc/grafana/provisioning"]
	require.NotEmpty(t, provisioning, "where the image looks")

	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Type, URL, Access string
			IsDefault         bool `yaml:"isDefault"`
		}
	}
	read(t, path.Join(provisioning, "datasources/prometheus.yml"), &sources)
	require.Equal(t, 1, sources.APIVersion)
	require.Len(t, sources.Datasources, 1)
	source := sources.Datasources[0]
	require.Equal(t, "prometheus", source.Type, "what the dashboard's variable asks for")
	require.Equal(t, "proxy", source.Access, "the browser does not know the network's names")
	require.True(t, source.IsDefault)
	server, port, found := strings.Cut(strings.TrimPrefix(source.URL, "http://"), ":")
	require.True(t, found, source.URL)
	require.Contains(t, all, server)
	require.Truef(t, strings.HasSuffix(all[server].Ports[0], ":"+port), "%s: port %s", source.URL, port)

	var boards struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Type    string
			Options struct{ Path string }
		}
	}
	read(t, path.Join(provisioning, "dashboards/gateway.yml"), &boards)
	require.Equal(t, 1, boards.APIVersion)
	require.Len(t, boards.Providers, 1)
	require.Equal(t, "file", boards.Providers[0].Type)
	home := all["grafana"].Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
	require.Equal(t, boards.Providers[0].Options.Path, path.Dir(home))
	text, err := os.ReadFile(mounted[home])
	require.NoError(t, err)
	var board struct {
		UID        string `json:"uid"`
		Panels     []any  `json:"panels"`
		Templating struct {
			List []struct{ Name, Type string }
		} `json:"templating"`
	}
	require.NoError(t, json.Unmarshal(text, &board))
	require.NotEmpty(t, board.UID)
	require.NotEmpty(t, board.Panels)
	require.Contains(t, board.Templating.List, struct{ Name, Type string }{"datasource", "datasource"})
}

// TestPrometheusFiles: its three targets are the nodes, and its rules' file is mounted.
func TestPrometheusFiles(t *testing.T) {
	var config struct {
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	read(t, "prometheus.yml", &config)
	all := services(t)
	for _, target := range config.ScrapeConfigs[0].StaticConfigs[0].Targets {
		name, port, _ := strings.Cut(target, ":")
		require.Equal(t, port, all[name].Environment["METRICS_PORT"], target)
	}
	require.Len(t, config.ScrapeConfigs[0].StaticConfigs[0].Targets, 3)
	require.Len(t, config.RuleFiles, 1)
	require.Contains(t, all["prometheus"].Volumes, "./deploy/monitoring/alerts.yml:"+config.RuleFiles[0]+":ro")
}

func read(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, into), name)
}

// TestBuildStagesAreNative: for another machine's image BuildKit would else emulate that machine to compile on it.
func TestBuildStagesAreNative(t *testing.T) {
	text, err := os.ReadFile("../Dockerfile")
	require.NoError(t, err)
	stages := regexp.MustCompile(`(?m)^FROM (.*)$`).FindAllStringSubmatch(string(text), -1)
	require.Len(t, stages, 3)
	for _, stage := range stages[:2] {
		require.True(t, strings.HasPrefix(stage[1], "--platform=${BUILDPLATFORM:-linux/amd64} "), stage[1])
	}
	require.Equal(t, "${RUNTIME_IMAGE}", stages[2][1], "of the machine that it is for")
}

// TestBuildContextHasEveryPackage: .dockerignore names what is let in, so a new package has to be added there.
func TestBuildContextHasEveryPackage(t *testing.T) {
	text, err := os.ReadFile("../../.dockerignore")
	require.NoError(t, err)
	var allowed []string
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok {
			allowed = append(allowed, name)
		}
	}
	const module = "github.com/teloo/realtime-gateway/"
	out, err := exec.Command("go", "list", "-deps", module+"cmd/gateway").Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(out)) {
		dir, ours := strings.CutPrefix(strings.TrimSpace(line), module)
		if !ours {
			continue
		}
		found := false
		for up := dir; up != "."; up = path.Dir(up) {
			for _, name := range allowed {
				found = found || name == up
			}
		}
		require.True(t, found, "%s is not in the image's build context", dir)
	}
}
