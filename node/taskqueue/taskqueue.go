// Package taskqueue makes the Socket.IO library's task queues cost nothing while there is no task. It owns the goroutine
// that runs a socket's tasks, which lives as long as there are some; it never decides what they are.
//
// The library gives each socket a queue with a goroutine of its own and room for 1,024 tasks, 13 KiB together for as
// long as the socket lives, and a finalizer on what refers to itself, so that it is never collected: every socket there
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
	condField, hasCond   = reflect.TypeFor[queue.Queue]().FieldByName("cond")
	doneField, hasDone   = reflect.TypeFor[queue.Queue]().FieldByName("done")
)

// Check returns ErrUnknown if Take cannot be used.
func Check() error {
	if hasQueue && queueField.Type == reflect.TypeFor[*queue.Queue]() && len(queueField.Index) == 1 &&
		hasTasks && tasksField.Type == reflect.TypeFor[[]func()]() &&
		hasLock && lockField.Type == reflect.TypeFor[sync.Mutex]() &&
		hasCond && condField.Type == reflect.TypeFor[*sync.Cond]() &&
		hasDone && doneField.Type == reflect.TypeFor[chan struct{}]() {
		return nil
	}
	return ErrUnknown
}

// tasks runs the tasks of one socket, one after the other in their order.
type tasks struct {
	library  queue.Queue // first: it is found by the library's pointer
	cond     sync.Cond
	running  bool // the library's lock
	panicked func(fault any)
}

// ended is what the library's Close waits for. By it a queue of ours is recognised.
var ended = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Take puts a queue in place of the one that the library has made for s, before anybody else knows of s: in the
// namespace's middleware. What the library adds to it from then on is run by Run, and only by that. panicked is told of
// a task's panic, which costs no other task. Check has returned nil.
func Take(s *socket.Socket, panicked func(fault any)) {
	t := &tasks{panicked: panicked}
	t.cond.L = t.lock()
	*field[*sync.Cond](&t.library, condField) = &t.cond
	*field[chan struct{}](&t.library, doneField) = ended
	own := field[*queue.Queue](s, queueField)
	old := *own
	*own = &t.library
	runtime.SetFinalizer(old, nil)
	old.TryClose()
}

// Run sees to it that the tasks that were added to the queue of s are run. It does not wait for them, and is safe for
// concurrent use. Sockets that were not taken run theirs by themselves.
func Run(s *socket.Socket) {
	t := tasksOf(s)
	if t == nil {
		return
	}
	t.lock().Lock()
	start := !t.running && len(*t.waiting()) > 0
	t.running = t.running || start
	t.lock().Unlock()
	if start {
		go t.loop()
	}
}

// Enqueue adds a task to the queue of s, taken or not, and sees to its being run.
func Enqueue(s *socket.Socket, task func()) {
	s.Enqueue(task)
	Run(s)
}

func tasksOf(s *socket.Socket) *tasks {
	q := *field[*queue.Queue](s, queueField)
	if q == nil || *field[chan struct{}](q, doneField) != ended {
		return nil
	}
	return (*tasks)(unsafe.Pointer(q)) //nolint:gosec // the first field of ours
}

func (t *tasks) loop() {
	for task := t.next(); task != nil; task = t.next() {
		t.execute(task)
	}
}

// next takes the next task; nil: there is none, and the loop has ended.
func (t *tasks) next() func() {
	t.lock().Lock()
	defer t.lock().Unlock()
	waiting := t.waiting()
	if len(*waiting) == 0 {
		t.running, *waiting = false, nil
		return nil
	}
	task := (*waiting)[0]
	(*waiting)[0] = nil
	*waiting = (*waiting)[1:]
	return task
}

func (t *tasks) execute(task func()) {
	defer func() {
		if fault := recover(); fault != nil {
			t.panicked(fault)
		}
	}()
	task()
}

func (t *tasks) lock() *sync.Mutex { return field[sync.Mutex](&t.library, lockField) }

func (t *tasks) waiting() *[]func() { return field[[]func()](&t.library, tasksField) }

// field is a field of the library's. Check has looked at the types, and the offsets are the compiler's.
func field[T, S any](of *S, f reflect.StructField) *T {
	return (*T)(unsafe.Add(unsafe.Pointer(of), f.Offset)) //nolint:gosec // see above
}
