package engine

import (
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

func ignore(ws.OpCode, []byte) bool { return true }

// A length whose sum with the fragments before overflows would be waited for with all that the client sends.
func TestALengthThatOverflowsIsTooLarge(t *testing.T) {
	c := &conn{message: []byte("x"), opcode: ws.OpText}
	header := []byte{0x80, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}
	_, err := c.parse(header, 100, ignore)
	require.ErrorIs(t, err, errTooLarge)
}

// Control frames between the fragments of a message are no part of it.
func TestAPingDoesNotCountAsPartOfTheMessage(t *testing.T) {
	c := &conn{message: make([]byte, 99), opcode: ws.OpText}
	_, err := c.parse([]byte{0x89, 0x82, 0, 0, 0, 0, 'h', 'i'}, 100, ignore)
	require.NoError(t, err)
}

func TestFragmentsCountTogether(t *testing.T) {
	for size, want := range map[byte]error{1: nil, 2: errTooLarge} {
		c := &conn{message: make([]byte, 99), opcode: ws.OpText}
		frame := append([]byte{0x80, 0x80 | size, 0, 0, 0, 0}, make([]byte, size)...)
		_, err := c.parse(frame, 100, ignore)
		require.ErrorIs(t, err, want, "fragment of %d bytes", size)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{0x81, 0x82, 1, 2, 3, 4, '4', 'a'})
	f.Add([]byte{0x01, 0x81, 0, 0, 0, 0, 'x', 0x80, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 64
		rest, err := (&conn{}).parse(data, limit, func(op ws.OpCode, payload []byte) bool {
			if !op.IsControl() {
				require.LessOrEqual(t, len(payload), limit)
			}
			return true
		})
		if err == nil {
			require.Less(t, len(rest), ws.MaxHeaderSize+max(limit, ws.MaxControlFramePayloadSize), "more is held than a frame may have")
		}
	})
}
