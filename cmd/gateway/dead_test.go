package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/api/admin"
	"github.com/teloo/realtime-gateway/deploy/redistest"
	"github.com/teloo/realtime-gateway/streams"
)

const deadKey, eventsKey = "{teloo}:dead", "{teloo}:events"

// buried writes dead letters of these ids, as a node does.
func buried(t *testing.T, c *redis.Client, reason string, ids ...string) {
	t.Helper()
	for _, id := range ids {
		require.NoError(t, c.XAdd(t.Context(), &redis.XAddArgs{Stream: deadKey, ID: id, Values: []string{
			"event", "oferta_x", "data", "{\"a\":\"\x1b[31m\"}", "dead_reason", reason, "dead_source_id", "7-7", "dead_node", "n:1",
			"dead_deliveries", "1", "dead_detail", "why\x1b[31m",
		}}).Err())
	}
}

func idsOf(t *testing.T, c *redis.Client, stream string) []string {
	t.Helper()
	found, err := c.XRange(t.Context(), stream, "-", "+").Result()
	require.NoError(t, err)
	out := []string{}
	for _, e := range found {
		out = append(out, e.ID)
	}
	return out
}

func TestDeadListAndShow(t *testing.T) {
	server := redistest.Start(t)
	c := server.Client()
	run := func(args ...string) result {
		return gateway(t, []string{"REDIS_URL=redis://" + server.Addr()}, "", append([]string{"dead"}, args...)...)
	}
	require.Equal(t, "no dead letters\n", run("list").stdout)
	buried(t, c, "no_route", "1769860800000-0", "1769860801000-0")
	buried(t, c, "poison", "1769860802000-0")
	r := run("list")
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Equal(t, strings.Join([]string{
		"ID               DIED                  REASON    EVENT     BYTES  NODE  DETAIL",
		"1769860802000-0  2026-01-31T12:00:02Z  poison    oferta_x  30     n:1   why�[31m",
		"1769860801000-0  2026-01-31T12:00:01Z  no_route  oferta_x  30     n:1   why�[31m",
		"1769860800000-0  2026-01-31T12:00:00Z  no_route  oferta_x  30     n:1   why�[31m",
		"",
		"REASON    LETTERS  OLDEST                NEWEST",
		"no_route  2        2026-01-31T12:00:00Z  2026-01-31T12:00:01Z",
		"poison    1        2026-01-31T12:00:02Z  2026-01-31T12:00:02Z",
		"in all    3",
		"",
	}, "\n"), r.stdout)
	require.Contains(t, run("list", "--limit", "1", "--oldest").stdout, "more: --after 1769860800000-0")
	require.NotContains(t, run("list", "--reason", "poison").stdout, "no_route")
	require.Equal(t, "no dead letters\n", run("list", "--since", "1h").stdout)
	require.Equal(t, "no dead letters\n", run("list", "--event", "oferta_y").stdout)
	require.NotContains(t, run("list", "--until", "2026-01-31T12:00:01Z").stdout, "1769860801000-0")

	var listed struct {
		Letters []admin.DeadLetter `json:"letters"`
		Totals  []map[string]any   `json:"totals"`
	}
	require.NoError(t, json.Unmarshal([]byte(run("list", "--json").stdout), &listed))
	require.Len(t, listed.Letters, 3)
	require.Equal(t, []admin.DeadField{{Name: "event", Value: "oferta_x"}, {Name: "data", Value: "{\"a\":\"\x1b[31m\"}"}}, listed.Letters[0].Fields)
	require.EqualValues(t, 2, listed.Totals[0]["count"])

	r = run("show", "1769860800000-0")
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Contains(t, r.stdout, "reason      no_route")
	require.Contains(t, r.stdout, `data   "{\"a\":\"\x1b[31m\"}"`)
	require.NotContains(t, r.stdout, "\x1b")
	var shown admin.DeadLetter
	require.NoError(t, json.Unmarshal([]byte(run("show", "--json", "1769860800000-0").stdout), &shown))
	require.Equal(t, listed.Letters[2], shown)
	r = run("show", "5-5")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "no such dead letter")
	for _, wrong := range [][]string{{"list", "--since", "yesterday"}, {"list", "--limit=-1"}, {"list", "--after", "x"}, {"list", "--until=-2h"}} {
		require.Equal(t, exitFailure, run(wrong...).code, wrong)
	}
	r = gateway(t, []string{"REDIS_PORT=1"}, "", "dead", "list")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "localhost:1")
}

