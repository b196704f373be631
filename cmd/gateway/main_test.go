package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite the files in testdata, .env.example and the README's table")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// result is what a run of the program left.
type result struct {
	code           int
	stdout, stderr string
}

// gateway runs the program with its own environment and no .env file.
func gateway(t *testing.T, environ []string, stdin string, args ...string) result {
	t.Helper()
	return gatewayFrom(t, environ, strings.NewReader(stdin), args...)
}

func gatewayFrom(t *testing.T, environ []string, stdin io.Reader, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{stdin: stdin, stdout: &stdout, stderr: &stderr, environ: environ}
	env := filepath.Join(t.TempDir(), "none")
	code := a.run(context.Background(), append([]string{"--env-file", env}, args...))
	return result{code, stdout.String(), stderr.String()}
}

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "go test ./cmd/gateway -update rewrites it")
}

func TestExitCodes(t *testing.T) {
	for name, tc := range map[string]struct {
		args   []string
		code   int
		stdout string
		stderr string
	}{
		"help":            {[]string{"--help"}, exitOK, "Commands:", ""},
		"version":         {[]string{"version"}, exitOK, "gateway ", ""},
		"no command":      {nil, exitUsage, "", "gateway --help"},
		"unknown command": {[]string{"fly"}, exitUsage, "", "unexpected argument fly"},
		"unknown flag":    {[]string{"token", "--colour"}, exitUsage, "", "unknown flag --colour"},
		"fault":           {[]string{"serve"}, exitFailure, "", "JWT_SECRET_KEY: is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			r := gateway(t, nil, "", tc.args...)
			require.Equal(t, tc.code, r.code, r.stderr)
			require.Contains(t, r.stdout, tc.stdout)
			require.Contains(t, r.stderr, tc.stderr)
			if tc.stderr == "" {
				require.Empty(t, r.stderr)
			}
		})
	}
}

func TestServeNamesEachFaultOnItsLine(t *testing.T) {
	r := gateway(t, []string{"PORT=http", "JWT_ALGORITHM=none", "CORS_ORIGIN=https://a.example"}, "", "serve")
	require.Equal(t, exitFailure, r.code)
	golden(t, "faults.txt", r.stderr)
}

func TestVersionIsTheLinkers(t *testing.T) {
	version = "v1.2.3"
	defer func() { version = "" }()
	require.Contains(t, gateway(t, nil, "", "version").stdout, "gateway v1.2.3 (go")
}
