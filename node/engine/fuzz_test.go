package engine

import (
	"errors"
	"slices"
	"testing"

	"github.com/gobwas/ws"
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
