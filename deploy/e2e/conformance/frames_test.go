package conformance

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func join(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func TestFragmentedMessages(t *testing.T) {
	s := start(t, nil)
	w, _ := s.openWS()
	w.write(join(frame(false, opText, []byte("4h")), frame(false, opContinuation, nil), frame(true, opContinuation, []byte("ello"))))
	require.Equal(t, "4hello", w.text())
	// A character may be cut in two.
	w.write(join(frame(false, opText, []byte("4\xe2\x82")), frame(true, opContinuation, []byte("\xac"))))
	require.Equal(t, "4€", w.text())
	w.write(join(frame(false, opBinary, []byte{1}), frame(true, opContinuation, []byte{2})))
	op, data := w.message()
	require.Equal(t, byte(opBinary), op)
	require.Equal(t, []byte{1, 2}, data)
}

func TestControlFramesBetweenFragments(t *testing.T) {
	s := start(t, nil)
	w, _ := s.openWS()
	w.write(join(frame(false, opText, []byte("4a")), frame(true, opPing, []byte("now")), frame(true, opPong, nil), frame(true, opContinuation, []byte("b"))))
	f, err := w.read()
	require.NoError(t, err)
	require.Equal(t, wsFrame{fin: true, op: opPong, payload: []byte("now")}, f)
	require.Equal(t, "4ab", w.text())
}

func TestPingFramesAreAnswered(t *testing.T) {
	s := start(t, nil)
	w, _ := s.openWS()
	for _, payload := range [][]byte{{}, []byte("x"), bytesOf(125)} {
		w.write(frame(true, opPing, payload))
		f, err := w.read()
		require.NoError(t, err)
		require.Equal(t, wsFrame{fin: true, op: opPong, payload: payload}, f)
	}
}

func TestFramesInSmallPieces(t *testing.T) {
	s := start(t, nil)
	w, _ := s.openWS()
	data := join(textFrame("4piece"), frame(true, opText, append([]byte("4"), bytesOf(300)...)))
	for i := range data {
		w.write(data[i : i+1])
	}
	require.Equal(t, "4piece", w.text())
	require.Len(t, w.text(), 301)
}

func TestFaultyFrames(t *testing.T) {
	s := start(t, func(set *setup) { set.CloseGrace = 300 * time.Millisecond })
	code := func(n uint16) []byte { return frame(true, opClose, binary.BigEndian.AppendUint16(nil, n)) }
	for name, c := range map[string]struct {
		data []byte
		code int
	}{
		"no mask":                       {[]byte{0x81, 0x02, '4', 'x'}, closeProtocol},
		"a reserved bit":                {reserved(0x40), closeProtocol},
		"another reserved bit":          {reserved(0x10), closeProtocol},
		"an unknown opcode":             {frame(true, 0x3, []byte("4")), closeProtocol},
		"an unknown control opcode":     {frame(true, 0xb, nil), closeProtocol},
		"a large ping":                  {frame(true, opPing, bytesOf(126)), closeProtocol},
		"a ping in fragments":           {frame(false, opPing, nil), closeProtocol},
		"a continuation of nothing":     {frame(true, opContinuation, []byte("4x")), closeProtocol},
		"a message within a message":    {join(frame(false, opText, []byte("4a")), textFrame("4b")), closeProtocol},
		"a close frame of one byte":     {frame(true, opClose, []byte{3}), closeProtocol},
		"close code 1005":               {code(1005), closeProtocol},
		"close code 999":                {code(999), closeProtocol},
		"text that is not UTF-8":        {frame(true, opText, []byte("4\xff")), closeNotUTF8},
		"a surrogate":                   {frame(true, opText, []byte("4\xed\xa0\x80")), closeNotUTF8},
		"UTF-8 cut off by the end":      {frame(true, opText, []byte("4\xe2\x82")), closeNotUTF8},
		"not UTF-8, over two fragments": {join(frame(false, opText, []byte("4\xe2")), frame(true, opContinuation, []byte("(\xa1"))), closeNotUTF8},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			w, h := s.openWS()
			w.write(join(c.data, textFrame("4never")))
			e := w.ended()
			require.Empty(t, e.messages)
			require.Equal(t, c.code, e.code)
			s.closedWith(h.SID, "transport error", "transport close")
		})
	}
}

// reserved is a text frame with a reserved bit.
func reserved(bit byte) []byte {
	data := textFrame("4x")
	data[0] |= bit
	return data
}
