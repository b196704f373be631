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

// Of a log without an aged entry Redis would look at all there are for the newest of those, with each commit.
func TestYoungLogIsNotSearched(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.rdb.ConfigResetStat(t.Context()).Err())
	r.publish(1000)
	n := r.start("a:1", func(*Config, *Deps) {})
	r.eventually("all relayed", func() bool { return n.Stats().Relayed == 1000 })
	stats, err := r.rdb.Info(t.Context(), "commandstats").Result()
	require.NoError(t, err)
	require.Contains(t, stats, "cmdstat_xrange:", "its oldest is looked at")
	require.NotContains(t, stats, "cmdstat_xrevrange:")
}
