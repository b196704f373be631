package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"time"
)

// lagging sends clients to a node that reads the log later than the one they come from: what they have had already
// must not reach them again when that node comes to it.
type lagging struct{}

// The reader gives a read up that takes 5 s.
const logHold = 4 * time.Second

func (lagging) about() about {
	return about{
		name: "lagging", text: "clients of killed nodes reconnect to the one that is left, whose log reader is 4 s or more behind",
		allRecovered: true, logDelay: true,
	}
}

func (lagging) inject(ctx context.Context, s *scene) error {
	slow := len(s.nodes) - 1
	s.redis.delays[slow].set(logHold)
	if err := pause(ctx, 2*logHold); err != nil {
		return err
	}
	for _, n := range s.nodes[:slow] {
		if err := s.killed(n); err != nil {
			return err
		}
	}
	if err := s.back(ctx, backBound); err != nil {
		return err
	}
	// Until it has come to what its clients had before, which is when a repetition would show.
	if err := pause(ctx, 3*logHold); err != nil {
		return err
	}
	s.redis.delays[slow].set(0)
	return s.relaunch(ctx, s.nodes[:slow]...)
}

func (lagging) check(_ context.Context, s *scene, _ *result) []string {
	slow := s.nodes[len(s.nodes)-1]
	came := 0
	s.fleet.look(func(records []*record) {
		for _, c := range records {
			for i, one := range c.sessions[1:] {
				if one.node == slow.name && c.sessions[i].node != slow.name {
					came++
				}
			}
		}
	})
	ahead, most, err := resumedAhead(slow.log)
	if err != nil {
		return []string{err.Error()}
	}
	s.notef("%d clients came to the node that is behind, %d were ahead of its reader, up to %d ms", came, ahead, most)
	if ahead == 0 || ahead < came/2 {
		return []string{fmt.Sprintf("of %d clients that came to the node that should be behind only %d were ahead of it", came, ahead)}
	}
	return nil
}

var resumed = regexp.MustCompile(`"msg":"session recovered".*"offset":"(\d+)-(\d+)","position":"(\d+)-(\d+)"`)

// resumedAhead counts in a node's log the sessions that were resumed from an offset that its reader had not come to,
// and says how far ahead of it they were at most, in ms.
func resumedAhead(path string) (count int, most int64, err error) {
	log, err := os.Open(path) //nolint:gosec // the harness's own
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = log.Close() }() // only read
	lines := bufio.NewScanner(log)
	lines.Buffer(make([]byte, 0, 64<<10), 16<<20)
	for lines.Scan() {
		found := resumed.FindStringSubmatch(lines.Text())
		if found == nil {
			continue
		}
		var id [4]int64 // ms and number of the offset, then of the position
		for i, text := range found[1:] {
			if id[i], err = strconv.ParseInt(text, 10, 64); err != nil {
				return 0, 0, err
			}
		}
		if cmp.Or(cmp.Compare(id[0], id[2]), cmp.Compare(id[1], id[3])) > 0 {
			count++
			most = max(most, id[0]-id[2])
		}
	}
	return count, most, lines.Err()
}
