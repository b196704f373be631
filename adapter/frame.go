package adapter

import (
	"encoding/json"
	"slices"
	"strconv"
	"sync"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// frame is a packet encoded once for all the sockets that get it. Nothing of it changes but that packet
// decodes it at most once.
type frame struct {
	// id is the log entry that the frame carries as its offset; zero if it carries none.
	id      streamID
	size    int // of all packets, in bytes
	packets []types.BufferInterface
	opts    socket.WriteOptions

	nsp      string
	array    []byte // the arguments, offset included
	packetID *uint64
	once     sync.Once
	decoded  *parser.Packet // once
}

func newFrame(nsp string, body packetBody, f flags) *frame {
	fr := &frame{
		id: body.offset, opts: socket.WriteOptions{Volatile: f.Volatile, PreEncoded: true}, nsp: nsp, packetID: body.id,
	}
	fr.opts.Compress = f.Compress
	text := appendHeader(make([]byte, 0, len(body.array)+len(nsp)+96), nsp, body)
	header := len(text)
	text = slices.Clip(body.appendArray(text))
	fr.size = len(text)
	for _, data := range body.attachments {
		fr.size += len(data)
	}
	fr.packets = make([]types.BufferInterface, 0, 1+len(body.attachments))
	fr.packets = append(fr.packets, sharedText{StringBuffer: stringBuffer(text[1:]), data: text[1:]})
	for _, data := range body.attachments {
		data = slices.Clip(data)
		fr.packets = append(fr.packets, sharedBytes{BytesBuffer: bytesBuffer(data), data: data})
	}
	if len(body.attachments) == 0 {
		fr.opts.WsPreEncodedFrame = stringBuffer(text)
	}
	fr.array = text[header:]
	return fr
}

// packet gives the packet to a socket's listeners for outgoing packets; it is decoded only if there are any.
func (f *frame) packet() *parser.Packet {
	f.once.Do(func() {
		var args []any
		// The array was valid JSON before it was framed; binary shows as its placeholder.
		_ = json.Unmarshal(f.array, &args)
		f.decoded = &parser.Packet{Type: parser.EVENT, Nsp: f.nsp, Data: args, Id: f.packetID}
	})
	return f.decoded
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

// appendArray appends the arguments, the offset behind them.
func (b packetBody) appendArray(dst []byte) []byte {
	if b.offset.isZero() {
		return append(dst, b.array...)
	}
	dst = append(dst, b.array[:len(b.array)-1]...)
	dst = append(dst, `,"`...)
	dst = b.offset.append(dst)
	return append(dst, `"]`...)
}

// sharedText and sharedBytes hand each socket a reader of its own over the same bytes, where the library's buffers
// would copy them. The bytes' capacity ends with them, so nothing can be appended in place.
type sharedText struct {
	*types.StringBuffer

	data []byte
}

// Clone implements types.BufferInterface.
func (s sharedText) Clone() types.BufferInterface { return types.NewStringBuffer(s.data) }

type sharedBytes struct {
	*types.BytesBuffer

	data []byte
}

// Clone implements types.BufferInterface.
func (s sharedBytes) Clone() types.BufferInterface { return types.NewBytesBuffer(s.data) }

var (
	_ types.BufferInterface = sharedText{}
	_ types.BufferInterface = sharedBytes{}
)

func stringBuffer(data []byte) *types.StringBuffer {
	return &types.StringBuffer{Buffer: types.NewBuffer(data)}
}

func bytesBuffer(data []byte) *types.BytesBuffer {
	return &types.BytesBuffer{Buffer: types.NewBuffer(data)}
}
