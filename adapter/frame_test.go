package adapter

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// readFrame takes one unfragmented, unmasked WebSocket frame apart, as RFC 6455 has it.
func readFrame(t *testing.T, framed []byte) (op byte, payload []byte) {
	t.Helper()
	require.Equal(t, byte(0x80), framed[0]&0xf0, "final, nothing reserved")
	require.Zero(t, framed[1]&0x80, "a server masks nothing")
	size, rest := uint64(framed[1]), framed[2:]
	switch size {
	case 126:
		size, rest = uint64(binary.BigEndian.Uint16(rest)), rest[2:]
		require.Greater(t, size, uint64(125), "in the shortest form")
	case 127:
		size, rest = binary.BigEndian.Uint64(rest), rest[8:]
		require.Greater(t, size, uint64(1<<16-1), "in the shortest form")
	}
	require.Len(t, rest, int(size))
	return framed[0] & 0x0f, rest
}

func TestAFrameIsACompleteWebSocketMessage(t *testing.T) {
	id := uint64(7)
	for _, text := range []int{0, 1, 100, 125, 126, 1000, 65_535, 65_536, 200_000} {
		arg := strings.Repeat("x", text)
		body := packetBody{array: []byte(`["ev","` + arg + `"]`), id: &id, offset: streamID{ms: 12, seq: 3}}
		f := newFrame("/n", body, flags{})
		require.Len(t, f.frames, 1)
		op, payload := readFrame(t, f.frames[0])
		require.Equal(t, byte(1), op)
		require.Equal(t, `42/n,7["ev","`+arg+`","12-3"]`, string(payload))
		require.Equal(t, payload, framePayload(f.frames[0]))
		require.Equal(t, `["ev","`+arg+`","12-3"]`, string(f.frames[0][f.array:]))
		require.Equal(t, len(f.frames[0]), f.size())
	}
	for _, size := range []int{0, 125, 126, 65_535, 65_536} {
		data := []byte(strings.Repeat("b", size))
		f := newFrame("/", packetBody{array: []byte(`["ev"]`), attachments: [][]byte{data, {1}}}, flags{})
		require.Len(t, f.frames, 3)
		op, payload := readFrame(t, f.frames[0])
		require.Equal(t, byte(1), op)
		require.Equal(t, `452-["ev"]`, string(payload))
		op, payload = readFrame(t, f.frames[1])
		require.Equal(t, byte(2), op)
		require.Equal(t, data, payload)
		_, payload = readFrame(t, f.frames[2])
		require.Equal(t, []byte{1}, payload)
		require.Equal(t, len(f.frames[0])+len(f.frames[1])+len(f.frames[2]), f.size())
	}
}
