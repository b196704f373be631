package presence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Stats are the cluster's figures at one moment.
type Stats struct {
	ConnectedUsers int64            // distinct users
	ByRole         map[string]int64 // distinct users of each configured role
	Connections    int64            // sockets
	Nodes          []NodeInfo       // the live ones, by name
	AsOf           time.Time        // by Redis' clock; zero: never read
}

// NodeInfo is what Stats says of a node.
type NodeInfo struct {
	Identity, Name, Addr, Version string
	Connections                   int64
	LastHeartbeat                 time.Time // by Redis' clock
}

// Stats reads the figures, in one call whose work is O(1) in the sockets and O(n) in the nodes. With an error it returns
// the last figures that were read, AsOf zero if there are none. The result must not be changed.
func (p *Presence) Stats(ctx context.Context) (Stats, error) {
	s, err := p.readStats(ctx)
	if err == nil {
		p.last.Store(&s)
		return s, nil
	}
	if last := p.last.Load(); last != nil {
		return *last, err
	}
	return Stats{}, err
}

func (p *Presence) readStats(ctx context.Context) (Stats, error) {
	names := []string{p.keys.nodes, p.keys.users}
	for _, role := range p.cfg.Roles {
		names = append(names, p.keys.role(role))
	}
	reply, err := statsScript.Run(ctx, p.deps.Redis, names).Slice()
	if err != nil {
		return Stats{}, fmt.Errorf("reading presence: %w", err)
	}
	if len(reply) != 1+len(names) {
		return Stats{}, fmt.Errorf("reading presence: reply of %d elements", len(reply))
	}
	now, ok := reply[0].(int64)
	flat, ok2 := reply[1].([]any)
	if !ok || !ok2 {
		return Stats{}, errors.New("reading presence: reply of an unknown form")
	}
	s := Stats{ByRole: make(map[string]int64, len(p.cfg.Roles)), AsOf: time.UnixMilli(now)}
	s.ConnectedUsers, _ = reply[2].(int64)
	for i, role := range p.cfg.Roles {
		s.ByRole[role], _ = reply[3+i].(int64)
	}
	raw := make(map[string]string, len(flat)/2)
	for i := 0; i+1 < len(flat); i += 2 {
		id, _ := flat[i].(string)
		raw[id], _ = flat[i+1].(string)
	}
	s.Nodes, s.Connections = liveNodes(parseNodes(raw))
	return s, nil
}

func liveNodes(nodes map[string]entry) (infos []NodeInfo, connections int64) {
	for id, e := range nodes {
		if e.Ended != 0 {
			continue
		}
		infos = append(infos, NodeInfo{
			Identity: id, Name: e.Name, Addr: e.Addr, Version: e.Version,
			Connections: e.Connections, LastHeartbeat: time.UnixMilli(e.Beat),
		})
		connections += e.Connections
	}
	slices.SortFunc(infos, func(a, b NodeInfo) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.Identity, b.Identity)
	})
	return infos, connections
}
