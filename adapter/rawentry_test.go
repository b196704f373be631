package adapter

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func TestARawReplyReadsAsTheClientsOwnDecodingDoes(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	admin := server.Client()
	for i, fields := range [][]string{
		{"uid", "n", "nsp", "/", "type", "3", "data", "{\r\n}", "src", "5-1"},
		{"src", "0-0"},
		{"other", strings.Repeat("x", 100_000)},
		{"uid", "", "nsp", "", "src", ""},
	} {
		add := &redis.XAddArgs{Stream: logKey, ID: fmt.Sprint(i+1, "-7"), Values: fields}
		require.NoError(t, admin.XAdd(ctx, add).Err())
	}
	for _, protocol := range []int{2, 3} {
		client := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1, Protocol: protocol})
		t.Cleanup(func() { _ = client.Close() })
		for _, count := range []int{1, 2, 100} {
			read := logRead{key: logKey, count: count, block: -1}
			want, err := read.send(ctx, client, true)()
			require.NoError(t, err)
			require.Len(t, want, min(count, 4))
			got, err := read.send(ctx, client, false)()
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		for _, read := range []logRead{
			{key: logKey, after: streamID{ms: 9}, count: 1, block: -1},
			{key: logKey, after: streamID{ms: 9}, count: 1, block: time.Millisecond},
			{key: "none", count: 1, block: -1},
		} {
			for _, plainly := range []bool{false, true} {
				got, err := read.send(ctx, client, plainly)()
				require.NoError(t, err)
				require.Empty(t, got)
			}
		}
	}
}

// A client that does not hear of an error keeps a connection to a server that has become a replica.
func TestARefusedReadIsRepeatedSoThatTheClientHearsOfIt(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	require.NoError(t, server.Client().Set(ctx, logKey, "no stream", 0).Err())
	clients := redisClients(t, server.Addr())
	_, err := logRead{key: logKey, count: 1, block: -1}.send(ctx, clients.redis, false)()
	require.ErrorIs(t, err, errRefused)
	c, err := New(testConfig("a:1"), Deps{Redis: clients.redis, Blocking: clients.blocking})
	require.NoError(t, err)
	r := newReader(c)
	_, err = r.read(ctx, streamID{}, 1)
	require.True(t, redis.HasErrorPrefix(err, "WRONGTYPE"), "%v", err)
	_, _, err = r.await(ctx)
	require.True(t, redis.HasErrorPrefix(err, "WRONGTYPE"), "%v", err)
}

func FuzzParseReply(f *testing.F) {
	whole := "*1\r\n*2\r\n$3\r\nlog\r\n*2\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$3\r\nuid\r\n$1\r\nn\r\n*2\r\n$3\r\n2-1\r\n*0\r\n"
	entries, err := parseReply(whole)
	require.NoError(f, err)
	require.Equal(f, []rawEntry{{id: streamID{1, 1}, uid: "n", fields: 1}, {id: streamID{2, 1}}}, entries)
	for i := range len(whole) {
		_, err := parseReply(whole[:i])
		require.ErrorIs(f, err, errReply, whole[:i])
		f.Add(whole[:i] + "9" + whole[i+1:])
	}
	f.Add(strings.Replace(whole, "*1\r\n*2", "%1", 1))
	for reply, want := range map[string]error{
		"*-1\r\n": nil, "_\r\n": nil, "-ERR no\r\n": errRefused, "!3\r\nERR\r\n": errRefused, "": errReply, "+OK\r\n": errReply,
		"*1\r\n*2\r\n$3\r\nlog\r\n*999999999\r\n": errReply, "*1\r\n*2\r\n$3\r\nlog\r\n*-1\r\n": errReply,
		whole + "x": errReply, "*1\r\n*2\r\n$3\r\nlog\r\n*1\r\n*2\r\n$1\r\nx\r\n*0\r\n": errReply,
	} {
		_, err := parseReply(reply)
		require.ErrorIs(f, err, want, reply)
		f.Add(reply)
	}
	f.Fuzz(func(t *testing.T, reply string) { _, _ = parseReply(reply) })
}
