package gossip

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sync/errgroup"
)

const (
	// label keeps other programs' gossip on the same port out.
	label = "teloo-gateway"
	// maxSlowdown is by how much a node that doubts itself stretches its probes.
	maxSlowdown = 4
	// maxTail bounds the wait for memberlist's last probe after shutdown.
	maxTail = 2 * time.Second
	// pings is how often Answers asks before it takes silence for an answer: UDP may lose one.
	pings = 2
)

// ErrStopped says that Run was called a second time, or after Close.
var ErrStopped = errors.New("gossip has been stopped")

// Deps are what the package calls. OnJoin and OnLeave may be nil; they get every other process that joined, and every
// one that left or died (possibly one whose join was too short to be told), in turn from one goroutine. While one is
// blocked, later changes wait, and those that cancel out are dropped.
type Deps struct {
	OnJoin, OnLeave func(Member)
	Log             *slog.Logger
}

// Gossip is this node's part in the cluster. Its methods are safe for concurrent use.
type Gossip struct {
	cfg      Config
	deps     Deps
	log      *slog.Logger
	list     *memberlist.Memberlist
	members  *members
	self     string // own gossip address
	draining atomic.Bool
	announce chan struct{} // holds one signal: metadata changed
	running  atomic.Bool
	reached  atomic.Bool // the last round of seeds reached one
	stopped  atomic.Bool
}

// New starts to listen, and so to answer other nodes; joining them is Run's. A Gossip that is not Run has to be Closed.
func New(cfg Config, deps Deps) (*Gossip, error) {
	return newGossip(cfg, deps, func(t memberlist.NodeAwareTransport) memberlist.NodeAwareTransport { return t })
}

func newGossip(cfg Config, deps Deps, wrap func(memberlist.NodeAwareTransport) memberlist.NodeAwareTransport) (*Gossip, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("gossip configuration: %w", err)
	}
	addrs, err := cfg.addresses()
	if err != nil {
		return nil, err
	}
	g := &Gossip{
		cfg: cfg, deps: deps, log: deps.Log.With("component", "gossip"), members: newMembers(cfg.Identity),
		announce: make(chan struct{}, 1),
	}
	g.draining.Store(cfg.Meta.Draining)
	logger := newLogger(g.log)
	net, err := listen(addrs.bind, addrs.port, logger)
	if err != nil {
		return nil, fmt.Errorf("gossip on %s: %w", cfg.Bind, err)
	}
	addrs.port = net.GetAutoBindPort()
	if addrs.advertisePort == 0 {
		addrs.advertisePort = addrs.port
	}
	g.self = joinHostPort(addrs.advertise, addrs.advertisePort)
	settings, err := g.settings(addrs, wrap(net), logger)
	if err == nil {
		g.list, err = memberlist.Create(settings)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting gossip: %w", err), net.Shutdown())
	}
	return g, nil
}

func (g *Gossip) settings(a addresses, t memberlist.Transport, logger *log.Logger) (*memberlist.Config, error) {
	c := memberlist.DefaultLANConfig()
	c.Name, c.Label, c.Transport, c.Logger = g.cfg.Identity, label, t, logger
	c.BindAddr, c.BindPort = a.bind.String(), a.port
	c.AdvertiseAddr, c.AdvertisePort = a.advertise.String(), a.advertisePort
	c.Delegate, c.Events = ownMeta{g}, g.members
	c.ProbeInterval, c.ProbeTimeout, c.SuspicionMult = g.cfg.ProbeInterval, g.cfg.ProbeTimeout, g.cfg.SuspicionMult
	// Matters from SuspicionMult 3 on, where suspicion lasts longer while few confirm it: six times would be slow.
	c.SuspicionMaxTimeoutMult = 2
	c.AwarenessMaxMultiplier = maxSlowdown
	c.GossipInterval = min(g.cfg.ProbeInterval/2, 100*time.Millisecond)
	c.PushPullInterval, c.TCPTimeout = g.cfg.SyncEvery, g.cfg.StreamTimeout
	if len(g.cfg.Secret) == 0 {
		return c, nil
	}
	key, err := hkdf.Key(sha256.New, g.cfg.Secret, nil, "teloo gateway gossip", 32)
	c.SecretKey = key
	return c, err
}

func joinHostPort(ip net.IP, port int) string {
	return net.JoinHostPort(ip.String(), strconv.Itoa(port))
}

// Addr is what other nodes reach this one at, "ip:port".
func (g *Gossip) Addr() string { return g.self }

// Run joins the seeds, again and again, and calls back until ctx ends; then it leaves, bounded by LeaveTimeout, and
// stops listening. It returns after its children and, as far as they can be waited for, memberlist's goroutines.
func (g *Gossip) Run(ctx context.Context) error {
	if g.stopped.Load() || !g.running.CompareAndSwap(false, true) {
		return ErrStopped
	}
	defer g.running.Store(false)
	var children errgroup.Group
	for _, child := range []func(context.Context){g.keepJoined, g.tell, g.keepAnnounced} {
		children.Go(func() error {
			child(ctx)
			return nil
		})
	}
	_ = children.Wait()
	return g.stop(true)
}

