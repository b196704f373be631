package load

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"

	"github.com/gobwas/ws"
)

// maxMessage bounds one message from a server, in bytes.
const maxMessage = 16 << 20

// Faults of what a server sent.
var (
	errFrame    = errors.New("load: malformed WebSocket frame")
	errTooLarge = errors.New("load: message over 16 MiB")
)

// nextFrame takes the first frame off data, as ws.ReadHeader reads it but without a copy. n is its whole size, 0 if data
// does not hold all of it.
func nextFrame(data []byte) (h ws.Header, payload []byte, n int, err error) {
	if len(data) < ws.MinHeaderSize {
		return h, nil, 0, nil
	}
	h.Fin, h.Rsv, h.OpCode = data[0]&0x80 != 0, data[0]&0x70>>4, ws.OpCode(data[0]&0x0f)
	h.Masked = data[1]&0x80 != 0
	size, at := uint64(data[1]&0x7f), ws.MinHeaderSize
	switch size {
	case 126:
		if at += 2; len(data) < at {
			return h, nil, 0, nil
		}
		size = uint64(binary.BigEndian.Uint16(data[2:]))
	case 127:
		if at += 8; len(data) < at {
			return h, nil, 0, nil
		}
		size = binary.BigEndian.Uint64(data[2:])
	}
	switch {
	case h.Masked || h.Rsv != 0 || h.OpCode.IsReserved():
		return h, nil, 0, errFrame
	case h.OpCode.IsControl() && (!h.Fin || size > ws.MaxControlFramePayloadSize):
		return h, nil, 0, errFrame
	case size > maxMessage:
		return h, nil, 0, errTooLarge
	}
	h.Length = int64(size)
	if uint64(len(data)-at) < size {
		return h, nil, 0, nil
	}
	return h, data[at : at+int(size)], at + int(size), nil
}

// appendFrame adds a masked frame, as clients send them, to dst.
func appendFrame(dst []byte, op ws.OpCode, payload []byte) []byte {
	dst = append(dst, 0x80|byte(op))
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	var mask [4]byte
	binary.NativeEndian.PutUint32(mask[:], rand.Uint32()) //nolint:gosec // nobody is to be kept from guessing it
	dst = append(dst, mask[:]...)
	at := len(dst)
	dst = append(dst, payload...)
	ws.Cipher(dst[at:], mask, 0)
	return dst
}

// messages assembles messages from a connection's bytes. It is used by one goroutine.
type messages struct {
	// rest holds the bytes of a frame that has not come whole, parts the fragments of an unfinished message.
	rest, parts []byte
	op          ws.OpCode
	fragmented  bool
}

// feed calls on with each message and control frame that data completes; the payload is valid only during the call.
func (m *messages) feed(data []byte, on func(op ws.OpCode, payload []byte) error) error {
	pooled := len(m.rest) > 0
	if pooled {
		m.rest = append(m.rest, data...)
		data = m.rest
	}
	for {
		h, payload, n, err := nextFrame(data)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		data = data[n:]
		if err := m.frame(h, payload, on); err != nil {
			return err
		}
	}
	switch {
	case len(data) == 0:
		m.rest = nil
	case pooled:
		m.rest = m.rest[:copy(m.rest, data)]
	default:
		m.rest = append([]byte(nil), data...)
	}
	return nil
}

func (m *messages) frame(h ws.Header, payload []byte, on func(op ws.OpCode, payload []byte) error) error {
	switch {
	case h.OpCode.IsControl():
		return on(h.OpCode, payload)
	case (h.OpCode == ws.OpContinuation) != m.fragmented:
		return errFrame
	case h.Fin && !m.fragmented:
		return on(h.OpCode, payload)
	}
	if !m.fragmented {
		m.op, m.fragmented = h.OpCode, true
	}
	if len(m.parts)+len(payload) > maxMessage {
		return errTooLarge
	}
	m.parts = append(m.parts, payload...)
	if !h.Fin {
		return nil
	}
	whole := m.parts
	m.parts, m.fragmented = nil, false
	return on(m.op, whole)
}
