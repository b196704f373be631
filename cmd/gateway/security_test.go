package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	quoted     = regexp.MustCompile("`([^`]+)`")
	goTest     = regexp.MustCompile(`^([a-z0-9/]+)\.((?:Test|Fuzz)\w+)$`)
	makeTarget = regexp.MustCompile(`^make ([a-z-]+)$`)
)

// evidence reports whether the tree has what a row of SECURITY.md names: a Go test as dir.TestName, a file of end-to-end
// tests, or a target of the Makefile.
func evidence(t *testing.T, named string) bool {
	t.Helper()
	if m := goTest.FindStringSubmatch(named); m != nil {
		files, err := filepath.Glob(filepath.Join(repoRoot, m[1], "*_test.go"))
		require.NoError(t, err)
		return hasLine(t, files, "func "+m[2]+"(")
	}
	if m := makeTarget.FindStringSubmatch(named); m != nil {
		return hasLine(t, []string{filepath.Join(repoRoot, "Makefile")}, m[1]+":")
	}
	if strings.HasSuffix(named, ".test.mjs") {
		_, err := os.Stat(filepath.Join(repoRoot, named))
		return err == nil
	}
	return false
}

func hasLine(t *testing.T, files []string, prefix string) bool {
	t.Helper()
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if strings.Contains("\n"+string(text), "\n"+prefix) {
			return true
		}
	}
	return false
}

// threats are the rows of the threat model, by asset and threat, each with the tests that it names.
func threats(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repoRoot, "SECURITY.md"))
	require.NoError(t, err)
	rows := map[string][]string{}
	for line := range strings.SplitSeq(string(text), "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if !strings.HasPrefix(line, "| ") || cells[0] == "asset" {
			continue
		}
		require.Len(t, cells, 4, "asset, threat, defence, test: %s", line)
		for _, cell := range cells {
			require.NotEmpty(t, strings.TrimSpace(cell), line)
		}
		var tests []string
		for _, m := range quoted.FindAllStringSubmatch(cells[3], -1) {
			tests = append(tests, m[1])
		}
		rows[cells[0]+": "+cells[1]] = tests
	}
	return rows
}

// The threat model's tests are there. What they show is for whoever changes them to say.
func TestThreatModelNamesTestsThatExist(t *testing.T) {
	rows := threats(t)
	require.Greater(t, len(rows), 30)
	for row, tests := range rows {
		require.NotEmpty(t, tests, row)
		for _, named := range tests {
			require.True(t, evidence(t, named), "%s: there is no %s", row, named)
		}
	}
	for _, wrong := range []string{"node.TestNothing", "nowhere.TestAttacks", "deploy/e2e/none.test.mjs", "make love", "node/auth.TestAttack", "README.md"} {
		require.False(t, evidence(t, wrong), wrong)
	}
}
