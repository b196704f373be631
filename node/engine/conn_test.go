package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

// masked is a client's frame.
func masked(fin bool, op ws.OpCode, payload string) []byte {
	frame := ws.NewFrame(op, fin, []byte(payload))
	return ws.MustCompileFrame(ws.MaskFrameWith(frame, [4]byte{1, 2, 3, 4}))
}

func join(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

// parsed is what comes of data when it comes in pieces of the given size.
func parsed(data []byte, piece, limit int) (messages []string, rest []byte, err error) {
	c := &conn{}
	for len(data) > 0 && err == nil {
		n := min(piece, len(data))
		rest, err = c.parse(append(append([]byte(nil), rest...), data[:n]...), func() int { return limit }, func(op ws.OpCode, payload []byte) bool {
			messages = append(messages, fmt.Sprintf("%d:%s", op, payload))
			return true
		})
		data = data[n:]
	}
	return messages, rest, err
}

func TestParse(t *testing.T) {
	long := strings.Repeat("é", 300)
	veryLong := strings.Repeat("x", 70_000)
	for _, c := range []struct {
		name string
		data []byte
		want []string
	}{
		{"one", masked(true, ws.OpText, "4hello"), []string{"1:4hello"}},
		{"empty", masked(true, ws.OpBinary, ""), []string{"2:"}},
		{"16-bit length", masked(true, ws.OpText, long), []string{"1:" + long}},
		{"64-bit length", masked(true, ws.OpText, veryLong), []string{"1:" + veryLong}},
		{"several", join(masked(true, ws.OpText, "a"), masked(true, ws.OpBinary, "b"), masked(true, ws.OpPing, "c")), []string{"1:a", "2:b", "9:c"}},
		{"fragments", join(masked(false, ws.OpText, "a"), masked(false, ws.OpContinuation, ""), masked(true, ws.OpContinuation, "b")), []string{"1:ab"}},
		{"empty fragments", join(masked(false, ws.OpText, ""), masked(true, ws.OpContinuation, ""), masked(true, ws.OpText, "x")), []string{"1:", "1:x"}},
		{"split character", join(masked(false, ws.OpText, "\xc3"), masked(true, ws.OpContinuation, "\xa9")), []string{"1:é"}},
		{
			"control frames in between",
			join(masked(false, ws.OpBinary, "a"), masked(true, ws.OpPing, "p"), masked(true, ws.OpPong, "q"), masked(true, ws.OpContinuation, "b")),
			[]string{"9:p", "10:q", "2:ab"},
		},
		{"close", masked(true, ws.OpClose, "\x03\xe8bye"), []string{"8:\x03\xe8bye"}},
		{"close without status", masked(true, ws.OpClose, ""), []string{"8:"}},
	} {
		for _, piece := range []int{1, 3, 4096, 1 << 20} {
			if piece < len(c.data)/1000 {
				continue
			}
			got, rest, err := parsed(c.data, piece, 100_000)
			require.NoError(t, err, c.name)
			require.Equal(t, c.want, got, "%s in pieces of %d", c.name, piece)
			require.Empty(t, rest, c.name)
		}
	}
}

func TestParseKeepsABeginning(t *testing.T) {
	whole := masked(true, ws.OpText, "4hello")
	for n := range whole {
		got, rest, err := parsed(join(masked(true, ws.OpText, "a"), whole[:n]), 1<<20, 100)
		require.NoError(t, err)
		require.Equal(t, []string{"1:a"}, got)
		require.Equal(t, whole[:n], append([]byte{}, rest...))
	}
}

func TestParseRefuses(t *testing.T) {
	unmasked := ws.MustCompileFrame(ws.NewTextFrame([]byte("x")))
	reserved := masked(true, ws.OpText, "x")
	reserved[0] |= 0x40
	msb := binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, 1<<63)
	for _, c := range []struct {
		name string
		data []byte
		want error
	}{
		{"unmasked", unmasked, ws.ErrProtocolMaskRequired},
		{"reserved bit", reserved, ws.ErrProtocolNonZeroRsv},
		{"reserved opcode", masked(true, 3, ""), ws.ErrProtocolOpCodeReserved},
		{"fragmented control frame", masked(false, ws.OpPing, ""), ws.ErrProtocolControlNotFinal},
		{"long control frame", masked(true, ws.OpPing, strings.Repeat("x", 126)), ws.ErrProtocolControlPayloadOverflow},
		{"continuation of nothing", masked(true, ws.OpContinuation, "x"), ws.ErrProtocolContinuationUnexpected},
		{"message in a message", join(masked(false, ws.OpText, "x"), masked(true, ws.OpText, "y")), ws.ErrProtocolContinuationExpected},
		{"not UTF-8", masked(true, ws.OpText, "\xff"), errNotUTF8},
		{"not UTF-8 in the end", join(masked(false, ws.OpText, "a"), masked(true, ws.OpContinuation, "\xc3")), errNotUTF8},
		{"half a status", masked(true, ws.OpClose, "x"), ws.ErrProtocolStatusCodeNotInUse},
		{"status not in use", masked(true, ws.OpClose, "\x00\x01"), ws.ErrProtocolStatusCodeNotInUse},
		{"close reason not UTF-8", masked(true, ws.OpClose, "\x03\xe8\xff"), ws.ErrProtocolStatusCodeNotInUse},
		{"length's first bit", join(msb, make([]byte, 4)), ws.ErrHeaderLengthMSB},
		{"too large", masked(true, ws.OpText, strings.Repeat("x", 301)), errTooLarge},
		{"too large, of its header", masked(true, ws.OpText, strings.Repeat("x", 301))[:8], errTooLarge},
		{"too large together", join(masked(false, ws.OpText, strings.Repeat("x", 200)), masked(true, ws.OpContinuation, strings.Repeat("x", 101))), errTooLarge},
	} {
		for _, piece := range []int{1, 1 << 20} {
			_, _, err := parsed(c.data, piece, 300)
			require.ErrorIs(t, err, c.want, "%s in pieces of %d", c.name, piece)
		}
	}
}

