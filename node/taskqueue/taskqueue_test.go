package taskqueue

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"
	"go.uber.org/goleak"
)

const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func capacity(s *socket.Socket) int {
	mu, tasks := tasksOf(queueOf(s))
	mu.Lock()
	defer mu.Unlock()
	return cap(*tasks)
}

func TestSpareMemoryIsReleasedAndTheTasksStay(t *testing.T) {
	require.NoError(t, Check())
	s := socket.MakeSocket()
	require.Equal(t, 1024, capacity(s), "what the library reserves")
	entered, release, done := make(chan struct{}), make(chan struct{}), make(chan int)
	s.Enqueue(func() {
		close(entered)
		<-release
		Trim(s) // from within a task
	})
	<-entered
	for i := range 3 {
		s.Enqueue(func() { done <- i })
	}
	Trim(s) // from elsewhere
	require.LessOrEqual(t, capacity(s), 4)
	close(release)
	next := func() int {
		select {
		case i := <-done:
			return i
		case <-time.After(patience):
			t.Fatal("a task is lost")
			return -1
		}
	}
	for i := range 3 {
		require.Equal(t, i, next())
	}
	for i := range 2000 {
		s.Enqueue(func() { done <- i })
		require.Equal(t, i, next())
	}
	require.Less(t, capacity(s), 64)
	queueOf(s).Close()
}

func TestQueuesOfSocketsThatHaveGoneAreCollected(t *testing.T) {
	const n = 100
	var collected atomic.Int64
	for range n {
		s := socket.MakeSocket()
		Trim(s)
		q := queueOf(s)
		runtime.AddCleanup(q, func(int) { collected.Add(1) }, 0)
		q.Close()
	}
	require.Eventually(t, func() bool {
		runtime.GC()
		return collected.Load() == n
	}, patience, 10*time.Millisecond)
}
