package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/presence"
	"github.com/teloo/realtime-gateway/streams"
)

// state is a cluster as a test makes it up.
type state struct {
	condition streams.Condition
	nodes     []presence.NodeInfo
	clock     time.Duration // Redis' is ahead of ours by that
	err       error
}

func (s *state) cluster() *Cluster {
	return &Cluster{
		Presence:  func(context.Context) (presence.Stats, error) { return presence.Stats{Nodes: s.nodes}, s.err },
		Condition: func(context.Context) (streams.Condition, error) { return s.condition, s.err },
		Time:      func(context.Context) (time.Time, error) { return time.Now().Add(s.clock), s.err },
	}
}

// aged is an entry's id of so long ago.
func aged(ago time.Duration) string { return fmt.Sprintf("%d-0", time.Now().Add(-ago).UnixMilli()) }

func TestStreamLag(t *testing.T) {
	for name, tc := range map[string]struct {
		condition streams.Condition
		status    Status
		says      string
	}{
		"none yet": {streams.Condition{Length: 7}, Warning, "it has 7 entries"},
		"well":     {streams.Condition{Grouped: true, Lag: 3}, OK, "3 entries are not read, 0 not settled"},
		"unknown":  {streams.Condition{Grouped: true, Lag: -1}, OK, "an unknown number of"},
		"young":    {streams.Condition{Grouped: true, Pending: 1, Oldest: aged(time.Second)}, OK, "1 not settled"},
		"late":     {streams.Condition{Grouped: true, Pending: 1, Oldest: aged(8 * time.Second)}, Warning, "8"},
		"stuck":    {streams.Condition{Grouped: true, Pending: 1, Oldest: aged(time.Minute)}, Failure, "1m0"},
		"behind":   {streams.Condition{Grouped: true, Lag: 20_000}, Warning, "20000"},
	} {
		t.Run(name, func(t *testing.T) {
			requireFinding(t, found(t, (&state{condition: tc.condition}).cluster().stream), tc.status, tc.says)
		})
	}
}

func TestOrphanConsumers(t *testing.T) {
	live := []presence.NodeInfo{{Identity: "a:1", Name: "a"}}
	consumer := func(name string, pending int64, idle time.Duration) streams.Condition {
		return streams.Condition{Grouped: true, Consumers: []streams.ConsumerInfo{{Name: name, Pending: pending, Idle: idle}}}
	}
	for name, tc := range map[string]struct {
		state  state
		status Status
	}{
		"live":           {state{condition: consumer("a:1", 5, time.Hour), nodes: live}, OK},
		"just gone":      {state{condition: consumer("b:1", 5, time.Second), nodes: live}, OK},
		"gone":           {state{condition: consumer("b:1", 0, time.Hour), nodes: live}, Warning},
		"gone and holds": {state{condition: consumer("b:1", 5, time.Hour), nodes: live}, Failure},
		"all gone":       {state{condition: consumer("b:1", 5, time.Hour)}, Warning},
	} {
		t.Run(name, func(t *testing.T) {
			f := found(t, tc.state.cluster().consumers)
			require.Equal(t, tc.status, f.Status, f.Says)
			require.Equal(t, tc.status != OK, strings.Contains(f.Says, "b:1"))
		})
	}
	require.Equal(t, "a, b, c, d, e and 2 more", some(strings.Split("abcdefg", "")))
}

func TestDeadLettersAreTold(t *testing.T) {
	requireFinding(t, found(t, (&state{}).cluster().dead), OK, "none")
	requireFinding(t, found(t, (&state{condition: streams.Condition{Dead: 4}}).cluster().dead), Warning, "4")
}

// nodeServer answers as a node whose clock is off.
func nodeServer(t *testing.T, status int, off time.Duration) presence.NodeInfo {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health/ready" {
			status = http.StatusTeapot
		}
		w.Header().Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	return presence.NodeInfo{Name: fmt.Sprint("n", status), Addr: s.Listener.Addr().String(), Version: "v1"}
}

func TestNodesAreAsked(t *testing.T) {
	requireFinding(t, found(t, (&state{}).cluster().nodes), Failure, "no node is running")
	other := nodeServer(t, 404, 0)
	other.Version = "v2"
	s := &state{nodes: []presence.NodeInfo{nodeServer(t, 200, 0), nodeServer(t, 503, 0), other, {Name: "lost", Addr: "127.0.0.1:1", Version: "v1"}}}
	got := s.cluster().nodes(t.Context())
	require.Len(t, got, 5)
	requireFinding(t, got[0], OK, "is ready")
	require.Equal(t, "node n200", got[0].Name)
	requireFinding(t, got[1], Failure, "is not ready")
	requireFinding(t, got[2], Warning, "answers 404")
	requireFinding(t, got[3], Warning, "does not answer")
	requireFinding(t, got[4], Warning, "2 different versions")
	got = (&state{nodes: s.nodes[:1]}).cluster().nodes(t.Context())
	requireFinding(t, got[1], OK, "1 live, version v1")
}

func TestClocksAreCompared(t *testing.T) {
	requireFinding(t, found(t, (&state{}).cluster().clocks), OK, "this machine's")
	for ahead, want := range map[time.Duration]Status{
		time.Second: OK, -5 * time.Second: Warning, 5 * time.Second: Warning, -time.Minute: Failure, time.Minute: Failure,
	} {
		f := found(t, (&state{clock: ahead}).cluster().clocks)
		require.Equal(t, want, f.Status, f.Says)
	}
	s := &state{nodes: []presence.NodeInfo{nodeServer(t, 200, 0), nodeServer(t, 201, 5*time.Second), nodeServer(t, 202, -time.Minute), {Addr: "127.0.0.1:1"}}}
	got := s.cluster().clocks(t.Context())
	require.Len(t, got, 3)
	requireFinding(t, got[1], Warning, "n201's is off Redis'")
	requireFinding(t, got[2], Failure, "n202's is off Redis'")
	// With Redis' clock off, all nodes are that agree with ours.
	s = &state{nodes: s.nodes[:1], clock: time.Minute}
	got = s.cluster().clocks(t.Context())
	require.Len(t, got, 2)
	requireFinding(t, got[1], Failure, "n200's")
}

func TestGossipIsReached(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	_, open, _ := net.SplitHostPort(l.Addr().String())
	two := &state{nodes: []presence.NodeInfo{{Addr: "127.0.0.1:80"}, {Addr: "127.0.0.1:81"}}}
	requireFinding(t, found(t, two.cluster().gossip), Warning, "there is none")
	requireFinding(t, found(t, (&state{nodes: two.nodes[:1]}).cluster().gossip), OK, "not in use")
	with := func(port string, seeds ...string) func(context.Context) []Finding {
		c := two.cluster()
		c.GossipPort, c.Seeds = port, seeds
		return c.gossip
	}
	requireFinding(t, found(t, with(open)), OK, "1 addresses reached")
	requireFinding(t, found(t, with(open, "127.0.0.1:1")), Warning, "not reached by TCP: 127.0.0.1:1")
	requireFinding(t, found(t, with("1")), Failure, "not reached by TCP: 127.0.0.1:1")
}

func TestClusterThatCannotBeRead(t *testing.T) {
	s := &state{err: errors.New("no Redis")}
	for _, c := range s.cluster().Checks() {
		requireFinding(t, found(t, c.Run), Warning, "could not be examined: no Redis")
	}
}
