package adapter

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"
)

const fuzzPid = "0123456789abcdefghij"

// fuzzRig is an adapter whose log holds some entries, on a Redis that the fuzzing puts sessions into.
type fuzzRig struct {
	c     *redis.Client
	a     *nspAdapter
	ended context.CancelFunc
}

func newFuzzRig(f *testing.F) *fuzzRig {
	c := redis.NewClient(&redis.Options{Addr: miniredis.RunT(f).Addr(), MaxRetries: -1})
	cfg := testConfig("a:1")
	cfg.RingMaxEntries, cfg.SessionTimeout = 3, 10*time.Second
	cluster, err := New(cfg, Deps{Redis: c, Blocking: c, Log: slog.New(slog.DiscardHandler)})
	require.NoError(f, err)
	l := tape{f, c}
	for i, id := range []string{"5-1", "5-2", "6-0", "7-0", "7-1", "7-2"} {
		l.add(id, "1-"+string(rune('1'+i)), "r", "e")
	}
	reader := newReader(cluster)
	require.NoError(f, reader.start(context.Background()))
	reader.setPosition(reader.pos)
	opts := socket.DefaultServerOptions()
	opts.SetAdapter(cluster)
	io := socket.NewServer(nil, opts)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	go func() { cluster.sessions.loads.run(ctx); done <- struct{}{} }()
	go func() { cluster.sessions.takes.run(ctx); done <- struct{}{} }()
	f.Cleanup(func() { cancel(); <-done; <-done; io.Close(nil); _ = c.Close() })
	return &fuzzRig{c: c, a: cluster.adapterOf("/"), ended: cancel}
}

func (r *fuzzRig) restore(t *testing.T, pid, offset string) *Recovery {
	session, err := r.a.RestoreSession(socket.PrivateSessionId(pid), offset)
	require.NoError(t, err)
	if session == nil {
		return nil
	}
	recovery, is := session.Data.(*Recovery)
	require.True(t, is)
	require.Empty(t, session.MissedPackets)
	require.Zero(t, session.Rooms.Len())
	require.NotEmpty(t, session.Sid)
	return recovery
}

// What Redis holds as a session may be anything; it must neither panic nor make a session of what is none.
func FuzzStoredSession(f *testing.F) {
	r := newFuzzRig(f)
	for _, value := range append(faulty,
		recordJSON("a:1", 1, "s"), recordJSON("b:1", 1<<62, "s"), recordJSON("b:1", -1, "s"),
		recordJSON("b:1", 3, "s", func(r *record) { r.Ended = true }),
		recordJSON("b:1", 3, "s", func(r *record) { r.Rooms = map[string]string{"r": "7-0", "": "x", "q": "99-0", "z": "5-9"} }),
		`{"owner":"o","gen":1,"rooms":[]}`, `{"owner":"o","gen":1,"rooms":{"r":null}}`, `{"owner":"o","gen":1,"ended":null}`,
		`{"owner":"o","gen":1.5}`, `{"owner":null,"gen":2}`, `{"gen":1,"gen":2}`, `{"OWNER":"o","GEN":1}`,
	) {
		f.Add(value)
	}
	f.Add(nodeSessionText(f, map[string]any{"sid": "s", "rooms": []any{"s", "r"}, "data": map[string]any{"user_id": "u"}}))
	f.Fuzz(func(t *testing.T, value string) {
		ctx := context.Background()
		require.NoError(t, r.c.Set(ctx, "{teloo}:session:"+fuzzPid, value, 0).Err())
		found := r.restore(t, fuzzPid, "7-1")
		var rec record
		_, valid := nodeSession(value)
		valid = valid || json.Unmarshal([]byte(value), &rec) == nil && rec.Gen > 0 && !rec.Ended
		if found == nil {
			return
		}
		require.True(t, valid)
		require.LessOrEqual(t, len(found.pinned), 1)
		require.False(t, found.unavailable)
		if err := found.Take(ctx); err != nil {
			require.ErrorIs(t, err, ErrSessionLost)
		} else {
			text := r.c.Get(ctx, "{teloo}:session:"+fuzzPid).Val()
			require.NoError(t, json.Unmarshal([]byte(text), &rec))
			require.Equal(t, found.rec.Gen+1, rec.Gen)
			require.Equal(t, "a:1", rec.Owner)
		}
		local := r.a.c.sessions.local
		local.mu.Lock()
		if s := local.byPid[fuzzPid]; s != nil {
			local.drop(s)
		}
		local.mu.Unlock()
	})
}

func FuzzPidAndOffset(f *testing.F) {
	r := newFuzzRig(f)
	require.NoError(f, r.c.Set(context.Background(), "{teloo}:session:"+fuzzPid, recordJSON("b:1", 1, "s", func(r *record) {
		r.Closed, r.Rooms = true, map[string]string{"r": "5-1"}
	}), 0).Err())
	positions := map[string]int{"5-1": 5, "5-2": 4, "6-0": 3, "7-0": 2, "7-1": 1, "7-2": 0, "0-0": 6}
	for offset := range positions {
		f.Add(fuzzPid, offset)
	}
	for _, offset := range []string{"", "-", "7", "7-", "-1", "07-1", "7-01", "99-0", "18446744073709551615-18446744073709551615", "6-5", "$", "+", "(7-1"} {
		f.Add(fuzzPid, offset)
	}
	for _, pid := range []string{"", "short", "0123456789abcdefghi:", "0123456789abcdefghi\n", "../../../../../../..", "{teloo}:log{teloo}:log"} {
		f.Add(pid, "7-1")
	}
	f.Fuzz(func(t *testing.T, pid, offset string) {
		found := r.restore(t, pid, offset)
		missed, known := positions[offset]
		if pid != fuzzPid || !known {
			require.Nil(t, found)
			return
		}
		if offset == "0-0" { // the embedded Redis does not say whether the log was ever trimmed
			return
		}
		require.NotNil(t, found)
		require.Len(t, found.pinned, min(missed, 5))
	})
}
