package streams

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInspect(t *testing.T) {
	r := newRig(t)
	look := func() Condition {
		t.Helper()
		c, err := Inspect(t.Context(), r.rdb, DefaultConfig().Prefix, "gateway")
		require.NoError(t, err)
		return c
	}
	require.Equal(t, Condition{}, look(), "nothing yet")
	ids := r.publish(5)
	require.Equal(t, Condition{Length: 5}, look(), "no group")
	r.group()
	r.ghostReads("ghost:1", 2)
	r.bury("*", "no_route")
	got := look()
	require.True(t, got.Grouped)
	require.EqualValues(t, 5, got.Length)
	require.EqualValues(t, 3, got.Lag)
	require.EqualValues(t, 2, got.Pending)
	require.EqualValues(t, 1, got.Dead)
	require.Equal(t, ids[0], got.Oldest)
	require.Len(t, got.Consumers, 1)
	require.Equal(t, "ghost:1", got.Consumers[0].Name)
	require.EqualValues(t, 2, got.Consumers[0].Pending)
	require.NoError(t, r.rdb.Set(t.Context(), r.keys.dead, "x", 0).Err())
	_, err := Inspect(t.Context(), r.rdb, DefaultConfig().Prefix, "gateway")
	require.ErrorContains(t, err, "dead letters")
}
