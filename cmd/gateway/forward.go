package main

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/teloo/realtime-gateway/api/metrics"
	"github.com/teloo/realtime-gateway/node"
	"github.com/teloo/realtime-gateway/node/engine"
	"github.com/teloo/realtime-gateway/node/forward"
	"github.com/teloo/realtime-gateway/node/gossip"
)

// forwardConfig is of use with gossip and a CLUSTER_SECRET.
func (c Config) forwardConfig() forward.Config {
	f := forward.DefaultConfig()
	f.Secret = []byte(c.ClusterSecret)
	f.Off = !c.ForwardPolls
	// The longest poll: the client's pong at the last moment, then a whole interval; and time for the answer to come.
	f.AnswerTimeout = c.PingInterval + c.PingTimeout + f.DialTimeout
	f.MaxPayload = int64(c.MaxPayload)
	f.MaxPolls, f.MaxWebSockets = c.WSMaxConnections, c.WSMaxConnections
	return f
}

func (p *parts) buildForward(_ context.Context, log *slog.Logger) (err error) {
	if p.gossip == nil || p.cfg.ClusterSecret == "" {
		return nil // without the secret no node knows another's sessions
	}
	var took func(time.Duration)
	if p.observed != nil {
		took = p.observed.latency.forward.Observe
	}
	p.forward, err = forward.New(p.cfg.forwardConfig(), forward.Deps{
		Next: p.node.Handler(), Sessions: &sessionOwners{node: p.node, members: p.gossip.Members, changes: p.gossip.Changes}, Answer: p.node.AnswerPoll, Took: took, Log: log,
	})
	return err
}

// sessionsHandler serves Engine.IO.
func (p *parts) sessionsHandler() http.Handler {
	if p.forward == nil {
		return p.node.Handler()
	}
	return p.forward
}

// sessionOwners finds the nodes of sessions among the members of the cluster. It is safe for concurrent use.
type sessionOwners struct {
	node    *node.Node
	members func() []gossip.Member
	changes func() uint64 // of members
	known   atomic.Pointer[membersByTag]
}

// membersByTag are the members' addresses as they were at that count of changes.
type membersByTag struct {
	changes   uint64
	addresses map[engine.Tag]string
}

var _ forward.Sessions = (*sessionOwners)(nil)

// Own implements forward.Sessions.
func (s *sessionOwners) Own(sid string) bool { return s.node.OwnSession(sid) }

// Owner implements forward.Sessions.
func (s *sessionOwners) Owner(sid string) (address string, authentic bool) {
	tag, authentic := s.node.SessionOwner(sid)
	if !authentic {
		return "", false
	}
	return s.address(tag), true
}

// address is "" if no member has the tag.
func (s *sessionOwners) address(tag engine.Tag) string {
	changes := s.changes() // before the members, so that what changes between is not missed
	known := s.known.Load()
	if known == nil || known.changes != changes {
		known = &membersByTag{changes: changes, addresses: addressesOf(s.members())}
		s.known.Store(known)
	}
	return known.addresses[tag]
}

// addressesOf returns where members are, by their tags. Of a name's processes the latest counts: the others are dead,
// though that may not be known yet.
func addressesOf(members []gossip.Member) map[engine.Tag]string {
	latest := make(map[string]int64, len(members))
	addresses := make(map[engine.Tag]string, len(members))
	for _, m := range members {
		began := incarnation(m.Identity)
		if last, found := latest[m.Name]; m.Name == "" || found && began <= last {
			continue
		}
		latest[m.Name], addresses[engine.TagOf(m.Name)] = began, m.Addr
	}
	return addresses
}

// incarnation is when the process of an identity, "name:incarnation", began; 0 if it does not say.
func incarnation(identity string) int64 {
	ms, err := strconv.ParseInt(identity[strings.LastIndexByte(identity, ':')+1:], 10, 64)
	if err != nil {
		return 0
	}
	return ms
}

// forwardMetrics are of requests that reach another node than their session's.
var forwardMetrics = []row{
	metrics.CountBy("teloo_forwarded_requests_total", "outcome", "Requests of other nodes' sessions, by what became of them: `answered` by the other node, `unknown` to be any live node's, the node `unreachable`, what listens there `foreign`, or its answer `broken` off, `abandoned` by the client, the node too `busy` with others, or `stopped`", func(f *figures) map[string]uint64 { return f.forwardStats.Forwarded }, forward.Outcomes()...),
	metrics.CountBy("teloo_forwarded_received_total", "verdict", "Requests that say that another node has passed them on: `accepted`, or `stale` or `forged` and not believed", func(f *figures) map[string]uint64 { return f.forwardStats.Received }, forward.Verdicts()...),
	{
		Name: "teloo_forwarding", Kind: metrics.Gauge, Labels: []string{"kind"}, Help: "Requests and WebSockets that go through this node to others",
		Values: func(f *figures, emit emit) {
			emit(float64(f.forwardStats.Polls), "request")
			emit(float64(f.forwardStats.WebSockets), "websocket")
		},
	},
}
