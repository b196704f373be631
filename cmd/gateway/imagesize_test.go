package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The image has the certificates and the license too: some 0.25 MB of its 25.
const maxBinary = 24_700_000

// One call of reflect's MethodByName by a name that is not constant makes the linker keep every method: some 12 MB.
func TestTheImagesBinaryIsSmall(t *testing.T) {
	dockerfile, err := os.ReadFile("../../deploy/Dockerfile")
	require.NoError(t, err)
	flags := regexp.MustCompile(`-tags \S+`).FindAllString(string(dockerfile), -1)
	require.NotEmpty(t, flags)
	binary := filepath.Join(t.TempDir(), "gateway")
	args := append([]string{"build", "-trimpath", "-o", binary, "-ldflags=-s -w -dumpdep"}, strings.Fields(strings.Join(flags, " "))...)
	build := exec.CommandContext(t.Context(), "go", append(args, ".")...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	graph, err := build.CombinedOutput()
	require.NoError(t, err)
	for line := range strings.SplitSeq(string(graph), "\n") {
		if strings.HasSuffix(line, "<ReflectMethod>") {
			t.Errorf("it looks for methods by name: %s", line)
		}
	}
	info, err := os.Stat(binary)
	require.NoError(t, err)
	t.Logf("%d bytes", info.Size())
	require.Less(t, info.Size(), int64(maxBinary))
}
