package taskqueue

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/queue"
	"go.uber.org/goleak"
)

const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func taken(t *testing.T) (*socket.Socket, <-chan any) {
	t.Helper()
	require.NoError(t, Check())
	faults := make(chan any, 8)
	s := socket.MakeSocket()
	Take(s, func(fault any) { faults <- fault })
	return s, faults
}

func received[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	return v
}

func idle(s *socket.Socket) bool {
	t := tasksOf(s)
	t.lock().Lock()
	defer t.lock().Unlock()
	return !t.running && *t.waiting() == nil
}

func TestTasksRunInOrderAndOnlyWhenToldTo(t *testing.T) {
	s, _ := taken(t)
	done := make(chan int, 100)
	s.Enqueue(func() { done <- 0 })
	s.Enqueue(func() {
		done <- 1
		s.Enqueue(func() { done <- 3 }) // run without another word
	})
	s.Enqueue(func() { done <- 2 })
	runtime.Gosched()
	require.Empty(t, done)
	Run(s)
	Run(s)
	for i := range 4 {
		require.Equal(t, i, received(t, done))
	}
	require.Eventually(t, func() bool { return idle(s) }, patience, time.Millisecond, "no goroutine and no memory is kept")
	Run(s)
	require.True(t, idle(s))
	Enqueue(s, func() { done <- 4 })
	require.Equal(t, 4, received(t, done))
}

func TestASocketThatWasNotTakenRunsItsOwnTasks(t *testing.T) {
	s := socket.MakeSocket()
	done := make(chan int, 2)
	Enqueue(s, func() { done <- 0 })
	Run(s)
	require.Equal(t, 0, received(t, done))
	(*field[*queue.Queue](s, queueField)).Close()
}

func TestNoTaskIsLostOrRunBesideAnother(t *testing.T) {
	const senders, each = 8, 2000
	s, _ := taken(t)
	var inside atomic.Int32
	var ran int // owned by the tasks
	all := make(chan struct{})
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for range each {
				s.Enqueue(func() {
					if inside.Add(1) != 1 {
						t.Error("two tasks at once")
					}
					if ran++; ran == senders*each {
						close(all)
					}
					inside.Add(-1)
				})
				Run(s)
			}
		})
	}
	wg.Wait()
	received(t, all)
}

func TestAPanicCostsItsTaskAlone(t *testing.T) {
	s, faults := taken(t)
	done := make(chan struct{})
	s.Enqueue(func() { panic("first") })
	s.Enqueue(func() { close(done) })
	Run(s)
	received(t, done)
	require.Equal(t, "first", received(t, faults))
}

func TestAClosedQueueFinishesWhatItHasAndTakesNothing(t *testing.T) {
	s, _ := taken(t)
	done := make(chan string, 2)
	s.Enqueue(func() { done <- "before" })
	tasksOf(s).library.Close()
	s.Enqueue(func() { done <- "after" })
	Run(s)
	require.Equal(t, "before", received(t, done))
	require.Eventually(t, func() bool { return idle(s) }, patience, time.Millisecond)
	require.Empty(t, done)
}

func TestSocketsThatHaveGoneAreCollected(t *testing.T) {
	const n = 100
	require.NoError(t, Check())
	var collected atomic.Int64
	for range n {
		s := socket.MakeSocket()
		runtime.AddCleanup(*field[*queue.Queue](s, queueField), func(int) { collected.Add(1) }, 0) // the library's own
		Take(s, func(any) {})
		runtime.AddCleanup(tasksOf(s), func(int) { collected.Add(1) }, 0)
	}
	require.Eventually(t, func() bool {
		runtime.GC()
		return collected.Load() == 2*n
	}, patience, 10*time.Millisecond)
}
