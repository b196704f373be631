package engine

import (
	"encoding/base64"
	"encoding/binary"
	"io"

	"github.com/gobwas/ws"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// Packet types of Engine.IO, as they stand before a text message's payload.
const (
	packetOpen    = '0'
	packetClose   = '1'
	packetPing    = '2'
	packetPong    = '3'
	packetMessage = '4'
	packetUpgrade = '5'
	packetNoop    = '6'
)

// recordSeparator stands between the packets of a long-polling payload.
const recordSeparator = 0x1e

// binaryMark begins a binary message in a payload, in base64.
const binaryMark = 'b'

const (
	frameText   = 0x80 | byte(ws.OpText) // complete in one frame
	frameBinary = 0x80 | byte(ws.OpBinary)
	frameClose  = 0x80 | byte(ws.OpClose)
	framePong   = 0x80 | byte(ws.OpPong)
)

var pingFrame = []byte{frameText, 1, packetPing}

// appendHeader appends what precedes size bytes of payload in an unmasked frame.
func appendHeader(dst []byte, first byte, size int) []byte {
	const len16, len64 = 126, 127
	switch {
	case size < len16:
		return append(dst, first, byte(size))
	case size <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, first, len16), uint16(size))
	default:
		return binary.BigEndian.AppendUint64(append(dst, first, len64), uint64(size))
	}
}

// payloadOf is what an unmasked frame carries.
func payloadOf(frame []byte) []byte {
	const len16, len64 = 126, 127
	switch frame[1] {
	case len16:
		return frame[4:]
	case len64:
		return frame[10:]
	default:
		return frame[2:]
	}
}

// newFrame frames an Engine.IO packet for sending as text.
func newFrame(kind byte, payload []byte) []byte {
	frame := appendHeader(make([]byte, 0, len(payload)+11), frameText, 1+len(payload))
	return append(append(frame, kind), payload...)
}

func newCloseFrame(code ws.StatusCode) []byte {
	return binary.BigEndian.AppendUint16([]byte{frameClose, 2}, uint16(code))
}

// messageFrame frames what the library writes: text or binary by the reader's kind.
func messageFrame(data io.Reader) ([]byte, error) {
	switch d := data.(type) {
	case *types.StringBuffer:
		return newFrame(packetMessage, d.Bytes()), nil
	case *types.BytesBuffer:
		return append(appendHeader(nil, frameBinary, d.Len()), d.Bytes()...), nil
	}
	raw, err := io.ReadAll(data)
	if err != nil {
		return nil, err
	}
	if _, isText := data.(interface{ ReadRune() (rune, int, error) }); isText {
		if _, isBytes := data.(*types.BytesBuffer); !isBytes {
			return newFrame(packetMessage, raw), nil
		}
	}
	return append(appendHeader(nil, frameBinary, len(raw)), raw...), nil
}

// appendPolled appends a frame's packet to a long-polling payload.
func appendPolled(dst, frame []byte) []byte {
	if len(dst) > 0 {
		dst = append(dst, recordSeparator)
	}
	if frame[0] == frameText {
		return append(dst, payloadOf(frame)...)
	}
	return base64.StdEncoding.AppendEncode(append(dst, binaryMark), payloadOf(frame))
}
