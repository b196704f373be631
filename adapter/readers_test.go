package adapter

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/v3/pkg/types"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// The library's binary arguments are readers, and so empty for the second who is sent them.
func TestReadersReachEverySocketWhole(t *testing.T) {
	server := redistest.Start(t)
	n := startNode(t, server.Addr(), testConfig("n:1"))
	clients := []*client{n.connect("r"), n.connect("r"), n.connect("r")}
	args := func() []any { return []any{strings.NewReader("text"), types.NewBytesBuffer([]byte{1, 2})} }
	_ = n.io.To("r").Emit("logged", args()...)
	for _, c := range clients {
		c.expect(`451-["logged","text",{"_placeholder":true,"num":0}]`)
	}
	_ = n.io.Local().To("r").Emit("local", args()...)
	for _, c := range clients {
		c.expect(`451-["logged","text",{"_placeholder":true,"num":0}]`, `451-["local","text",{"_placeholder":true,"num":0}]`)
		eventually(t, "attachments", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.binary) == 2 })
		require.Equal(t, [][]byte{{1, 2}, {1, 2}}, c.binary)
	}
}
