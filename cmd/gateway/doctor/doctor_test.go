package doctor

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFindingsComeInOrderAndChecksAreBounded(t *testing.T) {
	first := make(chan struct{})
	var names []string
	Run(t.Context(), []Check{
		{Name: "a", Run: func(ctx context.Context) []Finding {
			<-first // the others run beside it
			return []Finding{ok("1"), {Name: "own", Status: OK}}
		}},
		{Name: "b", Patience: time.Millisecond, Run: func(ctx context.Context) []Finding {
			<-ctx.Done()
			close(first)
			return unknown(context.Cause(ctx))
		}},
	}, func(f Finding) { names = append(names, f.Name) })
	require.Equal(t, []string{"a", "own", "b"}, names)
	f := unknown(errors.New("no way"))[0]
	require.Equal(t, Finding{Status: Warning, Says: "could not be examined: no way", Do: "look at it by hand"}, f)
}

// found runs a check, which has one finding.
func found(t *testing.T, run func(context.Context) []Finding) Finding {
	t.Helper()
	all := run(t.Context())
	require.Len(t, all, 1, "%v", all)
	return all[0]
}

func requireFinding(t *testing.T, f Finding, status Status, says string) {
	t.Helper()
	require.Equal(t, status, f.Status, f.Says)
	require.Contains(t, f.Says, says)
	require.Equal(t, status == OK, f.Do == "", "what to do: %q", f.Do)
}
