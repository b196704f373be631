package adapter

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func taskCapacity(s *socket.Socket) int {
	mu, tasks := tasksOf(taskQueueOf(s))
	mu.Lock()
	defer mu.Unlock()
	return cap(*tasks)
}

func TestTheTaskQueuesSpareMemoryIsReleasedAndItsTasksStay(t *testing.T) {
	require.True(t, tasksReleasable())
	s := socket.MakeSocket()
	require.Equal(t, 1024, taskCapacity(s), "what the library reserves")
	entered, release, done := make(chan struct{}), make(chan struct{}), make(chan int)
	s.Enqueue(func() {
		close(entered)
		<-release
		releaseTasks(s) // from within a task
	})
	<-entered
	for i := range 3 {
		s.Enqueue(func() { done <- i })
	}
	releaseTasks(s) // from elsewhere
	require.LessOrEqual(t, taskCapacity(s), 4)
	close(release)
	for i := range 3 {
		require.Equal(t, i, <-done)
	}
	for i := range 2000 {
		s.Enqueue(func() { done <- i })
		require.Equal(t, i, <-done)
	}
	require.Less(t, taskCapacity(s), 64)
	taskQueueOf(s).Close()
}

func TestAConnectedSocketHoldsNoSpareTasks(t *testing.T) {
	server := redistest.Start(t)
	l := openLobby(t, server.Addr(), testConfig("a:1"))
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	l.tell("r", "e1")
	v.expect("| e1")
	require.Less(t, taskCapacity(l.socketOf("u")), 64)
}
