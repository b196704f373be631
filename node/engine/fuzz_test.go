package engine

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// However the bytes of a connection are split, the same messages and the same fault come of them.
func FuzzFrames(f *testing.F) {
	f.Add(join(masked(true, ws.OpText, "4hello"), masked(true, ws.OpBinary, "x")), uint8(1))
	f.Add(join(masked(false, ws.OpText, "4h"), masked(true, ws.OpPing, ""), masked(true, ws.OpContinuation, "i")), uint8(3))
	f.Add(join(masked(true, ws.OpClose, "\x03\xe8"), []byte{0x81, 0xff, 0xff}), uint8(2))
	f.Add(join(masked(false, ws.OpText, "4"), []byte{0x80, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}), uint8(5))
	f.Fuzz(func(t *testing.T, data []byte, piece uint8) {
		const limit = 200
		whole, left, wholeErr := parsed(data, len(data)+1, limit)
		split, leftSplit, splitErr := parsed(data, int(piece)+1, limit)
		if !slices.Equal(whole, split) {
			t.Fatalf("whole %q, split %q", whole, split)
		}
		if !errors.Is(splitErr, wholeErr) || string(left) != string(leftSplit) {
			t.Fatalf("whole %v with %q left, split %v with %q", wholeErr, left, splitErr, leftSplit)
		}
		if wholeErr == nil && len(left) > limit+ws.MaxHeaderSize {
			t.Fatalf("%d bytes wait for more", len(left))
		}
	})
}

// A long-polling payload is malformed, or its messages are those that came; it never ends in a panic.
func FuzzPayload(f *testing.F) {
	r := newRig(f, nil, nil)
	f.Add([]byte("4hello\x1ebAAE=\x1e3"))
	f.Add([]byte("4a\x1e\x1e4b"))
	f.Add([]byte("b\n=\x1e1\x1e4after"))
	f.Add([]byte("4\xff\x1e2"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		s, messages, ok := receiveFuzzed(t, r, payload, false)
		packets := bytes.Count(payload, []byte{recordSeparator}) + 1
		if messages > packets {
			t.Fatalf("%d messages of %d packets", messages, packets)
		}
		if ok && len(payload) == 0 {
			t.Fatal("an empty payload is malformed")
		}
		s.end(reasonForced, nil)
	})
}

// receiveFuzzed has a new session, of an old client or another, receive a payload, and counts the messages in it.
func receiveFuzzed(t *testing.T, r *rig, payload []byte, old bool) (s *Session, messages int, ok bool) {
	s = &Session{id: "fuzzed", server: r.server, old: old}
	r.server.keep(s)
	s.alarm.session = s
	_ = s.On("data", func(args ...any) {
		messages++
		if text, ok := args[0].(*types.StringBuffer); ok && !utf8.Valid(text.Bytes()) {
			t.Errorf("%q is not UTF-8", text.Bytes())
		}
	})
	ok = s.receivePayload(payload)
	return s, messages, ok
}
