package streams

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTrimmingKeepsUpWithABusyStream(t *testing.T) {
	r := newRig(t)
	r.publish(35_000)
	n := r.start("a:1", func(c *Config, _ *Deps) { c.Batch = 1000 })
	r.eventually("all relayed", func() bool { return n.Stats().Relayed == 35_000 })
	require.NoError(t, n.chores(t.Context()))
	left, err := r.rdb.XLen(t.Context(), r.keys.events).Result()
	require.NoError(t, err)
	require.Less(t, left, int64(200), "one chore trims it all")
}
