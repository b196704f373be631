package engine

import (
	"context"
	"sync"
	"time"
)

const (
	// wheelTick is how exact deadlines are.
	wheelTick  = 25 * time.Millisecond
	wheelSlots = 1 << 10
)

// wheel is the timers of all sessions: each is in the list of the slot at which the hand will meet it, and waits there for
// as many turns as its deadline is away.
type wheel struct {
	mu    sync.Mutex
	hand  int                // mu: slot
	began time.Time          // mu: when it began to turn, zero if it has not
	done  int                // mu: how many slots the hand has passed since
	slots [wheelSlots]*alarm // mu: lists
}

// alarm is one session's place in the wheel. Its fields belong to the wheel's mu.
type alarm struct {
	next, prev *alarm
	slot       int
	turns      int
	set        bool
	session    *Session
}

// schedule sets or resets a's deadline; at the earliest it is met after d.
func (w *wheel) schedule(a *alarm, d time.Duration) {
	ticks := int((d+wheelTick-1)/wheelTick) + 1 // the current tick has begun already
	w.mu.Lock()
	defer w.mu.Unlock()
	ticks += w.behind()
	w.drop(a)
	a.slot, a.turns, a.set = (w.hand+ticks)%wheelSlots, (ticks-1)/wheelSlots, true
	first := w.slots[a.slot]
	a.next, a.prev = first, nil
	if first != nil {
		first.prev = a
	}
	w.slots[a.slot] = a
}

// behind is how many slots the hand has to make up for, which shortens nobody's time. For holders of mu.
func (w *wheel) behind() int {
	if w.began.IsZero() {
		return 0
	}
	return int(time.Since(w.began)/wheelTick) - w.done
}

// cancel forgets a's deadline.
func (w *wheel) cancel(a *alarm) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop(a)
}

// drop is for holders of mu.
func (w *wheel) drop(a *alarm) {
	if !a.set {
		return
	}
	if a.prev != nil {
		a.prev.next = a.next
	} else {
		w.slots[a.slot] = a.next
	}
	if a.next != nil {
		a.next.prev = a.prev
	}
	a.next, a.prev, a.set = nil, nil, false
}

// run calls met with each session whose deadline has come, until ctx ends.
func (w *wheel) run(ctx context.Context, met func(*Session)) {
	tick := time.NewTicker(wheelTick)
	defer tick.Stop()
	w.mu.Lock()
	w.began, w.done = time.Now(), 0
	w.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// Ticks that the scheduler swallowed are made up for.
		for range w.late() {
			for _, s := range w.advance() {
				met(s)
			}
		}
	}
}

func (w *wheel) late() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.behind()
}

// advance moves the hand by one slot and takes out the alarms that are due.
func (w *wheel) advance() []*Session {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hand = (w.hand + 1) % wheelSlots
	w.done++
	var due []*Session
	for a := w.slots[w.hand]; a != nil; {
		next := a.next
		if a.turns--; a.turns < 0 {
			w.drop(a)
			due = append(due, a.session)
		}
		a = next
	}
	return due
}
