package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	repoRoot    = "../.."
	tableBegins = "<!-- config:begin -->\n"
	tableEnds   = "<!-- config:end -->"
)

// fixed are the variables whose defaults depend on the machine.
var fixed = []string{"NODE_NAME=gateway-0", "ADVERTISE_ADDR=10.0.0.7:8003"}

func TestConfigTable(t *testing.T) {
	r := gateway(t, append(fixed, good("PORT=81", "REDIS_URL=redis://u:hush@h:1/2", "CLUSTER_SEEDS=a", "CLUSTER_SECRET=hush")...), "", "config")
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Empty(t, r.stderr)
	require.NotContains(t, r.stdout, "hush")
	golden(t, "config.txt", r.stdout)
}

func TestConfigShowsFaultsAndTheRest(t *testing.T) {
	r := gateway(t, append(fixed, "PORT=http", "REDIS_URL=http://u:hush@h", "JWT_ALGORITHMS=x", "NODE_NAME=a\nb"), "", "config")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stdout, "http    ")
	require.Contains(t, r.stdout, `"a\nb"`)
	require.NotContains(t, r.stdout+r.stderr, "hush")
	golden(t, "config-faults.txt", r.stderr)
}

func TestConfigJSON(t *testing.T) {
	r := gateway(t, append(fixed, good("PORT=0", "JWT_ALGORITHMS=x", "CLUSTER_SECRET=hush")...), "", "config", "--json")
	require.Equal(t, exitFailure, r.code)
	require.NotContains(t, r.stdout, "hush")
	var got struct {
		Settings []setting   `json:"settings"`
		Faults   ConfigError `json:"faults"`
		Warnings []string    `json:"warnings"`
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &got))
	require.Len(t, got.Settings, len(variables))
	require.Contains(t, got.Settings, setting{Name: "PORT", Value: "0", Source: fromEnv})
	require.Contains(t, got.Settings, setting{Name: "CLUSTER_SECRET", Value: "****** (4 bytes)", Source: fromEnv})
	require.Contains(t, got.Settings, setting{Name: "REDIS_HOST", Value: "localhost", Source: fromDefault})
	require.Equal(t, "PORT", got.Faults[0].Name)
	require.Equal(t, "8003", got.Faults[0].Example)
	require.Len(t, got.Warnings, 1)
}

func TestMasks(t *testing.T) {
	for _, tc := range []struct{ name, raw, want string }{
		{"REDIS_URL", "redis://h:1", "redis://h:1"},
		{"REDIS_URL", "rediss://u:hush@h:1/2", "rediss://u:xxxxx@h:1/2"},
		{"REDIS_URL", "redis://h?password=hush", "****** (23 bytes)"},
		{"REDIS_URL", "hush", "****** (4 bytes)"},
		{"REDIS_URL", "redis://:hu%zz@h", "****** (16 bytes)"},
		{"JWT_JWKS_URL", "https://u:hush@h/k", "https://u:xxxxx@h/k"},
		{"JWT_JWKS_URL", "https://h/k?key=hush", "https://h/k?xxxxx"},
		{"REDIS_ADDRS", "u:hush@h:1,v:hush@i:1", "xxxxx@i:1"},
		{"JWT_SECRET_KEY", "hush", "****** (4 bytes)"},
		{"REDIS_PASSWORD", "", ""},
		{"REDIS_HOST", "h", "h"},
	} {
		v, ok := lookup(tc.name)
		require.True(t, ok)
		require.Equal(t, tc.want, v.shown(tc.raw))
	}
}

// TestReadme keeps the README's table that of the program.
func TestReadme(t *testing.T) {
	r := gateway(t, nil, "", "config", "--markdown")
	require.Equal(t, exitOK, r.code)
	requireInSync(t, filepath.Join(repoRoot, "README.md"), func(readme string) string {
		before, rest, ok := strings.Cut(readme, tableBegins)
		require.True(t, ok, "README.md has no table of variables")
		_, after, ok := strings.Cut(rest, tableEnds)
		require.True(t, ok, "README.md: %s is missing", tableEnds)
		return before + tableBegins + r.stdout + tableEnds + after
	})
}

func TestEnvExample(t *testing.T) {
	r := gateway(t, nil, "", "config", "--example")
	require.Equal(t, exitOK, r.code)
	path := filepath.Join(repoRoot, ".env.example")
	requireInSync(t, path, func(string) string { return r.stdout })
	for _, v := range variables {
		require.Contains(t, r.stdout, "\n#"+v.Name+"=")
	}
	require.Empty(t, readConfig(good(), path).Faults, "a copy of it changes nothing")
}

func requireInSync(t *testing.T, path string, wanted func(current string) string) {
	t.Helper()
	current, err := os.ReadFile(path)
	require.NoError(t, err)
	want := wanted(string(current))
	if *update && want != string(current) {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o644))
		return
	}
	require.Equal(t, want, string(current), "go test ./cmd/gateway -update rewrites it")
}
