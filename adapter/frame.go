package adapter

import (
	"encoding/binary"
	"strconv"
	"sync/atomic"
)

const (
	// opText and opBinary begin an unfragmented WebSocket frame.
	opText, opBinary = 0x81, 0x82
	maxFrameHeader   = 10
)

// frame is a packet encoded once for all the sockets that get it, now and when they are sent it again. It never changes,
// but that its other form may be added.
type frame struct {
	// frames are complete, unmasked WebSocket frames: the Engine.IO message, and its attachments as further ones.
	frames [][]byte
	// id is the log entry that the frame carries as its offset; zero if it carries none.
	id streamID
	// The message begins at text within the first frame, and the packet's arguments, offset included, at array.
	text, array int32
	volatile    bool
	compress    *bool // a wish of the packet's sender; frames are not compressed
	// other is the frame's form for connections that do not take frames.
	other atomic.Pointer[libraryFrame]

	one [1][]byte // spares most frames an allocation
}

func newFrame(nsp string, body packetBody, f flags) *frame {
	fr := &frame{id: body.offset, volatile: f.Volatile, compress: f.Compress}
	var headSpace [96]byte
	var tailSpace [48]byte
	head := appendHeader(headSpace[:0], nsp, body)
	tail := body.appendTail(tailSpace[:0])
	size := len(head) + len(body.array) - 1 + len(tail)
	text := appendFrameHeader(make([]byte, 0, maxFrameHeader+size), opText, size)
	fr.text = int32(len(text))
	text = append(text, head...)
	fr.array = int32(len(text))
	text = append(text, body.array[:len(body.array)-1]...)
	text = append(text, tail...)
	if len(body.attachments) == 0 {
		fr.one[0] = text
		fr.frames = fr.one[:]
		return fr
	}
	fr.frames = make([][]byte, 0, 1+len(body.attachments))
	fr.frames = append(fr.frames, text)
	for _, data := range body.attachments {
		framed := appendFrameHeader(make([]byte, 0, maxFrameHeader+len(data)), opBinary, len(data))
		fr.frames = append(fr.frames, append(framed, data...))
	}
	return fr
}

// size is the frame's length in bytes.
func (f *frame) size() int {
	n := 0
	for _, part := range f.frames {
		n += len(part)
	}
	return n
}

// appendFrameHeader appends what precedes size bytes of payload, from a server, in a frame of their own.
func appendFrameHeader(dst []byte, op byte, size int) []byte {
	const len16, len64 = 126, 127
	switch {
	case size < len16:
		return append(dst, op, byte(size))
	case size <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, op, len16), uint16(size))
	default:
		return binary.BigEndian.AppendUint64(append(dst, op, len64), uint64(size))
	}
}

// framePayload is what a frame of ours carries.
func framePayload(framed []byte) []byte {
	const len16, len64 = 126, 127
	switch framed[1] {
	case len16:
		return framed[4:]
	case len64:
		return framed[10:]
	default:
		return framed[2:]
	}
}

// appendHeader appends what precedes the arguments in the Engine.IO message that holds the Socket.IO packet: "4", then
// what the packet's own encoder would write.
func appendHeader(dst []byte, nsp string, body packetBody) []byte {
	dst = append(dst, '4')
	if n := len(body.attachments); n > 0 {
		dst = append(dst, '5')
		dst = strconv.AppendInt(dst, int64(n), 10)
		dst = append(dst, '-')
	} else {
		dst = append(dst, '2')
	}
	if nsp != defaultNamespace {
		dst = append(dst, nsp...)
		dst = append(dst, ',')
	}
	if body.id != nil {
		dst = strconv.AppendUint(dst, *body.id, 10)
	}
	return dst
}

// appendTail appends what follows the last argument: the offset, and the array's bracket.
func (b packetBody) appendTail(dst []byte) []byte {
	if !b.offset.isZero() {
		dst = append(dst, `,"`...)
		dst = b.offset.append(dst)
		dst = append(dst, '"')
	}
	return append(dst, ']')
}
