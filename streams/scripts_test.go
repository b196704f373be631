package streams

import (
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// scripted is the consumer a:1, which does nothing by itself.
func (r *rig) scripted() *Consumer {
	r.tb.Helper()
	c, err := New(rigConfig("a:1"), Deps{Redis: r.rdb, Blocking: r.rdb, Handle: rigHandle, Log: slog.New(slog.DiscardHandler)})
	require.NoError(r.tb, err)
	return c
}

// addAt writes one event under a given id.
func (r *rig) addAt(ids ...string) {
	r.tb.Helper()
	for _, id := range ids {
		require.NoError(r.tb, r.rdb.XAdd(r.tb.Context(), &redis.XAddArgs{
			Stream: r.keys.events, ID: id, Values: rigEvent(`{}`),
		}).Err())
	}
}

// entries are handled entries with these ids.
func (c *Consumer) entries(ids ...string) []*entry {
	got := make([]delivery, len(ids))
	for i, id := range ids {
		at, _ := parseStreamID(id)
		got[i] = delivery{id: id, at: at, pairs: rigEvent(`{}`), number: 1}
	}
	return c.handleAll(got)
}

func TestCommitStopsAtAnOlderEntryElsewhere(t *testing.T) {
	r := newRig(t)
	r.group()
	// Above 2^53, where Lua's numbers are no longer exact, and with more digits behind than before.
	ids := []string{"9-1", "10-1", "9007199254740992-9", "9007199254740992-10", "9007199254740993-0", "18446744073709551614-18446744073709551615"}
	r.addAt(ids...)
	require.Len(t, r.ghostReads("a:1", 2), 2)
	require.Len(t, r.ghostReads("ghost:1", 1), 1)
	require.Len(t, r.ghostReads("a:1", 3), 3)
	c := r.scripted()
	mine := append(append([]string{}, ids[:2]...), ids[3:]...)

	reply, err := c.runCommit(t.Context(), c.entries(mine...))
	require.NoError(t, err)
	require.Equal(t, "rr", reply.outcomes)
	reply, err = c.runCommit(t.Context(), c.entries(mine...))
	require.NoError(t, err)
	require.Equal(t, "gg", reply.outcomes, "repeating is harmless")
	reply, err = c.runCommit(t.Context(), c.entries(ids...))
	require.NoError(t, err)
	require.Equal(t, "ggrrrr", reply.outcomes, "whoever holds the content may commit")
	require.Equal(t, ids, r.relayed())
	committed, err := r.rdb.Get(t.Context(), r.keys.committed).Result()
	require.NoError(t, err)
	require.Equal(t, ids[5], committed)
}

func TestCommitLeavesPendingWhatTheLogRefused(t *testing.T) {
	r := newRig(t)
	r.group()
	r.addAt("1-1", "1-2")
	r.ghostReads("a:1", 2)
	c := r.scripted()
	require.NoError(t, r.rdb.Set(t.Context(), r.keys.log, "no stream", 0).Err())
	reply, err := c.runCommit(t.Context(), c.entries("1-1", "1-2"))
	require.NoError(t, err)
	require.Empty(t, reply.outcomes)
	require.Contains(t, reply.fault, "WRONGTYPE")
	require.Len(t, r.pending(), 2)

	require.NoError(t, r.rdb.Del(t.Context(), r.keys.log).Err())
	reply, err = c.runCommit(t.Context(), c.entries("1-1", "1-2"))
	require.NoError(t, err)
	require.Equal(t, "rr", reply.outcomes)
}

func TestCommitRelaysThoughAGrantIsRefused(t *testing.T) {
	r := newRig(t)
	r.group()
	r.addAt("1-1")
	r.ghostReads("a:1", 1)
	c := r.scripted()
	c.handle = func(Event) (Relay, error) {
		return Relay{Log: []string{"a", "b"}, Grants: []Grant{{"x", "u"}, {"a/b", "u"}}}, nil
	}
	require.NoError(t, r.rdb.Set(t.Context(), r.keys.grants+"x", "no zset", 0).Err())
	reply, err := c.runCommit(t.Context(), c.entries("1-1"))
	require.NoError(t, err)
	require.Equal(t, commitReply{outcomes: "r", badGrants: 1}, reply)
	require.NoError(t, r.rdb.ZScore(t.Context(), r.keys.grants+"a%2Fb", "u").Err())
}

func TestRenewKeepsCountsAndNamesWhatIsLost(t *testing.T) {
	r := newRig(t)
	r.group()
	r.addAt("1-1", "1-2", "1-3")
	r.ghostReads("a:1", 2)
	r.ghostReads("ghost:1", 1)
	c := r.scripted()
	marked, err := c.mark(t.Context(), "1-2", 7)
	require.NoError(t, err)
	require.True(t, marked)
	marked, err = c.mark(t.Context(), "1-3", 7)
	require.NoError(t, err)
	require.False(t, marked, "another's")

	gone, err := renewScript.Run(t.Context(), r.rdb, []string{r.keys.events}, "gateway", "a:1", "1-1", "1-2", "1-3", "1-4").StringSlice()
	require.NoError(t, err)
	require.Equal(t, []string{"1-3", "1-4"}, gone)
	pending := r.pending()
	require.Equal(t, int64(1), pending[0].RetryCount)
	require.Equal(t, int64(7), pending[1].RetryCount)
	require.Equal(t, "ghost:1", pending[2].Consumer)
}

func TestClaimsBringCountsAndLosses(t *testing.T) {
	r := newRig(t)
	r.group()
	r.addAt("1-1", "1-2", "1-3", "1-4")
	r.ghostReads("ghost:1", 4)
	r.deliveries("1-2", 4)
	require.NoError(t, r.rdb.XDel(t.Context(), r.keys.events, "1-3").Err())
	c := r.scripted()

	got, lost, err := c.runClaim(t.Context(), claimFromScript, "gateway", "a:1", "ghost:1", 10, "1-1")
	require.NoError(t, err)
	require.Equal(t, int64(1), lost)
	require.Len(t, got, 2)
	require.Equal(t, delivery{id: "1-2", at: streamID{1, 2}, pairs: rigEvent(`{}`), number: 5}, got[0])
	require.Equal(t, int64(2), got[1].number)

	require.NoError(t, r.rdb.XDel(t.Context(), r.keys.events, "1-4").Err())
	var all []delivery
	r.eventually("idle", func() bool {
		got, gone, claimErr := c.runClaim(t.Context(), claimIdleScript, "gateway", "b:1", 100, 10)
		all, lost = append(all, got...), lost+gone
		return claimErr == nil && len(all) == 2 && lost == 2
	})
	require.Equal(t, "1-1", all[0].id)
	require.Equal(t, int64(2), all[0].number)
	require.Equal(t, int64(6), all[1].number)
}

func TestConsumerWithPendingEntriesIsKept(t *testing.T) {
	r := newRig(t)
	r.group()
	r.addAt("1-1")
	r.ghostReads("ghost:1", 1)
	c := r.scripted()
	deleted, err := c.deleteConsumer(t.Context(), "ghost:1")
	require.NoError(t, err)
	require.False(t, deleted)
	require.NoError(t, r.rdb.XAck(t.Context(), r.keys.events, "gateway", "1-1").Err())
	deleted, err = c.deleteConsumer(t.Context(), "ghost:1")
	require.NoError(t, err)
	require.True(t, deleted)
}

func TestBacklogKeepsOrder(t *testing.T) {
	b := newBacklog()
	entryAt := func(ms uint64) *entry {
		return &entry{at: streamID{ms: ms}, size: 10, renewed: time.Unix(int64(ms), 0)}
	}
	b.add([]*entry{entryAt(5), entryAt(6), entryAt(9)})
	b.add([]*entry{entryAt(1), entryAt(6), entryAt(7)})
	order := func(entries []*entry) (ms []uint64) {
		for _, e := range entries {
			ms = append(ms, e.at.ms)
		}
		return ms
	}
	require.Equal(t, []uint64{1, 5, 6, 7, 9}, order(b.head(nil, 10, 1000)))
	require.Equal(t, []uint64{1, 5}, order(b.head(nil, 10, 29)))
	require.Equal(t, []uint64{1}, order(b.head(nil, 10, 1)), "one is always taken")
	require.Equal(t, []uint64{1, 5, 6}, order(b.stale(nil, time.Unix(7, 0), 10)))
	b.remove([]streamID{{ms: 0}, {ms: 5}, {ms: 7}, {ms: 8}, {ms: 9}})
	require.Equal(t, []uint64{1, 6}, order(b.head(nil, 10, 1000)))
	held, bytes := b.size()
	require.Equal(t, 2, held)
	require.Equal(t, 20, bytes)
}

func TestUnexpectedRepliesAreErrors(t *testing.T) {
	for _, reply := range []any{
		nil, "x",
		[]any{},
		[]any{"x"},
		[]any{[]any{"s", "x"}},
		map[any]any{"s": "x"},
		map[any]any{"s": []any{}, "t": []any{}},
		[]any{[]any{"s", []any{"x"}}},
		[]any{[]any{"s", []any{[]any{"1-1", nil}}}},
		[]any{[]any{"s", []any{[]any{"x", []any{}}}}},
		[]any{[]any{"s", []any{[]any{"1-1", []any{1}}}}},
		[]any{[]any{"s", []any{[]any{"1-1", []any{}, "x"}}}},
	} {
		_, err := decodeRead(reply)
		require.ErrorIs(t, err, errReply, "%v", reply)
	}
	for _, id := range []string{"", "1", "-", "1-", "-1", "x-1", "1-x", "1-1-1", "18446744073709551616-0"} {
		_, ok := parseStreamID(id)
		require.False(t, ok, id)
	}
}
