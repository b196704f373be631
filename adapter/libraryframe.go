package adapter

import (
	"encoding/json"
	"slices"
	"sync"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// libraryFrame is a frame as the library's own connections take it, and as listeners for outgoing packets see it.
type libraryFrame struct {
	packets []types.BufferInterface
	opts    socket.WriteOptions
	// packet is decoded only for those listeners.
	packet func() *parser.Packet
}

// library makes a frame's other form, once.
func (f *frame) library() *libraryFrame {
	if lib := f.other.Load(); lib != nil {
		return lib
	}
	f.other.CompareAndSwap(nil, newLibraryFrame(f))
	return f.other.Load()
}

func newLibraryFrame(f *frame) *libraryFrame {
	lib := &libraryFrame{opts: socket.WriteOptions{Volatile: f.volatile, PreEncoded: true}}
	lib.opts.Compress = f.compress
	message := slices.Clip(f.frames[0][f.text:])
	packet := message[1:]
	lib.packets = append(lib.packets, sharedText{StringBuffer: stringBuffer(packet), data: packet})
	for _, framed := range f.frames[1:] {
		data := slices.Clip(framePayload(framed))
		lib.packets = append(lib.packets, sharedBytes{BytesBuffer: bytesBuffer(data), data: data})
	}
	if len(f.frames) == 1 {
		lib.opts.WsPreEncodedFrame = stringBuffer(message)
	}
	array := f.frames[0][f.array:]
	lib.packet = sync.OnceValue(func() *parser.Packet {
		var args []any
		// The array was valid JSON before it was framed; binary shows as its placeholder.
		_ = json.Unmarshal(array, &args)
		return &parser.Packet{Type: parser.EVENT, Data: args}
	})
	return lib
}

// write hands the frame to a connection of the library's.
func (f *frame) writeTo(s *socket.Socket) {
	lib := f.library()
	s.Client().WriteToEngine(lib.packets, &lib.opts)
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
