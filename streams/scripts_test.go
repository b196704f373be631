package streams

import (
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
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
	return c.handleAll(got, c.handlings.begin(got))
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

func TestTrimmedEntriesStayPending(t *testing.T) {
	r := newRig(t)
	r.group()
	r.addAt("1-1", "1-2")
	r.ghostReads("a:1", 2)
	require.NoError(t, r.rdb.XDel(t.Context(), r.keys.events, "1-1").Err())
	c := r.scripted()
	gone, err := c.renew(t.Context(), []string{"1-1", "1-2"})
	require.NoError(t, err)
	require.Empty(t, gone)
	marked, err := c.mark(t.Context(), "1-1", 7)
	require.NoError(t, err)
	require.True(t, marked, "it can be handled, though not marked")
	pending := r.pending()
	require.Len(t, pending, 2)
	require.Equal(t, int64(1), pending[0].RetryCount)
	reply, err := c.runCommit(t.Context(), c.entries("1-1", "1-2"))
	require.NoError(t, err)
	require.Equal(t, "rr", reply.outcomes)
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

// unitLog are entries for the log with these event_ids by id.
// unitIDs are the ids that a stream holds.
func (r *rig) unitIDs(stream string) []string {
	r.tb.Helper()
	entries, err := r.rdb.XRange(r.tb.Context(), stream, "-", "+").Result()
	require.NoError(r.tb, err)
	ids := []string{}
	for _, e := range entries {
		ids = append(ids, e.ID)
	}
	return ids
}

func TestScriptsRaiseNoGroup(t *testing.T) {
	r := newRig(t)
	r.addAt("1-1")
	c := r.scripted()
	_, commit := c.runCommit(t.Context(), c.entries("1-1"))
	_, _, idle := c.runClaim(t.Context(), claimIdleScript, "gateway", "a:1", 1, 10)
	_, _, from := c.runClaim(t.Context(), claimFromScript, "gateway", "a:1", "b:1", 10)
	_, mark := c.mark(t.Context(), "1-1", 1)
	_, deleted := c.deleteConsumer(t.Context(), "b:1")
	renew := renewScript.Run(t.Context(), r.rdb, []string{r.keys.events}, "gateway", "a:1", "1-1").Err()
	for i, err := range []error{commit, idle, from, mark, deleted, renew} {
		require.True(t, isNoGroup(err), "%d: %v", i, err)
	}
	require.Zero(t, r.rdb.Exists(t.Context(), r.keys.log, r.keys.committed).Val())
}

func TestClaimsTakeNoMoreThanAsked(t *testing.T) {
	r := newRig(t)
	r.group()
	r.addAt("1-1", "1-2", "1-3", "1-4")
	r.ghostReads("ghost:1", 3)
	r.ghostReads("other:1", 1)
	c := r.scripted()
	got, lost, err := c.runClaim(t.Context(), claimIdleScript, "gateway", "a:1", time.Hour.Milliseconds(), 10)
	require.NoError(t, err)
	require.Zero(t, lost)
	require.Empty(t, got, "none is idle")
	got, _, err = c.runClaim(t.Context(), claimFromScript, "gateway", "a:1", "ghost:1", 2)
	require.NoError(t, err)
	require.Len(t, got, 2)
	got, _, err = c.runClaim(t.Context(), claimFromScript, "gateway", "b:1", "ghost:1", 2)
	require.NoError(t, err)
	require.Len(t, got, 1, "shared out")
	got, _, err = c.runClaim(t.Context(), claimFromScript, "gateway", "a:1", "nobody:1", 2)
	require.NoError(t, err)
	require.Empty(t, got)
	owners := []string{}
	for _, p := range r.pending() {
		owners = append(owners, p.Consumer)
	}
	require.Equal(t, []string{"a:1", "a:1", "b:1", "other:1"}, owners)
}

func TestCreateGroupStartsWhereTheClusterLeftOff(t *testing.T) {
	for name, tc := range map[string]struct {
		stream           []string
		committed, known string
		want             []any
		marked           bool
	}{
		"no stream":            {nil, "", "0-0", []any{int64(1), "0-0", int64(1)}, true},
		"no stream any more":   {nil, "5-1", "5-1", []any{int64(1), "0-0", int64(1)}, true},
		"never committed":      {[]string{"1-1"}, "", "0-0", []any{int64(1), "0-0", int64(0)}, false},
		"committed before":     {[]string{"9-1", "10-1"}, "9-1", "0-0", []any{int64(1), "9-1", int64(0)}, false},
		"committed to the end": {[]string{"10-10"}, "10-10", "10-10", []any{int64(1), "10-10", int64(0)}, false},
		"new stream":           {[]string{"9-1"}, "10-1", "0-0", []any{int64(1), "0-0", int64(1)}, true},
		"new stream by seq":    {[]string{"9-9"}, "9-10", "0-0", []any{int64(1), "0-0", int64(1)}, true},
		"new above 2^53":       {[]string{"9007199254740992-0"}, "9007199254740993-0", "0-0", []any{int64(1), "0-0", int64(1)}, true},
		"known here alone":     {[]string{"9-1"}, "", "9-2", []any{int64(1), "0-0", int64(1)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.addAt(tc.stream...)
			if tc.committed != "" {
				require.NoError(t, r.rdb.Set(t.Context(), r.keys.committed, tc.committed, 0).Err())
			}
			names := []string{r.keys.events, r.keys.log, r.keys.committed}
			reply, err := createGroupScript.Run(t.Context(), r.rdb, names, "gateway", tc.known).Slice()
			require.NoError(t, err)
			require.Equal(t, tc.want, reply)
			groups, err := r.rdb.XInfoGroups(t.Context(), r.keys.events).Result()
			require.NoError(t, err)
			require.Len(t, groups, 1)
			require.Equal(t, tc.want[1], groups[0].LastDeliveredID)
			marks, err := r.rdb.XRange(t.Context(), r.keys.log, "-", "+").Result()
			require.NoError(t, err)
			if !tc.marked {
				require.Empty(t, marks)
				require.Equal(t, tc.committed, r.rdb.Get(t.Context(), r.keys.committed).Val())
			} else {
				require.Len(t, marks, 1)
				require.Equal(t, map[string]any{"src": rigReset}, marks[0].Values)
				require.Zero(t, r.rdb.Exists(t.Context(), r.keys.committed).Val())
			}

			reply, err = createGroupScript.Run(t.Context(), r.rdb, names, "gateway", "99-0").Slice()
			require.NoError(t, err)
			require.Equal(t, []any{int64(0), "", int64(0)}, reply, "a group that is there is left alone")
			require.Len(t, r.unitIDs(r.keys.log), len(marks))
		})
	}
}

func TestTrimKeepsWhatAnyGroupNeeds(t *testing.T) {
	r := rigAt(t, redistest.Start(t, "--stream-node-max-entries", "1").Addr()) // so that trimming is exact
	trim := func() []string {
		t.Helper()
		require.NoError(t, trimScript.Run(t.Context(), r.rdb, []string{r.keys.events}, "gateway").Err())
		return r.unitIDs(r.keys.events)
	}
	require.Empty(t, trim(), "no stream")
	require.Zero(t, r.rdb.Exists(t.Context(), r.keys.events).Val())
	ids := []string{"9-1", "9-2", "10-1", "10-2", "10-3"}
	r.addAt(ids...)
	require.Equal(t, ids, trim(), "no group")
	require.NoError(t, r.rdb.XGroupCreate(t.Context(), r.keys.events, "other", "$").Err())
	require.Equal(t, ids, trim(), "the own group is missing")
	require.NoError(t, r.rdb.XGroupCreate(t.Context(), r.keys.events, "gateway", "0").Err())
	require.Equal(t, ids, trim(), "nothing delivered")

	r.ghostReads("a:1", 5)
	ack := func(id ...string) { require.NoError(t, r.rdb.XAck(t.Context(), r.keys.events, "gateway", id...).Err()) }
	ack("9-1", "10-1")
	require.Equal(t, ids[1:], trim(), "9-2 is not acknowledged")
	require.NoError(t, r.rdb.XGroupSetID(t.Context(), r.keys.events, "other", "9-2").Err())
	ack("9-2", "10-2", "10-3")
	require.Equal(t, ids[1:], trim(), "the other group was delivered no more than 9-2")
	require.NoError(t, r.rdb.XReadGroup(t.Context(), &redis.XReadGroupArgs{
		Group: "other", Consumer: "o", Streams: []string{r.keys.events, ">"}, Count: 2, Block: -1,
	}).Err())
	require.Equal(t, ids[2:], trim(), "10-1 is not acknowledged there")
	require.NoError(t, r.rdb.XAck(t.Context(), r.keys.events, "other", "10-1", "10-2").Err())
	require.Equal(t, ids[3:], trim(), "10-3 is not delivered there")
}
