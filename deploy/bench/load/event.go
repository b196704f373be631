package load

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// Kind tells apart the series that one client receives events of, each with sequence numbers of its own.
type Kind int

// The series: one for all clients, one for the client's user, one for the client's room.
const (
	ToAll Kind = iota
	ToUser
	ToRoom
	kinds
)

// Stamp is what an event of a load says of itself.
type Stamp struct {
	// At is when it was written, in µs since 1970: JavaScript's numbers hold no more.
	At   int64
	Kind Kind
	// Seq counts from 1 within the series.
	Seq uint32
}

var stampMark = []byte(`{"t":`)

// AppendData adds the event's data: the stamp, the field that it is routed by, and padding up to size bytes in all. An
// empty field is left out.
func AppendData(dst []byte, s Stamp, field, value string, size int) []byte {
	start := len(dst)
	dst = strconv.AppendInt(append(dst, stampMark...), s.At, 10)
	dst = strconv.AppendInt(append(dst, `,"k":`...), int64(s.Kind), 10)
	dst = strconv.AppendUint(append(dst, `,"seq":`...), uint64(s.Seq), 10)
	if field != "" {
		dst = append(append(append(append(append(dst, `,"`...), field...), `":"`...), value...), '"')
	}
	const frame = len(`,"pad":""}`)
	pad := max(size-(len(dst)-start)-frame, 0)
	dst = append(dst, `,"pad":"`...)
	for pad > 0 {
		n := min(pad, len(padding))
		dst = append(dst, padding[:n]...)
		pad -= n
	}
	return append(dst, `"}`...)
}

var padding = strings.Repeat("x", 1024)

// parseStamp finds the stamp in a message.
func parseStamp(message []byte) (s Stamp, ok bool) {
	_, rest, found := bytes.Cut(message, stampMark)
	at, rest, isAt := digits(rest)
	rest, hasKind := bytes.CutPrefix(rest, []byte(`,"k":`))
	kind, rest, isKind := digits(rest)
	rest, hasSeq := bytes.CutPrefix(rest, []byte(`,"seq":`))
	seq, _, isSeq := digits(rest)
	if !found || !isAt || !hasKind || !isKind || !hasSeq || !isSeq || kind >= int64(kinds) || seq > 1<<32-1 {
		return s, false
	}
	return Stamp{At: at, Kind: Kind(kind), Seq: uint32(seq)}, true
}

func digits(b []byte) (n int64, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && i < 18 && b[i] >= '0' && b[i] <= '9'; i++ {
		n = n*10 + int64(b[i]-'0')
	}
	return n, b[i:], i > 0
}

func (s Stamp) age(now time.Time) time.Duration {
	return time.Duration(now.UnixMicro()-s.At) * time.Microsecond
}
