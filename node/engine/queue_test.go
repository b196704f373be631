package engine

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQueuePartialSends(t *testing.T) {
	var q queue
	require.True(t, q.empty())
	q.push([]byte("abc"), true)
	q.push([]byte("defgh"), false)
	q.push([]byte("i"), true)

	require.Equal(t, 0, q.taken(2))
	require.Equal(t, "c", string(q.front()))
	require.Equal(t, "cdefghi", string(q.gather(make([]byte, 0, 64))))
	require.Equal(t, "cdef", string(q.gather(make([]byte, 0, 4))), "as far as there is room")
	require.Equal(t, 9, q.bytes, "a frame counts until all of it has gone")

	require.Equal(t, 1, q.taken(1), "exactly to a frame's end")
	require.Equal(t, "defgh", string(q.front()))
	require.Equal(t, 2, q.taken(6), "several at once")
	require.True(t, q.empty())
	require.Zero(t, q.bytes)
}

func TestQueueCountsWhatIsCharged(t *testing.T) {
	var q queue
	q.push([]byte("12345"), true)
	q.push([]byte("123"), false)
	q.push([]byte("12"), true)
	require.Equal(t, []int{10, 7, 2}, []int{q.bytes, q.charged, q.chargedFrames})
	q.pop()
	require.Equal(t, []int{5, 2, 1}, []int{q.bytes, q.charged, q.chargedFrames})
	q.pop()
	require.Equal(t, []int{2, 2, 1}, []int{q.bytes, q.charged, q.chargedFrames})
	q.drop()
	require.Equal(t, []int{0, 0, 0}, []int{q.bytes, q.charged, q.chargedFrames})
}

func TestQueueIsLongByFramesOrBytes(t *testing.T) {
	var q queue
	for range longFrames - 1 {
		q.push([]byte("x"), true)
	}
	require.False(t, q.long())
	q.push([]byte("x"), true)
	require.True(t, q.long())
	q.taken(1)
	require.False(t, q.long())

	q.drop()
	q.push(make([]byte, longBytes), false)
	require.True(t, q.long())
}

func TestQueueGivesMemoryBack(t *testing.T) {
	var q queue
	for range 1000 {
		q.push([]byte("x"), true)
	}
	q.taken(600)
	require.LessOrEqual(t, len(q.items), 1000-257, "what has gone is not held")
	require.Equal(t, 400, len(q.items)-q.head)
	q.taken(400)
	require.True(t, q.empty())
	require.LessOrEqual(t, cap(q.items), keepQueued)
}

func TestQueueKeepsEveryByteInOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var q queue
	var want, got []byte
	for range 5000 {
		for range random.IntN(4) {
			frame := make([]byte, 1+random.IntN(40))
			for i := range frame {
				frame[i] = byte(random.Uint32())
			}
			want = append(want, frame...)
			q.push(frame, random.IntN(2) == 0)
		}
		chunk := q.gather(make([]byte, 0, 50))
		n := random.IntN(len(chunk) + 1)
		got = append(got, chunk[:n]...)
		q.taken(n)
	}
	for !q.empty() {
		chunk := q.gather(make([]byte, 0, 50))
		got = append(got, chunk...)
		q.taken(len(chunk))
	}
	require.True(t, bytes.Equal(want, got))
	require.Equal(t, []int{0, 0, 0}, []int{q.bytes, q.charged, q.chargedFrames})
}
