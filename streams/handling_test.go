package streams

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lines collects what is logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

// slow is a handler that keeps the event id until release is closed, and counts how often it got it.
type slow struct {
	id      string
	release chan struct{}
	entered atomic.Int64
}

func (s *slow) handle(ev Event) (Relay, error) {
	if ev.ID == s.id {
		s.entered.Add(1)
		<-s.release
	}
	return rigHandle(ev)
}

// outlasts waits until n has renewed something 8 times and for three times MinIdle.
func (r *rig) outlasts(n *rigNode, began time.Time) {
	r.tb.Helper()
	r.eventually("renewed beyond MinIdle", func() bool {
		return n.Stats().Renewed >= 8 && time.Since(began) > 3*n.cfg.MinIdle
	})
}

func TestSlowSolitaryHandlingKeepsItsEntry(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.group()
	ids := r.publish(3)
	require.Len(t, r.ghostReads("ghost:1", 3), 3)
	r.deliveries(ids[0], 3)
	r.deliveries(ids[1], 3)
	s := &slow{id: ids[0], release: make(chan struct{})}
	long := func(c *Config, d *Deps) { c.HandleTimeout, d.Handle = time.Hour, s.handle }
	began := time.Now()
	n := r.start("a:1", long)
	n.Reclaim("ghost:1")
	r.eventually("handled alone", func() bool { return s.entered.Load() == 1 })
	other := r.start("b:1", long)
	r.outlasts(n, began)
	pending := r.pending()
	require.Len(t, pending, 3)
	for _, p := range pending {
		require.Equal(t, "a:1", p.Consumer, p.ID)
	}
	require.Equal(t, int64(solitaryMark+4), pending[0].RetryCount, "its mark is kept")
	require.Equal(t, int64(4), pending[1].RetryCount, "what waits to be handled alone is renewed too")
	require.Zero(t, other.Stats().Reclaimed)
	close(s.release)
	r.settled(ids)
	require.Equal(t, int64(1), s.entered.Load())
	require.Empty(t, r.dead())
}

func TestSlowBatchIsNotReclaimed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.group()
	ids := r.publish(3)
	s := &slow{id: ids[1], release: make(chan struct{})}
	long := func(c *Config, d *Deps) { c.HandleTimeout, d.Handle = time.Hour, s.handle }
	began := time.Now()
	n := r.start("a:1", long)
	r.eventually("in the handler", func() bool { return s.entered.Load() == 1 })
	other := r.start("b:1", long)
	more := r.publish(2)
	r.outlasts(n, began)
	pending := r.pending()
	require.Len(t, pending, 5)
	for _, p := range pending[:3] {
		require.Equal(t, "a:1", p.Consumer, p.ID)
		require.Equal(t, int64(1), p.RetryCount, p.ID)
	}
	require.Zero(t, other.Stats().Reclaimed)
	require.Zero(t, n.Stats().HandlersStuck)
	close(s.release)
	r.settled(append(ids, more...))
	require.Equal(t, int64(1), s.entered.Load())
}

// A handler that hangs costs a goroutine each time, until its entry is a dead letter, and nothing else, on one node too.
func TestHandlerThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.group()
	before := r.publish(3)
	evil := r.add(rigEvent(`{"n":3}`)...)
	want := slices.Concat(before, r.publish(3))
	s := &slow{id: evil, release: make(chan struct{})}
	defer close(s.release)
	var logged lines
	n := r.start("a:1", func(_ *Config, d *Deps) {
		d.Handle, d.Log = s.handle, slog.New(slog.NewTextHandler(&logged, nil))
	})
	r.settled(want)
	require.Len(t, r.dead(), 1)
	require.Equal(t, evil, r.dead()[0].Values["dead_source_id"])
	require.Equal(t, ReasonPoison, r.dead()[0].Values["dead_reason"])
	require.Equal(t, int64(4), s.entered.Load(), "twice among others, twice alone")
	// Of its six neighbours each at most once: one that is claimed apart from it sooner is settled without that.
	require.GreaterOrEqual(t, n.Stats().Solitary, uint64(2), "itself twice")
	require.LessOrEqual(t, n.Stats().Solitary, uint64(8))
	require.Equal(t, uint64(4), n.Stats().HandlersStuck)
	require.Equal(t, 4, logged.count("the handler does not return"))
	require.Equal(t, 4, logged.count("id="+evil+" "))
}

func TestRunEndsThoughAHandlerHangs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.group()
	ids := r.publish(1)
	s := &slow{id: ids[0], release: make(chan struct{})}
	defer close(s.release)
	n := r.start("a:1", func(c *Config, d *Deps) {
		c.HandleTimeout, c.StopTimeout, d.Handle = time.Hour, 100*time.Millisecond, s.handle
	})
	r.eventually("in the handler", func() bool { return s.entered.Load() == 1 })
	n.stop()
	require.Equal(t, StateStopped, n.State())
	require.Len(t, r.pending(), 1)
}

// Somebody trims what waits for an older entry: its content is in memory, so it is relayed all the same.
func TestTrimmedWhileWaitingIsRelayed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.group()
	ids := r.publish(5)
	require.Len(t, r.ghostReads("ghost:1", 1), 1)
	n := r.start("a:1", func(c *Config, _ *Deps) { c.ReclaimEvery = time.Hour })
	r.eventually("held", func() bool { return n.Stats().Backlog == 4 })
	require.NoError(t, r.rdb.XDel(t.Context(), r.keys.events, ids[2]).Err())
	before := n.Stats().Renewed
	r.eventually("renewed", func() bool { return n.Stats().Renewed >= before+12 })
	require.NoError(t, r.rdb.XAck(t.Context(), r.keys.events, "gateway", ids[0]).Err())
	r.settled(ids[1:])
	require.Zero(t, n.Stats().Superseded)
}
