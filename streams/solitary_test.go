package streams

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// lostAnswers loses the answer of the next left runs of mark.lua, which take effect.
type lostAnswers struct{ left atomic.Int64 }

var _ redis.Hook = (*lostAnswers)(nil)

func (l *lostAnswers) DialHook(next redis.DialHook) redis.DialHook { return next }

func (l *lostAnswers) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (l *lostAnswers) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		script, ok := cmd.Args()[min(1, len(cmd.Args())-1)].(string)
		if err != nil || !ok || (script != markScript.Hash() && script != markSource) || l.left.Add(-1) < 0 {
			return err
		}
		cmd.SetErr(context.DeadlineExceeded)
		return context.DeadlineExceeded
	}
}

// What Redis did and could not say must not bury an innocent entry.
func TestLostAnswerToAMarkIsNoPoison(t *testing.T) {
	t.Parallel()
	for _, lost := range []int64{1, 2, 3} {
		r := newRig(t)
		r.group()
		id := r.add(rigEvent(`{"n":1}`)...)
		require.Len(t, r.ghostReads("ghost:1", 1), 1)
		r.deliveries(id, 3)
		answers := &lostAnswers{}
		answers.left.Store(lost)
		n := r.start("a:1", func(_ *Config, d *Deps) { d.Redis.AddHook(answers) })
		n.Reclaim("ghost:1")
		r.settled([]string{id})
		require.Empty(t, r.dead())
		require.Negative(t, answers.left.Load(), "answers were lost, and one came through")
	}
}

// A handling that ended clears the marks of those that did not.
func TestEndedSolitaryHandlingClearsTheMarks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.group()
	r.publish(1)
	id := r.add(rigEvent(`{"n":1}`)...)
	require.Len(t, r.ghostReads("older:1", 1), 1)
	require.Len(t, r.ghostReads("ghost:1", 1), 1)
	r.deliveries(id, solitaryMark+3)
	n := r.start("a:1", func(c *Config, _ *Deps) { c.MinIdle, c.StopTimeout = time.Hour, 50*time.Millisecond })
	n.Reclaim("ghost:1")
	r.eventually("handled, and waiting for the older one", func() bool { return n.Stats().Backlog == 1 })
	n.stop()
	pending := r.pending()
	require.Len(t, pending, 2)
	require.Equal(t, int64(4), pending[1].RetryCount)
}
