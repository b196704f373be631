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

func TestQueueChargesNobodyForWhatWaitsBehindALateFrame(t *testing.T) {
	var q queue
	q.push([]byte("1"), true)
	q.pushLate([]byte("2"))
	q.pushLive([]byte("3"))
	require.Equal(t, 1, q.chargedFrames)
	q.pop()
	q.pushLive([]byte("4"))
	require.Equal(t, 0, q.chargedFrames)
	q.pop()
	q.pushLive([]byte("5"))
	require.Equal(t, 1, q.chargedFrames, "the late one has gone")
	q.taken(3)
	require.True(t, q.empty())
	require.Zero(t, q.chargedFrames)
}

func TestQueueLetsAFrameOvertakeWhatIsNotOnItsWay(t *testing.T) {
	for n := range 6 {
		for claimed := range 2 * n {
			var q queue
			q.push([]byte("gone"), true)
			want := make([]byte, 0, 64)
			for i := range n {
				q.push([]byte{byte('a' + i), '.'}, false)
				want = append(want, byte('a'+i), '.')
			}
			q.pop()
			q.gather(make([]byte, 0, claimed)) // a write is under way
			q.pushNext([]byte("P"))
			at := min(2*max(1, (claimed+1)/2), len(want))
			require.Equal(t, string(want[:claimed]), string(q.gather(make([]byte, 0, claimed))), "that does not change")
			q.taken(claimed)
			require.Equal(t, string(want[claimed:at])+"P"+string(want[at:]), string(q.gather(make([]byte, 0, 64))))
		}
	}
	var q queue
	q.push([]byte("a"), true)
	q.pushLate([]byte("b"))
	q.pushNext([]byte("P"))
	q.taken(2)
	q.pushLive([]byte("c"))
	require.Zero(t, q.chargedFrames, "b is still there")
	q.taken(1)
	q.pushLive([]byte("d"))
	require.Equal(t, 1, q.chargedFrames)
}
