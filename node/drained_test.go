package node

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A socket whose client has left by itself was not closed for draining.
func TestDrainedAreThoseThatWereSentAway(t *testing.T) {
	const sockets = 16
	r := newRig(t, func(c *Config, _ *Deps) { c.DrainWindow = time.Minute })
	var clients []*client
	for range sockets {
		c, _ := r.connect("advisor:a")
		clients = append(clients, c)
	}
	done := make(chan error, 1)
	go func() { done <- r.Drain(t.Context()) }()
	r.eventually("begun", func() bool { return r.Stats().Drained > 0 })
	for _, c := range clients {
		c.close()
	}
	require.NoError(t, <-done)
	require.Less(t, r.Stats().Drained, uint64(sockets))
}
