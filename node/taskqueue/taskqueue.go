// Package taskqueue corrects what a socket's task queue costs in the Socket.IO library. It owns nothing and keeps nothing.
//
// A queue has room for 1,024 tasks, 8 KiB for as long as the socket lives, and needs it for none of them, since it grows
// as it is used. And it has a finalizer although it refers to itself, so that it is never collected: every socket there
// ever was, refused ones too, stays in memory.
package taskqueue

import (
	"errors"
	"reflect"
	"runtime"
	"sync"
	"unsafe"

	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/queue"
)

// ErrUnknown says that a version of the library keeps its queues otherwise.
var ErrUnknown = errors.New("taskqueue: the library's task queues are not as expected")

var (
	queueField, hasQueue = reflect.TypeFor[socket.Socket]().FieldByName("taskQueue")
	tasksField, hasTasks = reflect.TypeFor[queue.Queue]().FieldByName("tasks")
	lockField, hasLock   = reflect.TypeFor[queue.Queue]().FieldByName("mu")
)

// Check returns ErrUnknown if Trim cannot be used.
func Check() error {
	if hasQueue && queueField.Type == reflect.TypeFor[*queue.Queue]() && len(queueField.Index) == 1 &&
		hasTasks && tasksField.Type == reflect.TypeFor[[]func()]() &&
		hasLock && lockField.Type == reflect.TypeFor[sync.Mutex]() {
		return nil
	}
	return ErrUnknown
}

// Trim gives back the spare memory of a socket's queue, and lets it be collected once the socket has gone, which closes
// it. The tasks in it stay. It may be called by one of them, once Check has returned nil.
func Trim(s *socket.Socket) {
	q := queueOf(s)
	if q == nil {
		return
	}
	runtime.SetFinalizer(q, nil)
	mu, tasks := tasksOf(q)
	mu.Lock()
	defer mu.Unlock()
	*tasks = append([]func(){}, *tasks...)
}

// Check has looked at the types of the fields, whose offsets are the compiler's.

func queueOf(s *socket.Socket) *queue.Queue {
	return *(**queue.Queue)(unsafe.Add(unsafe.Pointer(s), queueField.Offset)) //nolint:gosec // see above
}

func tasksOf(q *queue.Queue) (*sync.Mutex, *[]func()) {
	mu := unsafe.Add(unsafe.Pointer(q), lockField.Offset)     //nolint:gosec // see above
	tasks := unsafe.Add(unsafe.Pointer(q), tasksField.Offset) //nolint:gosec // see above
	return (*sync.Mutex)(mu), (*[]func())(tasks)
}
