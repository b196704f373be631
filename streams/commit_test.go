package streams

import (
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

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

func (c *Consumer) unitLog(relay Relay, idAndEventID ...string) []*entry {
	var out []*entry
	for i := 0; i < len(idAndEventID); i += 2 {
		at, _ := parseStreamID(idAndEventID[i])
		out = append(out, c.logEntry(delivery{id: idAndEventID[i], at: at, number: 1}, Event{EventID: idAndEventID[i+1]}, relay))
	}
	return out
}

func TestCommitKnowsSeenEventIDs(t *testing.T) {
	r := newRig(t)
	r.group()
	r.addAt("1-1", "1-2", "1-3", "1-4", "1-5", "1-6")
	r.ghostReads("a:1", 6)
	c := r.scripted()
	relay := Relay{Log: []string{"a", "b"}}
	reply, err := c.runCommit(t.Context(), c.unitLog(relay, "1-1", "x", "1-2", "x", "1-3", "y", "1-4", ""))
	require.NoError(t, err)
	require.Equal(t, commitReply{outcomes: "rsrr"}, reply, "within one run")
	reply, err = c.runCommit(t.Context(), c.unitLog(relay, "1-5", "y"))
	require.NoError(t, err)
	require.Equal(t, "s", reply.outcomes, "and in a later one")
	require.Equal(t, "1-5", r.rdb.Get(t.Context(), r.keys.committed).Val(), "a seen one is committed, too")
	again := c.unitLog(relay, "1-6", "z")
	require.NoError(t, r.rdb.Set(t.Context(), again[0].keys[0], "1-6", 0).Err())
	reply, err = c.runCommit(t.Context(), again)
	require.NoError(t, err)
	require.Equal(t, "r", reply.outcomes, "an entry is no duplicate of itself")
	require.Equal(t, []string{"1-1", "1-3", "1-4", "1-6"}, r.relayed())
	require.Empty(t, r.pending())
	require.Equal(t, "1-6", r.rdb.Get(t.Context(), r.keys.committed).Val())
	seen := r.rdb.Keys(t.Context(), r.keys.seen+"*").Val()
	require.Len(t, seen, 3)
	for _, key := range seen {
		ttl := r.rdb.PTTL(t.Context(), key).Val()
		require.Positive(t, ttl)
		require.LessOrEqual(t, ttl, c.cfg.DedupeTTL)
	}
}

func TestCommitGrantsUntilExpiryAndNeverShortens(t *testing.T) {
	r := newRig(t)
	r.group()
	r.addAt("1-1")
	r.ghostReads("a:1", 1)
	c := r.scripted()
	const far = 9e15
	require.NoError(t, r.rdb.ZAdd(t.Context(), r.keys.grants+"7", redis.Z{Score: far, Member: "longer"}).Err())
	before := r.rdb.Time(t.Context()).Val().Add(c.cfg.GrantTTL).UnixMilli()
	reply, err := c.runCommit(t.Context(), c.unitLog(Relay{
		Log: []string{"a", "b"}, Grants: []Grant{{"7", "u"}, {"7", "longer"}, {"8", "u"}},
	}, "1-1", "x"))
	require.NoError(t, err)
	require.Equal(t, commitReply{outcomes: "r"}, reply)
	after := r.rdb.Time(t.Context()).Val().Add(c.cfg.GrantTTL).UnixMilli()
	for _, solicitud := range []string{"7", "8"} {
		score := int64(r.rdb.ZScore(t.Context(), r.keys.grants+solicitud, "u").Val())
		require.GreaterOrEqual(t, score, before)
		require.LessOrEqual(t, score, after)
	}
	require.InDelta(t, far, r.rdb.ZScore(t.Context(), r.keys.grants+"7", "longer").Val(), 0)
}

func TestCommitSweepsAndIndexesWhatItGrants(t *testing.T) {
	for name, addr := range map[string]string{"redis": redistest.Start(t).Addr(), "miniredis": miniredis.RunT(t).Addr()} {
		t.Run(name, func(t *testing.T) { testGrantSweep(t, rigAt(t, addr)) })
	}
}

func testGrantSweep(t *testing.T, r *rig) {
	t.Helper()
	ctx := t.Context()
	r.group()
	r.addAt("1-1", "1-2")
	r.ghostReads("a:1", 2)
	c := r.scripted()
	now := r.rdb.Time(ctx).Val().UnixMilli()
	const far = 9e15
	for _, solicitud := range []string{"7", "8", "untouched"} {
		require.NoError(t, r.rdb.ZAdd(ctx, r.keys.grants+solicitud,
			redis.Z{Score: float64(now), Member: "expired"}, redis.Z{Score: float64(now + 3_600_000), Member: "valid"}).Err())
	}
	require.NoError(t, r.rdb.ZAdd(ctx, r.keys.grantIndex, redis.Z{Score: far, Member: "8"}).Err())
	relay := Relay{Log: []string{"a", "b"}, Grants: []Grant{{"7", "u"}, {"8", "u"}, {"a/b", "u"}, {"7", "v"}}}
	reply, err := c.runCommit(ctx, c.unitLog(relay, "1-1", "", "1-2", ""))
	require.NoError(t, err)
	require.Equal(t, commitReply{outcomes: "rr"}, reply)
	require.ElementsMatch(t, []string{"valid", "u", "v"}, r.rdb.ZRange(ctx, r.keys.grants+"7", 0, -1).Val())
	require.ElementsMatch(t, []string{"valid", "u"}, r.rdb.ZRange(ctx, r.keys.grants+"8", 0, -1).Val())
	require.ElementsMatch(t, []string{"expired", "valid"}, r.rdb.ZRange(ctx, r.keys.grants+"untouched", 0, -1).Val())
	require.Equal(t, []string{"7", "a%2Fb", "8"}, r.rdb.ZRange(ctx, r.keys.grantIndex, 0, -1).Val())
	expiry := r.rdb.ZScore(ctx, r.keys.grants+"7", "u").Val()
	require.InDelta(t, expiry, r.rdb.ZScore(ctx, r.keys.grantIndex, "7").Val(), 0)
	require.InDelta(t, far, r.rdb.ZScore(ctx, r.keys.grantIndex, "8").Val(), 0, "never lowered here")
	require.Equal(t, time.Duration(-1), r.rdb.TTL(ctx, r.keys.grants+"7").Val(), "a TTL would take later grants along")
}

func TestCommitStopsAtARefusedDeadLetter(t *testing.T) {
	r := newRig(t)
	r.group()
	r.addAt("1-1", "1-2", "1-3")
	r.ghostReads("a:1", 3)
	c := r.scripted()
	batch := c.unitLog(Relay{Log: []string{"a", "b"}}, "1-1", "", "1-3", "z")
	died := c.deadEntry(delivery{id: "1-2", at: streamID{1, 2}, pairs: []string{"event", "none"}, number: solitaryMark + 4}, reject("why", "detail"))
	batch = []*entry{batch[0], died, batch[1]}
	require.NoError(t, r.rdb.Set(t.Context(), r.keys.dead, "no stream", 0).Err())
	reply, err := c.runCommit(t.Context(), batch)
	require.NoError(t, err)
	require.Equal(t, "r", reply.outcomes)
	require.Contains(t, reply.fault, "WRONGTYPE")
	require.Equal(t, "1-1", r.rdb.Get(t.Context(), r.keys.committed).Val())
	require.Len(t, r.pending(), 2)

	require.NoError(t, r.rdb.Del(t.Context(), r.keys.dead).Err())
	reply, err = c.runCommit(t.Context(), batch)
	require.NoError(t, err)
	require.Equal(t, commitReply{outcomes: "gdr"}, reply, "what was settled is not written again")
	require.Equal(t, []string{"1-1", "1-3"}, r.relayed())
	require.Len(t, r.dead(), 1)
	values := r.dead()[0].Values
	require.NotEmpty(t, values["dead_at"])
	delete(values, "dead_at")
	require.Equal(t, map[string]any{
		"event": "none", "dead_reason": "why", "dead_detail": "detail", "dead_source_id": "1-2", "dead_node": "a:1", "dead_deliveries": "4",
	}, values)
	require.Empty(t, r.pending())
}

func TestCommitOfNothingPendingChangesNothing(t *testing.T) {
	r := newRig(t)
	r.group()
	r.addAt("1-1", "1-2")
	r.ghostReads("a:1", 1)
	require.NoError(t, r.rdb.XAck(t.Context(), r.keys.events, "gateway", "1-1").Err())
	c := r.scripted()
	reply, err := c.runCommit(t.Context(), c.unitLog(Relay{Log: []string{"a", "b"}, Grants: []Grant{{"7", "u"}}}, "1-1", "x", "1-2", "y"))
	require.NoError(t, err)
	require.Equal(t, commitReply{outcomes: "gg"}, reply, "acknowledged, and not delivered yet")
	require.Zero(t, r.rdb.Exists(t.Context(), r.keys.log, r.keys.committed, r.keys.grants+"7").Val())
	require.Empty(t, r.rdb.Keys(t.Context(), r.keys.seen+"*").Val())
}

func TestCommitCapsTheLog(t *testing.T) {
	r := rigAt(t, redistest.Start(t, "--stream-node-max-entries", "1").Addr()) // so that trimming is exact
	r.group()
	r.addAt("1-1", "1-2", "1-3", "1-4", "1-5", "1-6")
	r.ghostReads("a:1", 6)
	c := r.scripted()
	c.cfg.LogMaxEntries = 3
	reply, err := c.runCommit(t.Context(), c.entries("1-1", "1-2", "1-3"))
	require.NoError(t, err)
	require.Equal(t, commitReply{outcomes: "rrr"}, reply, "the cap itself is allowed")
	reply, err = c.runCommit(t.Context(), c.entries("1-4"))
	require.NoError(t, err)
	require.Equal(t, commitReply{outcomes: "r", cut: 1}, reply, "one more is not")
	require.Equal(t, []string{"1-2", "1-3", "1-4"}, r.relayed())
	reply, err = c.runCommit(t.Context(), c.entries("1-5", "1-6"))
	require.NoError(t, err)
	require.Equal(t, commitReply{outcomes: "rr", cut: 2}, reply)
	require.Equal(t, []string{"1-4", "1-5", "1-6"}, r.relayed())
}

func TestCommitCapsTheDeadLetters(t *testing.T) {
	r := rigAt(t, redistest.Start(t, "--stream-node-max-entries", "1").Addr()) // so that trimming is exact
	r.group()
	ids := []string{"1-1", "1-2", "1-3", "1-4", "1-5", "1-6", "1-7"}
	r.addAt(ids...)
	r.ghostReads("a:1", 7)
	c := r.scripted()
	c.cfg.DeadMaxEntries = 3
	died := func(ids ...string) (out []*entry) {
		for _, id := range ids {
			at, _ := parseStreamID(id)
			out = append(out, c.deadEntry(delivery{id: id, at: at, number: 1}, reject("why", "detail")))
		}
		return out
	}
	reply, err := c.runCommit(t.Context(), died("1-1", "1-2", "1-3"))
	require.NoError(t, err)
	require.Equal(t, commitReply{outcomes: "ddd"}, reply, "the cap itself is allowed")
	reply, err = c.runCommit(t.Context(), died("1-4"))
	require.NoError(t, err)
	require.Equal(t, commitReply{outcomes: "d", deadCut: 1}, reply, "one more is not")
	require.Len(t, r.dead(), 3)
	require.Equal(t, "1-2", r.dead()[0].Values["dead_source_id"])
	c.cfg.DeadMaxEntries = 1
	reply, err = c.runCommit(t.Context(), c.entries("1-5"))
	require.NoError(t, err)
	require.Equal(t, commitReply{outcomes: "r"}, reply, "only a dead letter displaces dead letters")
	reply, err = c.runCommit(t.Context(), append(c.entries("1-6"), died("1-7")...))
	require.NoError(t, err)
	require.Equal(t, commitReply{outcomes: "rd", deadCut: 3}, reply)
	require.Equal(t, "1-7", r.dead()[0].Values["dead_source_id"])
}

func TestCommitTrimsTheLogByAge(t *testing.T) {
	r := rigAt(t, redistest.Start(t, "--stream-node-max-entries", "1").Addr()) // so that trimming is exact
	r.group()
	r.addAt("1-1")
	r.ghostReads("a:1", 1)
	c := r.scripted()
	now := r.rdb.Time(t.Context()).Val()
	young := strconv.FormatInt(now.Add(-c.cfg.LogMaxAge/2).UnixMilli(), 10) + "-0"
	aged := strconv.FormatInt(now.Add(-c.cfg.LogMaxAge-time.Second).UnixMilli(), 10) + "-0"
	near := strconv.FormatInt(now.Add(-c.cfg.LogMaxAge-c.cfg.LogMaxAge/9).UnixMilli(), 10) + "-0"
	old := strconv.FormatInt(now.Add(-c.cfg.LogMaxAge-c.cfg.LogMaxAge/8-10*time.Second).UnixMilli(), 10) + "-0"
	for _, id := range []string{old, near, aged, young} {
		require.NoError(t, r.rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: r.keys.log, ID: id, Values: []string{"a", "b"}}).Err())
	}
	reply, err := c.runCommit(t.Context(), c.entries("1-1"))
	require.NoError(t, err)
	require.Equal(t, commitReply{outcomes: "r"}, reply, "what is old is not counted as cut")
	left := r.unitIDs(r.keys.log)
	require.Len(t, left, 4)
	require.Equal(t, []string{near, aged, young}, left[:3])
}

// After a long outage every reader's position is old, and nothing is lost as long as the log has it.
func TestCommitAfterALongPauseTrimsNothingOfTheLogsEnd(t *testing.T) {
	r := rigAt(t, redistest.Start(t, "--stream-node-max-entries", "1").Addr()) // so that trimming is exact
	r.group()
	r.addAt("1-1", "1-2")
	r.ghostReads("a:1", 2)
	c := r.scripted()
	end := strconv.FormatInt(r.rdb.Time(t.Context()).Val().Add(-10*c.cfg.LogMaxAge).UnixMilli(), 10) + "-0"
	require.NoError(t, r.rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: r.keys.log, ID: end, Values: []string{"a", "b"}}).Err())
	for _, id := range []string{"1-1", "1-2"} {
		_, err := c.runCommit(t.Context(), c.entries(id))
		require.NoError(t, err)
		require.Equal(t, end, r.unitIDs(r.keys.log)[0])
	}
}
