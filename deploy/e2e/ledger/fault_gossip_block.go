package main

import (
	"context"
	"fmt"
	"time"
)

// gossipBlock keeps two nodes from hearing each other, while both reach the others and Redis.
type gossipBlock struct {
	wrong []string // what /stats said that is not so
}

func (*gossipBlock) about() about {
	return about{
		name: "gossip-block", text: "gossip between two nodes dropped, UDP and TCP, for 30 s",
		stayConnected: true, relay: true,
	}
}

func (g *gossipBlock) inject(ctx context.Context, s *scene) error {
	g.wrong = nil
	want := s.world.stats(len(s.nodes))
	s.mark("gossip blocked")
	s.relay.block(0, 1, true)
	blocked, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	asked := 0
	for pause(blocked, 500*time.Millisecond) == nil {
		for _, n := range s.nodes {
			got, err := n.stats(ctx)
			if err != nil {
				return err
			}
			asked++
			if wrong := want.differs(got); wrong != "" {
				g.wrong = append(g.wrong, n.name+": "+wrong)
			}
		}
	}
	s.relay.block(0, 1, false)
	if err := ctx.Err(); err != nil {
		return err
	}
	s.notef("/stats asked %d times while blocked, %d wrong; %d packets and streams dropped", asked, len(g.wrong), s.relay.drops())
	return s.well(ctx)
}

func (g *gossipBlock) check(_ context.Context, s *scene, _ *result) []string {
	wrong := g.wrong[:min(len(g.wrong), maxRemarks)]
	if s.relay.drops() == 0 {
		wrong = append(wrong, "nothing was dropped: the two nodes had nothing to say to each other")
	}
	return wrong
}

// stats are the figures of a cluster to which everybody is connected.
func (w *world) stats(nodes int) stats {
	users := map[string]map[string]bool{"": {}, "admin": {}, "advisor": {}, "client": {}}
	for _, p := range w.people {
		users[""][p.user] = true
		users[roleRooms[p.role]][p.user] = true
	}
	s := stats{
		ConnectedUsers: len(users[""]), AdminsConnected: len(users["admin"]), AdvisorsConnected: len(users["advisor"]),
		ClientsConnected: len(users["client"]), Connections: len(w.people),
	}
	s.Nodes = append(s.Nodes, make([]nodeStats, nodes)...)
	return s
}

func (s stats) differs(got stats) string {
	figures := func(s stats) [6]int {
		return [...]int{
			s.ConnectedUsers, s.AdminsConnected, s.AdvisorsConnected, s.ClientsConnected, s.Connections, len(s.Nodes),
		}
	}
	if a, b := figures(s), figures(got); a != b {
		return fmt.Sprintf("/stats says %v, not %v (users, admins, advisors, clients, connections, nodes)", b, a)
	}
	return ""
}
