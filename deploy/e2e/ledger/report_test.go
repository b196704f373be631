package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFaultsHaveNamesOfTheirOwn(t *testing.T) {
	names := map[string]bool{}
	for _, one := range faults() {
		require.NotEmpty(t, one.about().text)
		require.False(t, names[one.about().name], one.about().name)
		names[one.about().name] = true
	}
	all, err := choose("all")
	require.NoError(t, err)
	require.Len(t, all, len(names))

	some, err := choose("redis-restart,kill-node")
	require.NoError(t, err)
	require.Equal(t, "redis-restart", some[0].about().name)
	require.Equal(t, "kill-node", some[1].about().name)

	_, err = choose("kill-node,earthquake")
	require.ErrorContains(t, err, "earthquake")
}

func TestTheTableShowsWhatFailed(t *testing.T) {
	var out strings.Builder
	table(&out, []*result{
		{fault: "kill-node", run: 1, clients: 300, events: 500, total: tally{delivered: 20000}, served: 1500, reconnects: 100, recovered: 100},
		{
			fault: "flush", run: 2, clients: 300, total: tally{lost: 7, repeated: 6, reordered: 5, misdelivered: 4}, served: -1,
			reconnects: 3000, recovered: 2999, failures: []string{"lost: 7"}, dir: "/tmp/somewhere",
		},
	})
	lines := strings.Split(out.String(), "\n")
	require.Equal(t, []string{"kill-node", "1", "300", "500", "20000", "0", "0", "0", "0", "1500", "100", "100", "ok"}, strings.Fields(lines[1]))
	require.Equal(t, []string{"flush", "2", "300", "0", "0", "7", "6", "5", "4", "never", "3000", "99.9", "FAILED"}, strings.Fields(lines[2]))
	require.Contains(t, out.String(), "FAILED: lost: 7")
	require.Contains(t, out.String(), "logs in /tmp/somewhere")
}

func TestTheLogsOfAProcessAreSearchedForPanics(t *testing.T) {
	for line, faulty := range map[string]bool{
		"panic: runtime error": true, "time=x level=ERROR msg=\"handler panicked\" id=1-0": true,
		"time=x level=WARN msg=\"recovered from a panic\" in=write": true, "queue task panic recovered: x": true,
		"time=x level=INFO msg=ready": false, "time=x level=WARN msg=\"could not read the log\"": false,
	} {
		require.Equal(t, faulty, traces.MatchString(line), line)
	}
}

func TestHalfOfTheClientsPollAndSomeShareAUser(t *testing.T) {
	w := newWorld(300)
	polling, roles, users := 0, map[string]int{}, map[string]bool{}
	for _, p := range w.people {
		if p.polling {
			polling++
		}
		roles[roleRooms[p.role]]++
		users[p.user] = true
	}
	require.Equal(t, 150, polling)
	require.Equal(t, map[string]int{"admin": 30, "advisor": 120, "client": 150}, roles)
	require.Less(t, len(users), 300)

	figures := w.stats(3)
	require.Equal(t, 300, figures.Connections)
	require.Equal(t, len(users), figures.ConnectedUsers)
	require.Empty(t, figures.differs(figures))
	other := figures
	other.Connections--
	require.NotEmpty(t, figures.differs(other))
}
