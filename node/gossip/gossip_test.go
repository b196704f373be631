package gossip

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 30 * time.Second
	tick     = 5 * time.Millisecond
)

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) has(s string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Contains(b.buf.String(), s)
}

func (b *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// network cuts nodes off from all others, both ways.
type network struct {
	mu  sync.Mutex
	cut map[string]bool // by gossip address, under mu
}

func (n *network) set(addr string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut == nil {
		n.cut = map[string]bool{}
	}
	n.cut[addr] = cut
}

func (n *network) apart(a, b string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cut[a] != n.cut[b]
}

type link struct {
	memberlist.NodeAwareTransport
	net  *network
	self atomic.Value
}

var errCut = errors.New("cut off")

func (l *link) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if l.net.apart(l.self.Load().(string), a.Addr) {
		return time.Now(), nil
	}
	return l.NodeAwareTransport.WriteToAddress(b, a)
}

func (l *link) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if l.net.apart(l.self.Load().(string), a.Addr) {
		return nil, errCut
	}
	return l.NodeAwareTransport.DialAddressTimeout(a, timeout)
}

// node is a Gossip that runs, with what it called back.
type node struct {
	*Gossip
	t      testing.TB
	log    logBuffer
	end    context.CancelFunc
	done   chan error
	mu     sync.Mutex
	joined []string // under mu
	left   []string // under mu
	ended  atomic.Bool
}

type options struct {
	bind, secret string
	seeds        []string
	net          *network
	change       func(*Config)
}

func start(t testing.TB, identity string, o options) *node {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Bind, cfg.Identity, cfg.Seeds, cfg.Secret = "127.0.0.1:0", identity, o.seeds, []byte(o.secret)
	name, _, _ := strings.Cut(identity, ":")
	cfg.Meta = Meta{Name: name, Addr: name + ":8003", Version: "1"}
	cfg.JoinEvery, cfg.RejoinEvery = 50*time.Millisecond, 200*time.Millisecond
	if o.bind != "" {
		cfg.Bind = o.bind
	}
	if o.change != nil {
		o.change(&cfg)
	}
	n := &node{t: t, done: make(chan error, 1)}
	deps := Deps{Log: n.log.logger(), OnJoin: n.note(&n.joined), OnLeave: n.note(&n.left)}
	wrap := func(inner memberlist.NodeAwareTransport) memberlist.NodeAwareTransport { return inner }
	var l *link
	if o.net != nil {
		wrap = func(inner memberlist.NodeAwareTransport) memberlist.NodeAwareTransport {
			l = &link{NodeAwareTransport: inner, net: o.net}
			l.self.Store("")
			return l
		}
	}
	g, err := newGossip(cfg, deps, wrap)
	require.NoError(t, err)
	if l != nil {
		l.self.Store(g.Addr())
	}
	n.Gossip = g
	ctx, cancel := context.WithCancel(context.Background())
	n.end = cancel
	go func() { n.done <- g.Run(ctx) }()
	t.Cleanup(n.stop)
	return n
}

func (n *node) note(into *[]string) func(Member) {
	return func(m Member) {
		n.mu.Lock()
		defer n.mu.Unlock()
		*into = append(*into, m.Identity)
	}
}

// stop lets the node leave. It is safe to call twice.
func (n *node) stop() {
	if n.ended.Swap(true) {
		return
	}
	n.end()
	require.NoError(n.t, <-n.done)
}

// kill ends the node without a word, as a killed process would.
func (n *node) kill() {
	require.NoError(n.t, n.Close())
	n.stop()
}

func (n *node) saw(which *[]string, identity string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(*which, identity)
}

func eventually(t testing.TB, condition func() bool, why string) time.Duration {
	t.Helper()
	begin := time.Now()
	require.Eventually(t, condition, patience, tick, why)
	return time.Since(begin)
}

// cluster starts n nodes that know one another; all have the first for a seed, and the first has the second.
func cluster(t testing.TB, o options, identities ...string) []*node {
	t.Helper()
	first := start(t, identities[0], o)
	nodes := []*node{first}
	o.seeds = []string{first.Addr()}
	for _, identity := range identities[1:] {
		nodes = append(nodes, start(t, identity, o))
	}
	// All at once, so that they need not be waited for in turn.
	t.Cleanup(func() {
		for _, n := range nodes {
			n.end()
		}
	})
	together(t, nodes...)
	return nodes
}

func together(t testing.TB, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		eventually(t, func() bool { return n.Live() == len(nodes) }, "all know all")
	}
}

