package web

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDistIsTheBuildsOutput(t *testing.T) {
	_, err := fs.Stat(Dist, ".keep")
	require.NoError(t, err, "the build must keep the placeholder that lets a clone compile")
}

func TestSubRefusesAMalformedDirectory(t *testing.T) {
	require.Panics(t, func() { sub(fstest.MapFS{}, "../dist") })
}
