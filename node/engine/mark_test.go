package engine

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAMarkIsToldWhenWhatWaitedHasGone(t *testing.T) {
	var q queue
	require.False(t, q.setMark(1), "nothing waits")
	q.push([]byte("aa"), true)
	q.push([]byte("bb"), true)
	require.True(t, q.setMark(2))
	require.True(t, q.setMark(3))
	q.push([]byte("cc"), true)
	take := func(n int) int64 {
		q.gather(make([]byte, 0, n))
		q.taken(n)
		return q.takeMark()
	}
	require.Zero(t, take(2))
	require.Zero(t, take(1), "half a frame")
	require.EqualValues(t, 2, take(1), "the first one counts")
	require.Zero(t, take(2))

	q.push([]byte("aa"), true)
	q.push([]byte("bb"), true)
	q.setMark(4)
	q.pushNext([]byte("ping"))
	require.Zero(t, take(2))
	require.Zero(t, take(4), "what overtakes is not what was marked")
	require.EqualValues(t, 4, take(2))
	require.Zero(t, q.takeMark(), "once")
	q.setMark(5)
	q.drop()
	require.Zero(t, q.takeMark())
}

func TestWrittenIsToldOfWebSockets(t *testing.T) {
	told := make(chan int64, 16)
	r := newRig(t, func(c *Config) { c.Written = func(mark int64) { told <- mark } }, nil)
	c, s := r.dial()
	for mark := range int64(5) {
		require.True(t, s.WriteFrames(message("x"), false, false))
		s.NoteWritten(mark + 1)
		require.Equal(t, mark+1, <-told)
		require.Equal(t, "4x", c.text())
	}
	_, polled := r.polling()
	polled.NoteWritten(9)
	s.end(reasonForced, nil)
	s.NoteWritten(10)
	require.Empty(t, told)
}

func TestStatsOfQueuesAndReasons(t *testing.T) {
	r := newRig(t, nil, nil)
	_, s := r.polling()
	require.True(t, s.WriteFrames(message("waits"), false, false))
	stats := r.server.Stats()
	require.Equal(t, 1, stats.QueuedFrames)
	require.Positive(t, stats.QueuedBytes)
	require.Equal(t, stats.QueuedBytes, stats.LongestBytes)
	r.eventually(func() bool { return r.server.Stats().Polled > 0 }, "the handshake's answer is counted, once it is out")

	status, _ := r.do("GET", "transport=polling&sid=nobody", "")
	require.Equal(t, 400, status)
	stats = r.server.Stats()
	require.EqualValues(t, 1, stats.RefusedBy["unknown_session"])
	require.EqualValues(t, 1, stats.Refused)
	s.end(reasonFailed, ErrSlowConsumer)
	require.EqualValues(t, 1, r.server.Stats().Closed[reasonSlow])
	require.Contains(t, CloseReasons(), reasonSlow)
	for reason := range stats.RefusedBy {
		require.Contains(t, RefusalReasons(), reason)
	}
}
