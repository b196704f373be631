package adapter

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"
)

func TestAHandshakeIsToNodeAsItsOwn(t *testing.T) {
	own := &socket.Handshake{
		Headers: map[string]any{"User-Agent": []string{"x"}, "X-Forwarded-For": []string{"a", "b"}, "Cookie": []string{"secret"}},
		Time:    "now", Address: "127.0.0.1", Xdomain: true, Issued: 17, Url: "/socket.io/?EIO=4&token=secret&to%6ben=secret&t=x&%zz=1",
		Query: map[string]any{"EIO": []string{"4"}, "tag": []string{"a", "b"}, "token": []string{"secret"}},
		Auth:  map[string]any{"kept": int64(1), "token": "secret"},
	}
	value, is := handshakeValue(own).(map[string]any)
	require.True(t, is)
	require.Equal(t, map[string]any{"user-agent": "x", "x-forwarded-for": "a, b"}, value["headers"])
	require.Equal(t, map[string]any{"EIO": "4", "tag": []string{"a", "b"}}, value["query"])
	require.Equal(t, map[string]any{"kept": int64(1)}, value["auth"])
	require.Equal(t, "/socket.io/?EIO=4&t=x", value["url"])
	back := handshakeFrom(value)
	require.EqualValues(t, map[string]any{"User-Agent": []string{"x"}, "X-Forwarded-For": []string{"a, b"}}, back.Headers)
	require.EqualValues(t, map[string]any{"EIO": []string{"4"}, "tag": []string{"a", "b"}}, back.Query)
	require.Equal(t, own.Issued, back.Issued)
	require.Empty(t, handshakeFrom(handshakeValue(nil)).Headers)
}
