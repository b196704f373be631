package streams

import (
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// letter is the dead letter of an entry with these pairs, and what its own fields have in bytes.
func letter(t *testing.T, pairs ...string) (fields map[string]string, size int) {
	t.Helper()
	c := newRigless(t)
	e := c.deadEntry(delivery{id: "1-1", at: streamID{1, 1}, pairs: pairs, number: 1}, reject("why", "detail"))
	fields = map[string]string{}
	for i := 5; i < len(e.args); i += 2 {
		fields[e.args[i]] = e.args[i+1]
		if !strings.HasPrefix(e.args[i], "dead_") {
			size += len(e.args[i]) + len(e.args[i+1])
		}
	}
	return fields, size
}

// newRigless is a consumer without a Redis.
func newRigless(t *testing.T) *Consumer {
	t.Helper()
	nowhere := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = nowhere.Close() })
	c, err := New(rigConfig("a:1"), Deps{Redis: nowhere, Blocking: nowhere, Handle: rigHandle})
	require.NoError(t, err)
	return c
}

func TestDeadLetterKeepsAMegabyteWhole(t *testing.T) {
	long := strings.Repeat("x", maxDeadBytes-len("event")-len("none")-len("data"))
	got, size := letter(t, "event", "none", "data", long)
	require.Equal(t, long, got["data"])
	require.Equal(t, maxDeadBytes, size)
	require.NotContains(t, got, "dead_truncated")

	got, size = letter(t, "event", "none", "data", long+"y")
	require.Equal(t, long, got["data"], "one byte too much is cut")
	require.Equal(t, "none", got["event"])
	require.Equal(t, maxDeadBytes, size)
	require.Equal(t, strconv.Itoa(maxDeadBytes+1), got["dead_truncated"])
	require.Equal(t, "why", got["dead_reason"])
}

func TestDeadLetterCutsTheLongest(t *testing.T) {
	huge, big, small := strings.Repeat("h", 3*maxDeadBytes), strings.Repeat("b", maxDeadBytes), strings.Repeat("s", 1000)
	got, size := letter(t, "event", "oferta_x", "a", huge, "b", big, "c", small, "d", "")
	require.Equal(t, small, got["c"])
	require.Equal(t, "oferta_x", got["event"])
	require.Empty(t, got["d"])
	require.LessOrEqual(t, size, maxDeadBytes)
	require.Greater(t, size, maxDeadBytes-8, "as much as fits is kept")
	require.Len(t, got["b"], len(got["a"]), "the longest are cut alike")
	require.True(t, strings.HasPrefix(huge, got["a"]))

	// Names can be long too.
	got, size = letter(t, huge, big, "n", small)
	require.LessOrEqual(t, size, maxDeadBytes)
	require.Equal(t, small, got["n"])
	require.Equal(t, strconv.Itoa(len(huge)+len(big)+len(small)+1), got["dead_truncated"])

	var many []string
	for range maxDeadPairs + 1 {
		many = append(many, "f", strings.Repeat("m", 4000))
	}
	got, size = letter(t, many...)
	require.LessOrEqual(t, size, maxDeadBytes)
	require.Equal(t, "1", got["dead_dropped_fields"])
	require.Equal(t, strconv.Itoa((maxDeadPairs+1)*4001), got["dead_truncated"], "with what was dropped")
}

func TestHugeEntryIsADeadLetterInPart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	data := `{"a":"` + strings.Repeat("x", 3*maxDeadBytes) + `"}`
	r.add("event", "oferta_x", "data", data)
	good := r.publish(1)
	n := r.start("a:1")
	r.settled(good)
	require.Len(t, r.dead(), 1)
	values := r.dead()[0].Values
	require.Equal(t, ReasonDataTooLarge, values["dead_reason"])
	require.True(t, strings.HasPrefix(data, values["data"].(string)))
	require.Equal(t, strconv.Itoa(len(data)+len("eventoferta_xdata")), values["dead_truncated"])
	require.Zero(t, n.Stats().DeadCut)
}

func TestDeadLettersAreCapped(t *testing.T) {
	t.Parallel()
	r := rigAt(t, redistest.Start(t, "--stream-node-max-entries", "1").Addr()) // so that trimming is exact
	var logged lines
	n := r.start("a:1", func(c *Config, d *Deps) {
		c.Batch, c.DeadMaxEntries = 4, 5
		d.Log = slog.New(slog.NewTextHandler(&logged, nil))
	})
	var bad []string
	for range 30 {
		bad = append(bad, r.add("event", "none", "data", "{}"))
	}
	r.eventually("the cap counted", func() bool { return n.Stats().DeadCut == 25 })
	r.settled([]string{})
	require.Len(t, r.dead(), 5)
	require.Equal(t, bad[25], r.dead()[0].Values["dead_source_id"])
	require.Equal(t, 1, logged.count("DEAD_MAX_ENTRIES"), "once a minute")
}