// A length near the largest must not come out as a small one when a fragment's is added.
func TestParseRefusesALengthThatOverflows(t *testing.T) {
	header := binary.BigEndian.AppendUint64([]byte{0x80, 0xff}, 1<<63-1)
	data := join(masked(false, ws.OpText, "4"), header, make([]byte, 4), []byte("and so on"))
	_, _, err := parsed(data, 1<<20, 100)
	require.ErrorIs(t, err, errTooLarge)
}

// What a control frame carries is no part of the message that it stands in.
func TestParseControlFrameBesideAFullMessage(t *testing.T) {
	full := strings.Repeat("x", 100)
	got, _, err := parsed(join(masked(false, ws.OpText, full), masked(true, ws.OpPing, "alive"), masked(true, ws.OpContinuation, "")), 1<<20, 100)
	require.NoError(t, err)
	require.Equal(t, []string{"9:alive", "1:" + full}, got)
}

func TestParseEndsWhenItsHandlerSaysSo(t *testing.T) {
	c := &conn{}
	calls := 0
	_, err := c.parse(join(masked(true, ws.OpText, "a"), masked(true, ws.OpText, "b")), func() int { return 100 }, func(ws.OpCode, []byte) bool {
		calls++
		return false
	})
	require.ErrorIs(t, err, errEnded)
	require.Equal(t, 1, calls)
}

func TestFrameHeaders(t *testing.T) {
	for _, size := range []int{0, 1, 124, 125, 126, 65_534, 65_535, 65_536, 100_000} {
		payload := bytes.Repeat([]byte("x"), size)
		frame := newFrame(packetMessage, payload)
		require.Equal(t, ws.MustCompileFrame(ws.NewTextFrame(append([]byte("4"), payload...))), frame, "%d", size)
		require.Equal(t, append([]byte("4"), payload...), payloadOf(frame), "%d", size)
	}
	require.Equal(t, ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, ""))), newCloseFrame(1000))
}
