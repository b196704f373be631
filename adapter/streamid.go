package adapter

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// streamID is a Redis stream id. The zero value is 0-0, the position before any entry.
type streamID struct{ ms, seq uint64 }

// parseStreamID reads "ms-seq" or "ms".
func parseStreamID(s string) (streamID, error) {
	left, right, both := strings.Cut(s, "-")
	ms, err := strconv.ParseUint(left, 10, 64)
	if err != nil {
		return streamID{}, fmt.Errorf("stream id %.64q: %w", s, err)
	}
	if !both {
		return streamID{ms: ms}, nil
	}
	seq, err := strconv.ParseUint(right, 10, 64)
	if err != nil {
		return streamID{}, fmt.Errorf("stream id %.64q: %w", s, err)
	}
	return streamID{ms: ms, seq: seq}, nil
}

func (a streamID) String() string {
	return string(a.append(make([]byte, 0, 41)))
}

func (a streamID) append(dst []byte) []byte {
	dst = strconv.AppendUint(dst, a.ms, 10)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, a.seq, 10)
}

func (a streamID) compare(b streamID) int {
	if c := cmp.Compare(a.ms, b.ms); c != 0 {
		return c
	}
	return cmp.Compare(a.seq, b.seq)
}

func (a streamID) isZero() bool { return a == streamID{} }

// before returns the greatest id below a; 0-0 stays 0-0.
func (a streamID) before() streamID {
	switch {
	case a.seq > 0:
		return streamID{ms: a.ms, seq: a.seq - 1}
	case a.ms > 0:
		return streamID{ms: a.ms - 1, seq: math.MaxUint64}
	default:
		return a
	}
}
