package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHistogramQuantiles(t *testing.T) {
	var h Histogram
	require.Zero(t, h.Quantile(0.99))
	var all []time.Duration
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		d := time.Duration(r.ExpFloat64() * float64(3*time.Millisecond)).Truncate(time.Microsecond)
		all = append(all, d)
		h.Record(d)
	}
	slices.Sort(all)
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[max(int(q*float64(len(all))+0.5)-1, 0)]
		got := h.Quantile(q)
		require.GreaterOrEqual(t, got, want, q)
		require.LessOrEqual(t, got, want+want/60+time.Microsecond, q)
	}
	require.Equal(t, all[len(all)-1], h.Max())
	require.EqualValues(t, len(all), h.Count())
}

func TestHistogramBucketsAreContinuous(t *testing.T) {
	last := -1
	for us := range uint64(1 << 20) {
		b := bucketOf(us)
		require.True(t, b == last || b == last+1, us)
		require.GreaterOrEqual(t, upperEdge(b), time.Duration(us)*time.Microsecond)
		last = b
	}
	require.Equal(t, buckets-1, bucketOf(1<<63))
}

func TestHistogramAddAndExtremes(t *testing.T) {
	var a, b Histogram
	a.Record(-time.Second)
	b.Record(1000 * time.Hour)
	a.Add(&b)
	require.EqualValues(t, 2, a.Count())
	require.Zero(t, a.Quantile(0.5))
	require.Equal(t, 1000*time.Hour, a.Max())
	n := uint64(0)
	a.Each(func(_ time.Duration, c uint64) { n += c })
	require.EqualValues(t, 2, n)
}

func TestStampSurvivesTheWay(t *testing.T) {
	s := Stamp{At: 1_764_000_000_123_456, Kind: ToRoom, Seq: 4_000_000_000}
	data := AppendData(nil, s, "solicitud_id", "R1", 200)
	require.Len(t, data, 200)
	require.True(t, json.Valid(data))
	for _, message := range []string{
		`2["solicitud_bench",` + string(data) + `,"1764000000000-0"]`,
		`{"push":{"channel":"x","pub":{"data":{"event":"e","data":` + string(data) + `}}}}`,
	} {
		got, ok := parseStamp([]byte(message))
		require.True(t, ok)
		require.Equal(t, s, got)
	}
	for _, bad := range []string{"", `{"t":`, `{"t":1`, `{"t":1,"k":9,"seq":1`, `{"t":1,"k":1,"seq":99999999999`, `{"t":x,"k":1,"seq":1}`} {
		_, ok := parseStamp([]byte(bad))
		require.False(t, ok, bad)
	}
	require.Greater(t, len(AppendData(nil, s, "", "", 0)), 20, "the stamp is never cut")
	require.Len(t, AppendData(nil, s, "", "", 5000), 5000)
}

func TestClientFramesAreReadByGobwas(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536, 100_000} {
		payload := bytes.Repeat([]byte{'a'}, n)
		r := bytes.NewReader(appendFrame(nil, ws.OpText, payload))
		h, err := ws.ReadHeader(r)
		require.NoError(t, err)
		require.True(t, h.Masked && h.Fin && h.OpCode == ws.OpText)
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		ws.Cipher(got, h.Mask, 0)
		require.Equal(t, payload, got)
	}
}

// TestMessagesInAnyPieces: however TCP cuts the stream, the messages are the same.
func TestMessagesInAnyPieces(t *testing.T) {
	var stream []byte
	frame := func(fin bool, op ws.OpCode, payload string) {
		var b bytes.Buffer
		require.NoError(t, ws.WriteFrame(&b, ws.NewFrame(op, fin, []byte(payload))))
		stream = append(stream, b.Bytes()...)
	}
	long := string(bytes.Repeat([]byte("x"), 70_000))
	frame(true, ws.OpText, "one")
	frame(false, ws.OpText, "tw")
	frame(true, ws.OpPing, "p")
	frame(false, ws.OpContinuation, "")
	frame(true, ws.OpContinuation, "o")
	frame(true, ws.OpText, "")
	frame(true, ws.OpText, long)
	want := []string{"one", "p", "two", "", long}
	for _, size := range []int{1, 2, 3, 7, 64, 1000, 70_003, len(stream)} {
		var m messages
		var got []string
		for rest := stream; len(rest) > 0; {
			n := min(size, len(rest))
			require.NoError(t, m.feed(bytes.Clone(rest[:n]), func(_ ws.OpCode, p []byte) error {
				got = append(got, string(p))
				return nil
			}))
			rest = rest[n:]
		}
		require.Equal(t, want, got, size)
		require.Nil(t, m.rest)
	}
}

func TestBadFrames(t *testing.T) {
	for name, data := range map[string][]byte{
		"masked":                {0x81, 0x80, 0, 0, 0, 0},
		"reserved bit":          {0xc1, 0x00},
		"reserved opcode":       {0x83, 0x00},
		"fragmented ping":       {0x09, 0x00},
		"long ping":             {0x89, 126, 0, 126},
		"too large":             {0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0},
		"stray continuation":    {0x80, 0x00},
		"text inside a message": {0x01, 0x00, 0x01, 0x00},
	} {
		var m messages
		require.Error(t, m.feed(data, func(ws.OpCode, []byte) error { return nil }), name)
	}
}

// FuzzFrames: what nextFrame reads is what gobwas/ws reads, and no input makes it panic.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{0x81, 3, 'a', 'b', 'c'}, 2)
	f.Add([]byte{0x81, 126, 0, 1, 'x'}, 1)
	f.Add([]byte{0x82, 127, 0, 0, 0, 0, 0, 0, 0, 1, 'y'}, 3)
	f.Add([]byte{0x82, 127, 0, 0, 0, 0, 0, 0, 0, 1}, 79)
	f.Add([]byte{0x01, 1, 'a', 0x89, 0, 0x80, 1, 'b'}, 4)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		h, payload, n, err := nextFrame(data)
		reference := bytes.NewReader(data)
		want, wantErr := ws.ReadHeader(reference)
		switch {
		case n > 0:
			require.NoError(t, wantErr)
			require.Equal(t, want, h)
			require.Len(t, payload, int(want.Length))
		case err == nil && wantErr == nil:
			require.Less(t, int64(reference.Len()), want.Length, "only a part is here")
		case err == nil:
			require.True(t, errors.Is(wantErr, io.EOF) || errors.Is(wantErr, io.ErrUnexpectedEOF) || errors.Is(wantErr, ws.ErrHeaderLengthMSB), wantErr)
		}
		var whole, pieces messages
		var a, b [][]byte
		keep := func(to *[][]byte) func(ws.OpCode, []byte) error {
			return func(op ws.OpCode, p []byte) error {
				*to = append(*to, append([]byte{byte(op)}, p...))
				return nil
			}
		}
		errWhole := whole.feed(bytes.Clone(data), keep(&a))
		cut = min(max(cut, 0), len(data))
		errPieces := pieces.feed(bytes.Clone(data[:cut]), keep(&b))
		if errPieces == nil {
			errPieces = pieces.feed(bytes.Clone(data[cut:]), keep(&b))
		}
		require.Equal(t, errWhole, errPieces)
		require.Equal(t, a, b)
	})
}
