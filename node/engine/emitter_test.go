package engine

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

func TestEmitterCallsInOrder(t *testing.T) {
	var e emitter
	var got []any
	note := func(name string) types.EventListener {
		return func(args ...any) { got = append(got, name, args[0]) }
	}
	require.NoError(t, e.On("data", note("a"), nil, note("b")))
	require.NoError(t, e.Once("data", note("once")))
	require.NoError(t, e.AddListener("data", note("c")))
	require.NoError(t, e.On("other", note("no")))
	e.Emit("data", 1)
	e.Emit("data", 2)
	require.Equal(t, []any{"a", 1, "b", 1, "once", 1, "c", 1, "a", 2, "b", 2, "c", 2}, got)
	require.Equal(t, []types.EventName{"data", "other"}, e.EventNames())
	require.Equal(t, 2, e.Len())
	require.Equal(t, 3, e.ListenerCount("data"))
}

func TestEmitterRemovesByCode(t *testing.T) {
	var e emitter
	calls := map[string]int{}
	first := func(...any) { calls["first"]++ }
	second := func(...any) { calls["second"]++ }
	require.NoError(t, e.On("x", first, second))
	require.NoError(t, e.Once("x", second))
	require.False(t, e.RemoveListener("x", nil))
	require.False(t, e.RemoveListener("y", first), "of another event")
	require.True(t, e.RemoveListener("x", second))
	require.True(t, e.RemoveListener("x", second), "one at a time")
	require.False(t, e.RemoveListener("x", second))
	e.Emit("x")
	require.Equal(t, map[string]int{"first": 1}, calls)
}

func TestEmitterRemovesAll(t *testing.T) {
	var e emitter
	none := func(...any) {}
	require.NoError(t, e.On("x", none, none))
	require.NoError(t, e.On("y", none))
	require.True(t, e.RemoveAllListeners("x"))
	require.False(t, e.RemoveAllListeners("x"))
	require.Equal(t, 1, e.Len())
	e.Clear()
	require.Zero(t, e.Len())
}

func TestEmitterOnceIsOnceAmongMany(t *testing.T) {
	var e emitter
	var calls atomic.Int64
	require.NoError(t, e.Once("x", func(...any) { calls.Add(1) }))
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() { e.Emit("x") })
	}
	all.Wait()
	require.EqualValues(t, 1, calls.Load())
}

func TestEmitterListenerMayChangeListeners(t *testing.T) {
	var e emitter
	calls := 0
	require.NoError(t, e.On("x", func(...any) {
		calls++
		e.Clear()
		_ = e.Once("x", func(...any) { calls += 10 })
	}))
	e.Emit("x")
	require.Equal(t, 1, calls)
	e.Emit("x")
	require.Equal(t, 11, calls)
}