// Close stops listening without a farewell. It is for a Gossip whose Run is never called; after Run it does nothing.
func (g *Gossip) Close() error { return g.stop(false) }

func (g *Gossip) stop(farewell bool) error {
	if !g.stopped.CompareAndSwap(false, true) {
		return nil
	}
	if farewell {
		if err := g.list.Leave(g.cfg.LeaveTimeout); err != nil {
			g.log.Warn("leaving the cluster was not confirmed", "err", err)
		}
	}
	tail := g.probeTail()
	if err := g.list.Shutdown(); err != nil {
		return fmt.Errorf("stopping gossip: %w", err)
	}
	time.Sleep(tail)
	return nil
}

// probeTail is how long a probe that is under way may outlive the shutdown. memberlist offers nothing to wait for.
func (g *Gossip) probeTail() time.Duration {
	if !g.members.any() {
		return 0
	}
	intervals := 1
	if score := g.list.GetHealthScore(); score > 0 {
		// Probes have been failing and running late: another may follow the one under way.
		intervals = 2 * (score + 1)
	}
	return min(g.cfg.ProbeInterval*time.Duration(intervals), maxTail)
}

// tell passes news to the callbacks.
func (g *Gossip) tell(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.members.changed:
		}
		joined, left := g.members.news()
		for _, m := range left {
			g.log.Info("node left", "identity", m.Identity)
			if g.deps.OnLeave != nil {
				g.deps.OnLeave(m)
			}
		}
		for _, m := range joined {
			g.log.Info("node joined", "identity", m.Identity, "addr", m.Addr, "version", m.Version)
			if g.deps.OnJoin != nil {
				g.deps.OnJoin(m)
			}
		}
	}
}

// keepAnnounced tells the cluster of changed metadata.
func (g *Gossip) keepAnnounced(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.announce:
		}
		if err := g.list.UpdateNode(g.cfg.LeaveTimeout); err != nil {
			g.log.Warn("announcing this node's metadata was not confirmed", "err", err)
		}
	}
}

// SetDraining tells the others, soon, that this node takes no new connections, or does again. It does not block.
func (g *Gossip) SetDraining(draining bool) {
	if g.draining.Swap(draining) == draining {
		return
	}
	select {
	case g.announce <- struct{}{}:
	default:
	}
}

func (g *Gossip) meta() Meta {
	m := g.cfg.Meta
	m.Draining = g.draining.Load()
	return m
}

// Members returns the live nodes, this one first.
func (g *Gossip) Members() []Member {
	return append([]Member{{Identity: g.cfg.Identity, Meta: g.meta()}}, g.members.list()...)
}

// Changes counts what others joined, left or said of themselves: while it is the same, Members is but for this node's own
// metadata. It costs nothing to ask.
func (g *Gossip) Changes() uint64 { return g.members.changes.Load() }

// Live counts the live nodes, this one included, so it is at least 1.
func (g *Gossip) Live() int { return g.members.others() + 1 }

// Healthy says whether gossip runs and either needs nobody (no seeds), has others, or reached a seed (perhaps itself)
// when it last tried.
func (g *Gossip) Healthy() bool {
	return g.running.Load() && !g.stopped.Load() && (len(g.cfg.Seeds) == 0 || g.Live() > 1 || g.reached.Load())
}

// Answers pings that very process, which takes up to two ProbeTimeouts when it is silent. known is false when gossip
// can't tell: it has not seen the process in the last minutes, knows no other live node, or is not working.
func (g *Gossip) Answers(ctx context.Context, identity string) (answers, known bool) {
	if identity == g.cfg.Identity {
		return true, true
	}
	addr, seen := g.members.find(identity)
	if !seen || g.stopped.Load() {
		return false, false
	}
	for range pings {
		if ctx.Err() != nil {
			return false, false
		}
		_, err := g.list.Ping(identity, &addr)
		if err == nil {
			return true, true
		}
		if silent := (memberlist.NoPingResponseError{}); !errors.As(err, &silent) {
			return false, false
		}
	}
	// Whoever hears nobody at all may be the one that is cut off.
	return false, g.Live() > 1
}

// Stats are counters since New, but for Live.
type Stats struct {
	Live                   int
	Joins, Leaves, BadMeta uint64
	// Health is 0 when this node keeps up with gossip and up to 3 when it is too slow for it.
	Health int
}

// Stats returns the counters.
func (g *Gossip) Stats() Stats {
	return Stats{
		Live: g.Live(), Joins: g.members.joins.Load(), Leaves: g.members.leaves.Load(),
		BadMeta: g.members.badMeta.Load(), Health: g.list.GetHealthScore(),
	}
}

// ownMeta gives memberlist this node's metadata; user messages are not used.
type ownMeta struct{ g *Gossip }

var _ memberlist.Delegate = ownMeta{}

func (o ownMeta) NodeMeta(int) []byte {
	raw, _ := o.g.meta().encode() // Validate has seen that it fits
	return raw
}
func (ownMeta) NotifyMsg([]byte)                {}
func (ownMeta) GetBroadcasts(int, int) [][]byte { return nil }
func (ownMeta) LocalState(bool) []byte          { return nil }
func (ownMeta) MergeRemoteState([]byte, bool)   {}
