package presence

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func someLeads(nodes ...*node) func() bool {
	return func() bool {
		for _, n := range nodes {
			if n.Lead() {
				return true
			}
		}
		return false
	}
}

func TestRollingRestartIsLed(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	names := []string{"a", "b", "c"}
	nodes := make([]*node, len(names))
	for i, name := range names {
		nodes[i] = startNode(t, srv.Addr(), name)
	}
	ready(t, nodes...)
	for i, name := range names {
		nodes[i].stop()
		rest := append(append([]*node(nil), nodes[:i]...), nodes[i+1:]...)
		within(t, time.Second, "led without "+name, someLeads(rest...))
		nodes[i] = startNode(t, srv.Addr(), name)
		eventually(t, "ready", nodes[i].Ready)
		within(t, time.Second, "led with "+name, someLeads(nodes...))
	}
	ready(t, nodes...)
	eventually(t, "the lowest name leads", nodes[0].Lead)
	eventually(t, "alone", func() bool { return nodes[0].Lead() && !nodes[1].Lead() && !nodes[2].Lead() })
}

// TestAllDieAndStartAgain has nobody see the end of the former ones, of which each looks like a better leader.
func TestAllDieAndStartAgain(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	old := []*node{startNode(t, srv.Addr(), "a"), startNode(t, srv.Addr(), "b")}
	ready(t, old...)
	old[0].enter("u", "client", "r1")
	old[1].enter("v", "client", "r1")
	eventually(t, "connected", old[0].figures(2, 2, 2))
	eventually(t, "no newcomers", func() bool {
		v := old[0].view.Load()
		return v.now-v.nodes[old[1].cfg.Node].Since > old[1].cfg.HeartbeatDead.Milliseconds()
	})
	for _, n := range old {
		n.crash()
	}
	a, b := startNode(t, srv.Addr(), "a"), startNode(t, srv.Addr(), "b")
	within(t, 3*time.Second, "one leads", someLeads(a, b))
	within(t, a.cfg.ReconnectGrace+2*time.Second, "the former are reaped", b.figures(0, 0, 2))
	require.ElementsMatch(t, []string{old[0].cfg.Node, old[1].cfg.Node}, a.told())
}
