package main

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"
)

const (
	stormClients = 5000
	// Redis commands that a recovering client may cost.
	stormCommands = 5
	// The last client has to be back by then.
	stormBack = 5 * time.Second
	// What returns cost Redis is not all done when the last client is served: presence is written in batches.
	stormAfter = time.Second
)

// storm is a load balancer that restarts: everybody is dropped at once and comes back within 5 s.
type storm struct {
	commands int   // that Redis ran meanwhile, those of scripts included
	back     int64 // ms until the last client was back
}

func (*storm) about() about {
	return about{
		name: "storm",
		text: "5,000 clients, light ones in Go instead of the official ones, dropped at once and back within 5 s, " +
			"at under 5 Redis commands each",
		allRecovered: true, clients: stormClients, light: true,
		load: load{rate: 2, pulse: 3 * time.Second},
		// The stock client's back-off, spread over 4 s.
		options: map[string]any{"reconnectionDelay": 2000, "reconnectionDelayMax": 4000, "randomizationFactor": 1},
	}
}

func (st *storm) inject(ctx context.Context, s *scene) error {
	if err := s.redis.direct.ConfigResetStat(ctx).Err(); err != nil {
		return err
	}
	s.mark("everybody dropped")
	dropped := time.Now().UnixMilli()
	s.fleet.drop()
	gone := func() error {
		if away := s.fleet.away(); away < stormClients/2 {
			return fmt.Errorf("%w: only %d noticed", errUnwell, away)
		}
		return nil
	}
	if err := until(ctx, "clients notice", 10*time.Second, gone); err != nil {
		return err
	}
	if err := s.back(ctx, backBound); err != nil {
		return err
	}
	if err := pause(ctx, stormAfter); err != nil {
		return err
	}
	st.served(s, dropped)
	return st.counted(ctx, s)
}

// served notes how long the clients were away.
func (st *storm) served(s *scene, dropped int64) {
	var each []int64
	refusals := map[string]int{}
	s.fleet.look(func(records []*record) {
		for _, c := range records {
			each = append(each, c.sessions[len(c.sessions)-1].ready-dropped)
			for _, why := range c.refusals {
				refusals[why]++
			}
		}
	})
	slices.Sort(each)
	st.back = each[len(each)-1]
	s.notef("half were back after %d ms, 90 %% after %d, all after %d; refused: %v", each[len(each)/2],
		each[len(each)*9/10], st.back, refusals)
}

// counted notes what Redis has run.
func (st *storm) counted(ctx context.Context, s *scene) error {
	calls, err := s.redis.calls(ctx)
	if err != nil {
		return err
	}
	st.commands = 0
	names := slices.SortedFunc(maps.Keys(calls), func(a, b string) int { return calls[b] - calls[a] })
	for _, name := range names {
		st.commands += calls[name]
	}
	s.notef("Redis ran %d commands, %.2f per client", st.commands, float64(st.commands)/stormClients)
	for _, name := range names[:min(len(names), 10)] {
		s.notef("  %s: %.2f per client", name, float64(calls[name])/stormClients)
	}
	return nil
}

func (st *storm) check(_ context.Context, _ *scene, r *result) []string {
	var wrong []string
	if st.back > stormBack.Milliseconds() {
		wrong = append(wrong, fmt.Sprintf("the last client was back after %d ms", st.back))
	}
	if st.commands >= stormCommands*stormClients {
		wrong = append(wrong, fmt.Sprintf("%d Redis commands for %d clients", st.commands, stormClients))
	}
	if r.reconnects < stormClients {
		wrong = append(wrong, fmt.Sprintf("only %d reconnects", r.reconnects))
	}
	return wrong
}

var commandCalls = regexp.MustCompile(`(?m)^cmdstat_(\S+?):calls=(\d+)`)

// calls is how often Redis has run each command since its figures were reset, from scripts too.
func (s *redisServer) calls(ctx context.Context) (map[string]int, error) {
	info, err := s.direct.Info(ctx, "commandstats").Result()
	if err != nil {
		return nil, err
	}
	calls := map[string]int{}
	for _, found := range commandCalls.FindAllStringSubmatch(info, -1) {
		if calls[found[1]], err = strconv.Atoi(found[2]); err != nil {
			return nil, err
		}
	}
	return calls, nil
}
