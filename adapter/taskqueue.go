package adapter

import (
	"reflect"
	"sync"
	"unsafe"

	"github.com/zishang520/socket.io/servers/socket/v3"
	libqueue "github.com/zishang520/socket.io/v3/pkg/queue"
)

// The library gives each socket's task queue room for 1,024 tasks, 8 KiB for as long as the socket lives, and needs it for
// none of them: the queue grows as it is used. So it is given back, under the queue's own lock. New fails if a version of
// the library keeps its queue otherwise.

var (
	taskQueueField, hasTaskQueue = reflect.TypeFor[socket.Socket]().FieldByName("taskQueue")
	tasksField, hasTasks         = reflect.TypeFor[libqueue.Queue]().FieldByName("tasks")
	tasksLock, hasTasksLock      = reflect.TypeFor[libqueue.Queue]().FieldByName("mu")
)

func tasksReleasable() bool {
	return hasTaskQueue && taskQueueField.Type == reflect.TypeFor[*libqueue.Queue]() && len(taskQueueField.Index) == 1 &&
		hasTasks && tasksField.Type == reflect.TypeFor[[]func()]() &&
		hasTasksLock && tasksLock.Type == reflect.TypeFor[sync.Mutex]()
}

// releaseTasks gives the spare memory of a socket's task queue back; the tasks in it stay. It may be called by one of
// them.
func releaseTasks(s *socket.Socket) {
	if q := taskQueueOf(s); q != nil {
		mu, tasks := tasksOf(q)
		mu.Lock()
		defer mu.Unlock()
		*tasks = append([]func(){}, *tasks...)
	}
}

// New has checked the types of the fields, whose offsets are the compiler's.

func taskQueueOf(s *socket.Socket) *libqueue.Queue {
	return *(**libqueue.Queue)(unsafe.Add(unsafe.Pointer(s), taskQueueField.Offset)) //nolint:gosec // see above
}

func tasksOf(q *libqueue.Queue) (*sync.Mutex, *[]func()) {
	mu := unsafe.Add(unsafe.Pointer(q), tasksLock.Offset)     //nolint:gosec // see above
	tasks := unsafe.Add(unsafe.Pointer(q), tasksField.Offset) //nolint:gosec // see above
	return (*sync.Mutex)(mu), (*[]func())(tasks)
}
