package ingress

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheLeaseIsNotKeptOnceItHasEnded(t *testing.T) {
	r := newRig(t)
	l := lease{rdb: r.rdb, key: "{teloo}:ingress", identity: "n1", lasts: time.Minute}
	ctx := t.Context()
	first, got, err := l.take(ctx)
	require.NoError(t, err)
	require.Equal(t, held, got)
	_, got, err = l.take(ctx)
	require.NoError(t, err)
	require.Equal(t, nothing, got, "not even by its holder")
	kept, err := l.keep(ctx, first)
	require.NoError(t, err)
	require.True(t, kept)
	require.NoError(t, l.release(ctx, "n2#1"))
	require.Equal(t, first, r.rdb.Get(ctx, l.key).Val())
	require.Positive(t, r.rdb.PTTL(ctx, l.key).Val())
	require.NoError(t, l.release(ctx, first))
	kept, err = l.keep(ctx, first)
	require.NoError(t, err)
	require.False(t, kept)
	require.Zero(t, r.rdb.Exists(ctx, l.key).Val())
}

func TestWhoIsNextHasTheLeaseNext(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	of := func(name string) *lease {
		return &lease{rdb: r.rdb, key: "{teloo}:ingress", identity: name, lasts: 2 * time.Second}
	}
	one, two, three := of("n1"), of("n2"), of("n3")
	take := func(l *lease, want claim) string {
		t.Helper()
		value, got, err := l.take(ctx)
		require.NoError(t, err)
		require.Equal(t, want, got)
		return value
	}
	keep := func(l *lease, value string, want bool) {
		t.Helper()
		got, err := l.keep(ctx, value)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	first := take(one, held)
	_, err := two.callHeir(ctx, "n2#9", "")
	require.ErrorIs(t, err, errNobodyNext, "only the holder calls")
	_, err = one.callHeir(ctx, first, "")
	require.ErrorIs(t, err, errNobodyNext, "nobody else asks")
	second := take(two, toBeReady)
	take(three, nothing)
	keep(two, second, false) // it is not ready
	call := make(chan error, 1)
	go func() {
		_, err := one.callHeir(ctx, first, "a")
		call <- err
	}()
	eventually(t, "it calls", func() bool { return r.rdb.Get(ctx, one.next()).Val() == "?" })
	second = take(two, toBeReady)
	ready, err := two.ready(ctx, second, "b")
	require.NoError(t, err)
	require.True(t, ready)
	require.ErrorIs(t, <-call, errElsewhere)
	ready, err = three.ready(ctx, "n3#1", "b")
	require.NoError(t, err)
	require.False(t, ready)
	require.NoError(t, one.release(ctx, first))
	take(three, nothing) // it is promised to another
	keep(one, first, false)
	keep(two, second, true)
	require.Zero(t, r.rdb.Exists(ctx, two.next()).Val())
	require.NoError(t, two.release(ctx, second))
	// Who was next and has given up is not next any more; nor is who was before somebody else had it.
	third := take(three, held)
	keep(two, second, false)
	require.NoError(t, r.rdb.Set(ctx, two.next(), "n2#7", time.Minute).Err())
	_, err = two.ready(ctx, "n2#7", "b")
	require.NoError(t, err)
	require.NoError(t, two.release(ctx, "n2#7"))
	require.Zero(t, r.rdb.Exists(ctx, two.next()).Val())
	require.NoError(t, three.release(ctx, third))
	keep(two, "n2#7", false)
}

// flow emits numbers until it is told to stop, and returns how many.
func (r *rig) flow() (stop func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	var sent int
	var done sync.WaitGroup
	done.Go(func() {
		for ; ctx.Err() == nil; sent++ {
			if err := r.rdb.Publish(context.Background(), "socketio", fmt.Sprintf(`{"method":"emit","event":"e","data":%d}`, sent)).Err(); err != nil {
				r.t.Error(err)
				return
			}
		}
	})
	r.t.Cleanup(cancel)
	return func() int { cancel(); done.Wait(); return sent }
}

// A rolling deploy: each holder stops in its turn, while others publish.
func TestNothingIsLostWhenTheHolderStops(t *testing.T) {
	r := newRig(t)
	nodes := []*node{r.start(r.config("n0"), nil), r.start(r.config("n1"), nil)}
	r.listener(nodes...)
	stop := r.flow()
	var handovers uint64
	for i := range 5 {
		holder := r.listener(nodes...)
		nodes = append(slices.DeleteFunc(nodes, func(n *node) bool { return n == holder }), r.start(r.config(fmt.Sprint("n", 2+i)), nil))
		holder.stop()
		require.False(t, holder.Stats().Listening)
		r.listener(nodes...)
		handovers = 0
		for _, n := range nodes {
			handovers += n.Stats().Handovers
		}
		require.Positive(t, handovers)
	}
	sent := stop()
	eventually(t, "all are there", func() bool { return len(r.logged()) == sent })
	once(t, r.logged())
	require.Greater(t, sent, 100)
}

// What the last holder has received and not yet appended is ahead of what the next one has.
func TestTheNextHolderWaitsForTheLastOnesAppends(t *testing.T) {
	r := newRig(t)
	var slow sync.Mutex
	one := r.start(r.config("n1"), through(&slow))
	r.listener(one)
	two := r.start(r.config("n2"), nil)
	slow.Lock()
	require.EqualValues(t, 1, r.emit(0))
	require.EqualValues(t, 1, r.emit(1))
	stopped := make(chan struct{})
	go func() { defer close(stopped); one.stop() }()
	eventually(t, "both listen", func() bool { return r.rdb.PubSubNumSub(t.Context(), "socketio").Val()["socketio"] == 2 })
	eventually(t, "one does not any more", func() bool { return r.rdb.PubSubNumSub(t.Context(), "socketio").Val()["socketio"] == 1 })
	require.EqualValues(t, 1, r.emit(2))
	require.False(t, two.Stats().Listening)
	require.Empty(t, r.logged())
	slow.Unlock()
	<-stopped
	eventually(t, "all are there", func() bool { return len(r.logged()) == 3 })
	require.Equal(t, []int{0, 1, 2}, r.logged())
	require.EqualValues(t, 1, two.Stats().Handovers)
	require.EqualValues(t, 1, two.Stats().Terms)
	require.Same(t, two, r.listener(two))
}

func TestWithNobodyToFollowItStopsSoon(t *testing.T) {
	r := newRig(t)
	one := r.start(r.config("n1"), nil)
	r.listener(one)
	began := time.Now()
	one.stop()
	require.Less(t, time.Since(began), 5*time.Second)
	require.Zero(t, r.rdb.Exists(t.Context(), "{teloo}:ingress", "{teloo}:ingress:next").Val())
	second := r.start(r.config("n2"), nil)
	r.listener(second)
	require.Zero(t, second.Stats().Handovers)
}

// The last holder is gone before it has said where its messages end.
func TestWhoIsNextGoesOnWithoutTheLastHolder(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	require.NoError(t, r.rdb.MSet(ctx, "{teloo}:ingress", "n1#1", "{teloo}:ingress:next", "?").Err())
	two := r.start(r.config("n2"), nil)
	eventually(t, "it is ready", func() bool { return strings.HasSuffix(r.rdb.Get(ctx, "{teloo}:ingress:next").Val(), "\n") })
	require.EqualValues(t, 1, r.emit(0)) // that may be the last holder's
	require.NoError(t, r.rdb.Del(ctx, "{teloo}:ingress").Err())
	r.listener(two)
	require.EqualValues(t, 1, r.emit(1))
	eventually(t, "it goes on", func() bool { return slices.Equal(r.logged(), []int{1}) })
	require.Zero(t, two.Stats().Handovers)
}