func TestDeadReplayAndDropAreAskedFor(t *testing.T) {
	server := redistest.Start(t)
	c := server.Client()
	run := func(args ...string) result {
		return gateway(t, []string{"REDIS_URL=redis://" + server.Addr()}, "y\n", append([]string{"dead"}, args...)...)
	}
	buried(t, c, "no_route", "1-1", "2-1", "3-1")
	buried(t, c, "poison", "4-1")
	require.NoError(t, c.XAdd(t.Context(), &redis.XAddArgs{Stream: deadKey, ID: "5-1", Values: []string{"a", "b", "dead_truncated", "9"}}).Err())
	all := []string{"1-1", "2-1", "3-1", "4-1", "5-1"}
	for _, verb := range []string{"replay", "drop"} {
		for want, args := range map[string][]string{
			"which ones?":         {},
			"--all excludes":      {"--all", "--reason", "poison"},
			"ids exclude":         {"--all", "1-1"},
			"--limit and the":     {"--limit", "1", "1-1"},
			"no terminal: --yes":  {"--all"},
			"is no id":            {"x"},
			"neither like":        {"--since", "x", "--yes"},
			"is negative":         {"--all", "--yes", "--limit=-1"},
			"which ones? name id": {"--limit", "5", "--yes"},
		} {
			r := run(append([]string{verb}, args...)...)
			require.Equal(t, exitFailure, r.code, args)
			require.Contains(t, r.stderr, want, args)
		}
		r := run(verb, "--all", "--dry-run")
		require.Equal(t, exitOK, r.code)
		require.Equal(t, "would "+verb+" 5 dead letters\n", r.stdout)
		require.Contains(t, r.stderr, "no_route  3")
		require.Contains(t, r.stderr, "1 of them were cut")
		require.Equal(t, "would "+verb+" 2 dead letters\n", run(verb, "--dry-run", "4-1", "5-1").stdout)
		require.Equal(t, "no dead letters are chosen\n", run(verb, "--since", "1h").stdout)
	}
	require.Equal(t, all, idsOf(t, c, deadKey))
	require.JSONEq(t, `{"chosen":5,"cut":1}`, run("drop", "--all", "--dry-run", "--json").stdout)
	require.JSONEq(t, `{"replayed":0,"gone":0,"refused":0,"already_relayed":0}`, run("replay", "--since", "1h", "--json").stdout)
	require.JSONEq(t, `{"dropped":0,"gone":0}`, run("drop", "--since", "1h", "--json").stdout)

	r := run("replay", "--reason", "no_route", "--limit", "2", "--yes")
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Equal(t, "replayed 2 dead letters\n", r.stdout)
	require.Equal(t, all[2:], idsOf(t, c, deadKey))
	r = run("replay", "1-1", "3-1")
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Equal(t, "replayed 1 dead letters; 1 were none any more\n", r.stdout)
	entries := c.XRange(t.Context(), eventsKey, "-", "+").Val()
	require.Len(t, entries, 3)
	for i, from := range all[:3] {
		require.Equal(t, map[string]any{"event": "oferta_x", "data": "{\"a\":\"\x1b[31m\"}", "replayed_from": from}, entries[i].Values)
	}
	r = run("replay", "--all", "--yes")
	require.Equal(t, exitFailure, r.code)
	require.Equal(t, "replayed 1 dead letters; 1 stay\n", r.stdout)
	require.Contains(t, r.stderr, "5-1 was not replayed: it was cut when it died")
	require.JSONEq(t, `{"replayed":0,"gone":0,"refused":1,"already_relayed":0,"kept":[{"id":"5-1","why":"it was cut when it died"}]}`,
		run("replay", "--json", "5-1").stdout)
	require.JSONEq(t, `{"dropped":1,"gone":1}`, run("drop", "--json", "5-1", "1-1").stdout)
	buried(t, c, "poison", "6-1", "7-1")
	require.Equal(t, "dropped 2 dead letters\n", run("drop", "--all", "-y").stdout)
	require.Empty(t, idsOf(t, c, deadKey))
}

func TestWhatCountsAsYes(t *testing.T) {
	for text, want := range map[string]bool{"y\n": true, "\tYES": true, "sí\n": true, "n\n": false, "": false, "\n": false, "yo\n": false} {
		require.Equal(t, want, isYes(strings.NewReader(text)), text)
	}
	require.False(t, isInteractive(strings.NewReader("y")))
}

func TestAdminDeadLetters(t *testing.T) {
	c := redistest.Start(t).Client()
	d := deadLetters{streams.NewDeadLetters(c, "{teloo}")}
	buried(t, c, "no_route", "1-1", "2-1")
	page, err := d.Letters(t.Context(), admin.DeadFilter{Limit: 1})
	require.NoError(t, err)
	require.EqualValues(t, 2, page.Total)
	require.Equal(t, "1-1", page.Next)
	require.Len(t, page.Letters, 1)
	require.Empty(t, page.Letters[0].Fields)
	letter, err := d.Letter(t.Context(), "2-1")
	require.NoError(t, err)
	require.Equal(t, time.UnixMilli(2).UTC(), letter.At)
	require.Len(t, letter.Fields, 2)
	_, err = d.Letter(t.Context(), "3-1")
	require.ErrorIs(t, err, admin.ErrNoLetter)
	_, err = d.Replay(t.Context(), admin.DeadSelection{IDs: []string{"99999999999999999999-1"}})
	require.ErrorIs(t, err, admin.ErrInvalid, "no id, though of its form")
	sum, err := d.Replay(t.Context(), admin.DeadSelection{Filter: admin.DeadFilter{Limit: 1}})
	require.NoError(t, err)
	require.Equal(t, admin.DeadReplayed{Replayed: 1, Next: "1-1"}, sum)
	dropped, err := d.Drop(t.Context(), admin.DeadSelection{IDs: []string{"2-1"}})
	require.NoError(t, err)
	require.Equal(t, admin.DeadDropped{Dropped: 1}, dropped)
	require.NoError(t, c.Set(t.Context(), deadKey, "x", 0).Err())
	_, err = d.Letters(t.Context(), admin.DeadFilter{})
	require.ErrorIs(t, err, admin.ErrUnavailable)
}