func TestAlone(t *testing.T) {
	n := start(t, "a:1", options{})
	eventually(t, n.Healthy, "a node without seeds is healthy")
	require.Equal(t, 1, n.Live())
	require.Equal(t, []Member{{Identity: "a:1", Meta: Meta{Name: "a", Addr: "a:8003", Version: "1"}}}, n.Members())
	answers, known := n.Answers(t.Context(), "a:1")
	require.True(t, answers && known)
	answers, known = n.Answers(t.Context(), "b:1")
	require.False(t, answers || known)
	n.SetDraining(true)
	require.True(t, n.Members()[0].Draining)
	n.stop()
	require.False(t, n.Healthy())
	require.ErrorIs(t, n.Run(t.Context()), ErrStopped)
}

func TestJoinAndLeave(t *testing.T) {
	nodes := cluster(t, options{secret: "one secret"}, "a:1", "b:1", "c:1")
	a, b, c := nodes[0], nodes[1], nodes[2]
	eventually(t, func() bool { return a.saw(&a.joined, "b:1") && a.saw(&a.joined, "c:1") }, "joins are told")
	require.False(t, a.saw(&a.joined, "a:1"), "of others only")
	for _, m := range c.Members() {
		name, _, _ := strings.Cut(m.Identity, ":")
		require.Equal(t, Meta{Name: name, Addr: name + ":8003", Version: "1"}, m.Meta)
	}
	for _, n := range nodes {
		eventually(t, n.Healthy, "healthy")
		for _, id := range []string{"a:1", "b:1", "c:1"} {
			answers, known := n.Answers(t.Context(), id)
			require.True(t, answers && known, id)
		}
	}
	b.stop()
	eventually(t, func() bool { return a.saw(&a.left, "b:1") && c.saw(&c.left, "b:1") }, "a farewell is told")
	require.Equal(t, 2, a.Live())
	answers, known := a.Answers(t.Context(), "b:1")
	require.False(t, answers)
	require.True(t, known)
	stats := a.Stats()
	require.EqualValues(t, 2, stats.Joins)
	require.EqualValues(t, 1, stats.Leaves)
	require.Equal(t, 2, stats.Live)
}

func TestDeathIsDetected(t *testing.T) {
	nodes := cluster(t, options{}, "a:1", "b:1", "c:1")
	a, b, c := nodes[0], nodes[1], nodes[2]
	require.NoError(t, b.list.Shutdown())
	answers, known := a.Answers(t.Context(), "b:1")
	require.False(t, answers, "a ping tells at once")
	require.True(t, known)
	took := eventually(t, func() bool { return a.saw(&a.left, "b:1") && c.saw(&c.left, "b:1") }, "death is told")
	t.Logf("a death was told after %s", took.Round(10*time.Millisecond))
	require.Less(t, took, 10*time.Second)
	b.kill()

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, known = a.Answers(canceled, "b:1")
	require.False(t, known)
}

func TestRestartIsAnotherProcess(t *testing.T) {
	nodes := cluster(t, options{}, "a:1", "b:1", "c:1")
	a, b, c := nodes[0], nodes[1], nodes[2]
	b.kill()
	again := start(t, "b:2", options{bind: b.Addr(), seeds: []string{a.Addr()}})
	for _, n := range []*node{a, c} {
		eventually(t, func() bool { return n.saw(&n.left, "b:1") && n.saw(&n.joined, "b:2") }, "one ended, one came")
	}
	together(t, a, c, again)
	answers, known := a.Answers(t.Context(), "b:1")
	require.False(t, answers, "its successor at the same address does not answer for it")
	require.True(t, known)
	answers, known = a.Answers(t.Context(), "b:2")
	require.True(t, answers && known)
	answers, known = a.Answers(t.Context(), "b:3")
	require.False(t, answers || known)
}

// The seed itself restarts and knows nobody: the others find it.
func TestSeedRestarts(t *testing.T) {
	nodes := cluster(t, options{}, "a:1", "b:1", "c:1")
	nodes[0].kill()
	again := start(t, "a:2", options{bind: nodes[0].Addr()})
	together(t, again, nodes[1], nodes[2])
}

func TestStrangersStayStrangers(t *testing.T) {
	a := start(t, "a:1", options{secret: "one secret"})
	for _, secret := range []string{"another secret", ""} {
		b := start(t, "b:1", options{secret: secret, seeds: []string{a.Addr()}})
		eventually(t, func() bool { return b.log.has("no seed answers") }, "refused")
		require.Equal(t, 1, a.Live())
		require.Equal(t, 1, b.Live())
		require.False(t, b.Healthy())
		b.stop()
	}
	friend := start(t, "c:1", options{secret: "one secret", seeds: []string{a.Addr()}})
	together(t, a, friend)
}

