package compose

import (
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
