package attack

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"time"
)

// frame is a masked WebSocket frame; first is its first byte.
func (a *assault) frame(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := a.noise(4)
	b = append(b, mask...)
	for i, c := range payload {
		b = append(b, c^mask[i%4])
	}
	return b
}

func (a *assault) text(payload string) []byte { return a.frame(0x81, []byte(payload)) }

// header is the header of a frame that claims a length; its payload, if any, follows unmasked by a mask of zeros.
func header(first byte, length uint64) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, length), 0, 0, 0, 0)
}

// frameAttacks are what no client may send over a WebSocket.
func frameAttacks() map[string]func(a *assault) []byte {
	return map[string]func(a *assault) []byte{
		"noise":         func(a *assault) []byte { return a.noise(1 + a.rng.IntN(4000)) },
		"reserved-bits": func(a *assault) []byte { return a.frame(0x81|byte(1+a.rng.IntN(7))<<4, []byte("2")) },
		"reserved-opcode": func(a *assault) []byte {
			return a.frame(0x80|one[byte](a, 3, 4, 5, 6, 7, 11, 12, 13, 14, 15), []byte("2"))
		},
		"unmasked":    func(a *assault) []byte { return []byte("\x81\x012") },
		"huge-length": func(a *assault) []byte { return header(0x82, one[uint64](a, 1<<63, 1<<62, 1<<32, 1<<24, 100_001)) },
		"oversized":   func(a *assault) []byte { return a.frame(0x81, bytes.Repeat([]byte("4"), 100_001+a.rng.IntN(50_000))) },
		"odd-length":  func(*assault) []byte { return append(header(0x81, 1), '2') },
		"control-fragment": func(a *assault) []byte {
			return a.frame(one[byte](a, 0x08, 0x09, 0x0a), []byte("x"))
		},
		"control-long": func(a *assault) []byte { return a.frame(one[byte](a, 0x88, 0x89, 0x8a), a.noise(126+a.rng.IntN(2000))) },
		"invalid-utf8": func(a *assault) []byte {
			return a.text(one(a, "4\xff", "42[\"\xc0\xaf\"]", "4\xed\xa0\x80", "2\xf8\x88\x80\x80\x80", "42[\"\xf0\x9f\x92"))
		},
		"split-utf8": func(a *assault) []byte {
			return append(a.frame(0x01, []byte("42[\"\xf0\x9f")), a.frame(0x80, []byte("\x92"))...)
		},
		"lone-continuation": func(a *assault) []byte { return a.frame(0x80, []byte("2")) },
		"interleaved":       func(a *assault) []byte { return append(a.frame(0x01, []byte("4")), a.text("2")...) },
		"endless-fragments": func(a *assault) []byte {
			return append(a.frame(0x01, []byte("4")), bytes.Repeat(a.frame(0x00, nil), 500+a.rng.IntN(5000))...)
		},
		"growing-fragments": func(a *assault) []byte {
			return append(a.frame(0x02, []byte("4")), bytes.Repeat(a.frame(0x00, a.noise(1000)), 120)...)
		},
		"ping-flood": func(a *assault) []byte { return bytes.Repeat(a.frame(0x89, a.noise(125)), 500+a.rng.IntN(2000)) },
		"pong-flood": func(a *assault) []byte { return bytes.Repeat(a.frame(0x8a, nil), 500+a.rng.IntN(2000)) },
		"bad-close": func(a *assault) []byte {
			return a.frame(0x88, one(a, []byte{3}, []byte{0x03, 0xed}, []byte{0x00, 0x00}, []byte{0xff, 0xff}, []byte("\x03\xe8\xff\xfe")))
		},
		"close-and-more": func(a *assault) []byte {
			return append(a.frame(0x88, []byte{0x03, 0xe8}), bytes.Repeat(a.text("2"), 100)...)
		},
		"empty": func(a *assault) []byte {
			return bytes.Repeat(a.frame(one[byte](a, 0x81, 0x82), nil), 1+a.rng.IntN(500))
		},
		"binary-flood": func(a *assault) []byte { return bytes.Repeat(a.frame(0x82, a.noise(100)), 200) },
	}
}

// playFrames sends frames on a connection of nobody's or of a hostile user's.
func (a *assault) playFrames(frames func(a *assault) []byte) Outcome {
	l := a.openedOrJoined()
	if l == nil {
		return Unreached
	}
	_ = l.send(frames(a))
	return l.verdict()
}

// verdict reads on and says whether the gateway ends the WebSocket at once, or refuses a connect.
func (l *link) verdict() Outcome {
	_ = l.SetReadDeadline(time.Now().Add(glance))
	refused := false
	for {
		op, m, err := readFrame(l.br)
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout() && refused:
			return Refused
		case errors.As(err, &timeout) && timeout.Timeout():
			return Kept
		case err != nil, op == opClose:
			return Closed
		}
		refused = refused || strings.HasPrefix(m, "44")
	}
}

func (a *assault) openedOrJoined() *link {
	if a.rng.IntN(2) == 0 {
		return a.joined()
	}
	return a.opened()
}

// maxFrame bounds what is read as one message, in bytes.
const maxFrame = 1 << 20

var errFrame = errors.New("attack: a frame over 1 MiB")

const opClose = 8

// readFrame reads a frame of the gateway's, which sends no fragments.
func readFrame(br *bufio.Reader) (op byte, payload string, err error) {
	var head [2]byte
	if _, err := io.ReadFull(br, head[:]); err != nil {
		return 0, "", err
	}
	size := uint64(head[1] & 0x7f)
	switch size {
	case 126:
		var long [2]byte
		if _, err := io.ReadFull(br, long[:]); err != nil {
			return 0, "", err
		}
		size = uint64(binary.BigEndian.Uint16(long[:]))
	case 127:
		var long [8]byte
		if _, err := io.ReadFull(br, long[:]); err != nil {
			return 0, "", err
		}
		size = binary.BigEndian.Uint64(long[:])
	}
	if size > maxFrame {
		return 0, "", errFrame
	}
	content := make([]byte, size)
	_, err = io.ReadFull(br, content)
	return head[0] & 0x0f, string(content), err
}