func TestDrainingSpreads(t *testing.T) {
	nodes := cluster(t, options{}, "a:1", "b:1", "c:1")
	sees := func(draining bool) func() bool {
		return func() bool {
			for _, n := range nodes {
				for _, m := range n.Members() {
					if m.Draining != (draining && m.Identity == "b:1") {
						return false
					}
				}
			}
			return true
		}
	}
	nodes[1].SetDraining(true)
	nodes[1].SetDraining(true)
	eventually(t, sees(true), "draining is known")
	nodes[1].SetDraining(false)
	eventually(t, sees(false), "and its end")
	require.Empty(t, nodes[0].left)
}

func TestPartitionHeals(t *testing.T) {
	var net network
	nodes := cluster(t, options{net: &net}, "a:1", "b:1", "c:1", "d:1")
	for _, n := range nodes[2:] {
		net.set(n.Addr(), true)
	}
	for _, n := range nodes {
		eventually(t, func() bool { return n.Live() == 2 }, "each side knows its own")
	}
	answers, known := nodes[0].Answers(t.Context(), "c:1")
	require.False(t, answers)
	require.True(t, known)
	for _, n := range nodes[2:] {
		net.set(n.Addr(), false)
	}
	together(t, nodes...)
	for _, n := range nodes {
		eventually(t, func() bool { return n.Stats().Joins == 5 }, "joins are told again")
	}
}

// A node that hears nobody cannot tell whether it is the others that are gone.
func TestCutOffCannotTell(t *testing.T) {
	var net network
	nodes := cluster(t, options{net: &net}, "a:1", "b:1", "c:1")
	net.set(nodes[0].Addr(), true)
	eventually(t, func() bool { return nodes[0].Live() == 1 }, "cut off")
	_, known := nodes[0].Answers(t.Context(), "b:1")
	require.False(t, known)
	answers, known := nodes[1].Answers(t.Context(), "a:1")
	require.False(t, answers)
	require.True(t, known)
}

func TestSeedsComeLater(t *testing.T) {
	first := start(t, "a:1", options{})
	bind := first.Addr()
	first.stop()
	b := start(t, "b:1", options{seeds: []string{"nowhere.invalid:1", bind}})
	eventually(t, func() bool { return b.log.has("no seed answers") }, "warned")
	require.False(t, b.Healthy())
	a := start(t, "a:2", options{bind: bind})
	together(t, a, b)
	eventually(t, func() bool { return b.Healthy() && b.log.has("seeds answer again") }, "healthy again")
}

func TestOwnAddressIsASeed(t *testing.T) {
	port := start(t, "x:1", options{})
	bind := port.Addr()
	port.stop()
	n := start(t, "a:1", options{bind: bind, seeds: []string{bind}})
	eventually(t, n.Healthy, "a lone node that finds itself is healthy")
	require.Equal(t, 1, n.Live())
}

func TestSeedsByName(t *testing.T) {
	a := start(t, "a:1", options{})
	_, port, err := net.SplitHostPort(a.Addr())
	require.NoError(t, err)
	b := start(t, "b:1", options{seeds: []string{"localhost:" + port}})
	together(t, a, b)
}

func TestSlowListener(t *testing.T) {
	a := start(t, "a:1", options{})
	hold := make(chan struct{})
	var joins, leaves atomic.Int64
	cfg := DefaultConfig()
	cfg.Bind, cfg.Identity, cfg.Seeds, cfg.JoinEvery = "127.0.0.1:0", "slow:1", []string{a.Addr()}, 50*time.Millisecond
	slow, err := New(cfg, Deps{Log: slog.New(slog.DiscardHandler), OnJoin: func(Member) {
		joins.Add(1)
		<-hold
	}, OnLeave: func(Member) { leaves.Add(1) }})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- slow.Run(ctx) }()
	eventually(t, func() bool { return joins.Load() == 1 }, "a listener blocks")
	b := start(t, "b:1", options{seeds: []string{a.Addr()}})
	eventually(t, func() bool { return slow.Live() == 3 }, "gossip does not wait for it")
	b.stop()
	eventually(t, func() bool { return slow.Live() == 2 }, "nor here")
	close(hold)
	eventually(t, func() bool { return leaves.Load() == 1 }, "who came and went has left")
	require.EqualValues(t, 1, joins.Load())
	cancel()
	require.NoError(t, <-done)
}

func TestCloseWithoutRun(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Bind, cfg.Identity = "127.0.0.1:0", "a:1"
	g, err := New(cfg, Deps{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.NoError(t, g.Close())
	require.NoError(t, g.Close())
	require.ErrorIs(t, g.Run(t.Context()), ErrStopped)
	_, known := g.Answers(t.Context(), "b:1")
	require.False(t, known)
}

func TestPortTaken(t *testing.T) {
	n := start(t, "a:1", options{})
	cfg := DefaultConfig()
	cfg.Bind, cfg.Identity = n.Addr(), "b:1"
	_, err := New(cfg, Deps{Log: slog.New(slog.DiscardHandler)})
	require.ErrorContains(t, err, n.Addr())
}
