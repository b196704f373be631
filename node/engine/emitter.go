package engine

import (
	"reflect"
	"slices"
	"sync"

	"github.com/zishang520/socket.io/v3/pkg/types"
)

// emitter is the library's EventEmitter for sessions, which have few listeners: one short list instead of a map of
// lists.
type emitter struct {
	listenersMu sync.Mutex
	listeners   []listener // listenersMu
}

type listener struct {
	event types.EventName
	fn    types.EventListener
	once  bool
}

var _ types.EventEmitter = (*emitter)(nil)

// add is On and Once.
func (e *emitter) add(event types.EventName, once bool, fns []types.EventListener) {
	e.listenersMu.Lock()
	defer e.listenersMu.Unlock()
	for _, fn := range fns {
		if fn != nil {
			e.listeners = append(e.listeners, listener{event: event, fn: fn, once: once})
		}
	}
}

// AddListener implements types.EventEmitter.
func (e *emitter) AddListener(event types.EventName, fns ...types.EventListener) error {
	e.add(event, false, fns)
	return nil
}

// On implements types.EventEmitter.
func (e *emitter) On(event types.EventName, fns ...types.EventListener) error {
	e.add(event, false, fns)
	return nil
}

// Once implements types.EventEmitter.
func (e *emitter) Once(event types.EventName, fns ...types.EventListener) error {
	e.add(event, true, fns)
	return nil
}

// Emit calls the listeners of the event in the order of their registration, on the caller's goroutine and without a lock.
func (e *emitter) Emit(event types.EventName, args ...any) {
	for _, fn := range e.take(event) {
		fn(args...)
	}
}

// take returns the listeners of an event and forgets those for once.
func (e *emitter) take(event types.EventName) []types.EventListener {
	e.listenersMu.Lock()
	defer e.listenersMu.Unlock()
	var found []types.EventListener
	onces := false
	for _, l := range e.listeners {
		if l.event == event {
			found = append(found, l.fn)
			onces = onces || l.once
		}
	}
	if onces {
		e.listeners = slices.DeleteFunc(e.listeners, func(l listener) bool { return l.event == event && l.once })
	}
	return found
}

// EventNames implements types.EventEmitter.
func (e *emitter) EventNames() []types.EventName {
	e.listenersMu.Lock()
	defer e.listenersMu.Unlock()
	var names []types.EventName
	for _, l := range e.listeners {
		if !slices.Contains(names, l.event) {
			names = append(names, l.event)
		}
	}
	return names
}

// Listeners implements types.EventEmitter.
func (e *emitter) Listeners(event types.EventName) []types.EventListener {
	e.listenersMu.Lock()
	defer e.listenersMu.Unlock()
	var found []types.EventListener
	for _, l := range e.listeners {
		if l.event == event {
			found = append(found, l.fn)
		}
	}
	return found
}

// ListenerCount implements types.EventEmitter.
func (e *emitter) ListenerCount(event types.EventName) int { return len(e.Listeners(event)) }

// RemoveListener removes the first listener of the event with fn's code: functions have no other identity.
func (e *emitter) RemoveListener(event types.EventName, fn types.EventListener) bool {
	if fn == nil {
		return false
	}
	code := reflect.ValueOf(fn).Pointer()
	e.listenersMu.Lock()
	defer e.listenersMu.Unlock()
	i := slices.IndexFunc(e.listeners, func(l listener) bool {
		return l.event == event && reflect.ValueOf(l.fn).Pointer() == code
	})
	if i < 0 {
		return false
	}
	e.listeners = slices.Delete(e.listeners, i, i+1)
	return true
}

// RemoveAllListeners implements types.EventEmitter.
func (e *emitter) RemoveAllListeners(event types.EventName) bool {
	e.listenersMu.Lock()
	defer e.listenersMu.Unlock()
	before := len(e.listeners)
	e.listeners = slices.DeleteFunc(e.listeners, func(l listener) bool { return l.event == event })
	return len(e.listeners) < before
}

// Clear implements types.EventEmitter.
func (e *emitter) Clear() {
	e.listenersMu.Lock()
	defer e.listenersMu.Unlock()
	e.listeners = nil
}

// Len implements types.EventEmitter.
func (e *emitter) Len() int { return len(e.EventNames()) }
