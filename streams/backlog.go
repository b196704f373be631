package streams

import (
	"slices"
	"sync"
	"time"
)

// backlog holds the entries that this node has handled and not yet settled, by ascending id. The read and claim loops
// add, the commit loop takes from the front; so an old entry that was claimed late is still committed first, and
// nothing waits for an entry that waits behind it.
type backlog struct {
	mu      sync.Mutex
	entries []*entry // guarded by mu; sorted by id, without duplicates
	bytes   int      // guarded by mu; sum of the entries' sizes

	added   chan struct{} // has a token after add
	removed chan struct{} // has a token after remove
}

func newBacklog() *backlog {
	return &backlog{added: make(chan struct{}, 1), removed: make(chan struct{}, 1)}
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// add takes over entries; one that is already held is dropped.
func (b *backlog) add(entries []*entry) {
	if len(entries) == 0 {
		return
	}
	b.mu.Lock()
	for _, e := range entries {
		if n := len(b.entries); n == 0 || b.entries[n-1].at.compare(e.at) < 0 {
			b.entries = append(b.entries, e)
		} else if i, found := b.find(e.at); !found {
			b.entries = slices.Insert(b.entries, i, e)
		} else {
			continue
		}
		b.bytes += e.size
	}
	b.mu.Unlock()
	signal(b.added)
}

// find is for holders of mu.
func (b *backlog) find(at streamID) (int, bool) {
	return slices.BinarySearchFunc(b.entries, at, func(e *entry, at streamID) int { return e.at.compare(at) })
}

// head appends to buf the oldest entries, at most count of them and at most size bytes, but at least one if any.
func (b *backlog) head(buf []*entry, count, size int) []*entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	total := 0
	for i, e := range b.entries {
		total += e.size
		if i == count || i > 0 && total > size {
			break
		}
		buf = append(buf, e)
	}
	return buf
}

// remove drops the entries with these ascending ids; unknown ones are no fault.
func (b *backlog) remove(ids []streamID) {
	b.mu.Lock()
	next := 0
	b.entries = slices.DeleteFunc(b.entries, func(e *entry) bool {
		for next < len(ids) && ids[next].compare(e.at) < 0 {
			next++
		}
		if next == len(ids) || ids[next] != e.at {
			return false
		}
		b.bytes -= e.size
		return true
	})
	b.mu.Unlock()
	signal(b.removed)
}

// stale appends to buf the entries that were neither delivered nor renewed since t, at most count.
func (b *backlog) stale(buf []*entry, t time.Time, count int) []*entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.entries {
		if len(buf) == count {
			break
		}
		if e.renewed.Before(t) {
			buf = append(buf, e)
		}
	}
	return buf
}

// size returns how many entries and bytes are held.
func (b *backlog) size() (entries, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.entries), b.bytes
}

// ids returns the ids that are held.
func (b *backlog) ids() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := make([]string, len(b.entries))
	for i, e := range b.entries {
		ids[i] = e.id
	}
	return ids
}
