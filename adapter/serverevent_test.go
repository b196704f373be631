package adapter

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func TestServerSideEventsOfTheLog(t *testing.T) {
	server := redistest.Start(t)
	n := startNode(t, server.Addr(), testConfig("a:1"))
	heard := make(chan []any, 8)
	_ = n.io.On("tell", func(args ...any) { heard <- args })
	add := func(uid string, kind messageType, data string) {
		require.NoError(t, server.Client().XAdd(context.Background(), &redis.XAddArgs{
			Stream: "{teloo}:log", Values: []any{"uid", uid, "nsp", "/", "type", strconv.Itoa(int(kind)), "data", data},
		}).Err())
	}
	packed, err := packMsgpack(map[string]any{"packet": []any{"tell", []byte{1, 2}}})
	require.NoError(t, err)
	add("emitter", typeServerSideEmit, `{"packet":["tell",1,{"k":null}]}`)
	add("a:1", typeServerSideEmit, `{"packet":["tell","its own"]}`)
	add("emitter", typeServerSideEmit, base64.StdEncoding.EncodeToString(packed))
	for _, faulty := range []string{
		`{`, `{}`, `{"packet":{}}`, `{"packet":["tell"],"requestId":"x"}`, "!", "AA", base64.StdEncoding.EncodeToString([]byte{0x90}),
	} {
		add("emitter", typeServerSideEmit, faulty)
	}
	add("emitter", typeServerSideEmit, `{"packet":["connection",{}]}`)
	add("emitter", typeFetchSockets, `{}`)
	add("emitter", typeServerSideEmit, `{"packet":["tell","last"]}`)
	require.Equal(t, []any{1.0, map[string]any{"k": nil}}, <-heard)
	require.Equal(t, []any{[]byte{1, 2}}, <-heard)
	add("emitter", typeServerSideEmit, `{"packet":["tell","last"],"deep":`+strings.Repeat("[", 1<<20)+strings.Repeat("]", 1<<20)+`}`)
	require.Equal(t, []any{"last"}, <-heard)
	eventually(t, "all are decoded", func() bool { return n.cluster.Stats().BadEntries == 9 })
	require.Equal(t, uint64(1), n.cluster.Stats().BadMessages, "a namespace's own events carry sockets")
}

func FuzzServerEvent(f *testing.F) {
	for _, data := range []string{`{"packet":["e",1]}`, `{"packet":["e"],"requestId":"1"}`, "gaZwYWNrZXSRoWU="} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data string) {
		if data == "" {
			return
		}
		if args, err := serverEvent(data); err == nil {
			_, _, err := freezeSlice(args, 0)
			require.NoError(t, err)
		}
	})
}

func TestGatewaysAloneAreWaitedForByWhatTheyAloneKnow(t *testing.T) {
	server := redistest.Start(t)
	cfg := testConfig("a:1")
	cfg.RequestTimeout = time.Hour
	n, other := startNode(t, server.Addr(), cfg), startNode(t, server.Addr(), testConfig("b:1"))
	ghostOf(t, server.Client(), "0123456789abcdef")
	_ = other.io.On("which", func(args ...any) { args[len(args)-1].(func([]any, error))([]any{"b"}, nil) })
	ctx := context.Background()
	members, err := n.cluster.members(ctx, "/")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"b:1", "0123456789abcdef"}, members)
	reports, silent, err := n.cluster.Inquire(ctx, "/", Inquiry{Entry: "1-0"})
	require.NoError(t, err)
	require.Empty(t, silent)
	require.Len(t, reports, 2)
	answers, err := n.cluster.adapterOf("/").Ask(ctx, []any{"which"})
	require.NoError(t, err)
	require.Len(t, answers, 1)
	require.Equal(t, []string{"b:1", "host:1732876543210", "0123456789abcdeg", "0123456789abcdef0"},
		gatewaysOf([]string{"b:1", "host:1732876543210", "0123456789abcdef", "0123456789abcdeg", "0123456789abcdef0"}))
}
