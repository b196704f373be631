package ingress

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// appendAll appends what is queued, in order, until the queue is closed and empty, or an append has failed. Whether that
// was carried out may not be known, and it may yet be, behind what would be sent next: so the term ends with it. Once
// receiving has ended there is finishTimeout left. What is not appended is counted.
func (t *term) appendAll(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.receiving, func() { time.AfterFunc(finishTimeout, cancel) })()
	b := batch{term: t}
	select {
	case <-t.holding:
	case <-t.receiving.Done():
		return t.refuseAll(errNotNext)
	}
	for m := range t.queue {
		b.add(ctx, m)
		if b.full() || len(t.queue) == 0 {
			b.flush(ctx)
		}
		if b.failed != nil {
			break
		}
	}
	b.flush(ctx)
	if b.failed == nil {
		return nil
	}
	return t.refuseAll(b.failed)
}

// refuseAll ends receiving, and counts what waits. It returns why.
func (t *term) refuseAll(why error) error {
	t.stopReceiving()
	for m := range t.queue {
		t.taken(m)
		t.refuse(m, Superseded, nil)
	}
	return why
}

// taken notes that a message does not wait any more.
func (t *term) taken(m message) {
	t.count.queued.Add(-1)
	t.count.bytes.Add(-int64(len(m.payload)))
}

// batch is a run of messages for the same stream. It belongs to append's goroutine.
type batch struct {
	*term

	entries [][]string
	events  []Payload
	sources []Source
	bytes   int
	failed  error // of the append that ended the term
}

func (b *batch) full() bool { return len(b.sources) >= batchMessages || b.bytes >= batchBytes }

// add takes a message in, having flushed those that are for the other stream.
func (b *batch) add(ctx context.Context, m message) {
	b.taken(m)
	if m.source == Legacy {
		if len(b.entries) > 0 {
			b.flush(ctx)
		}
		b.events = append(b.events, Payload{Channel: m.channel, JSON: m.payload})
		b.note(m, len(m.payload))
		return
	}
	fields, err := b.entryOf(m)
	if err != nil {
		b.refuse(m, outcomeOf(err), err)
		return
	}
	if len(b.events) > 0 {
		b.flush(ctx)
	}
	b.entries = append(b.entries, fields)
	size := 0
	for _, f := range fields {
		size += len(f)
	}
	b.note(m, size)
}

func (b *batch) note(m message, size int) {
	b.sources = append(b.sources, m.source)
	b.bytes += size
}

// entryOf is a message's log entry.
func (b *batch) entryOf(m message) ([]string, error) {
	return caught(b.log, m.source, func() ([]string, error) {
		switch {
		case m.source == Python:
			return b.encode.python(m.payload)
		case m.request:
			return b.encode.requested(m.channel, m.payload)
		}
		return b.encode.emitted(m.payload)
	})
}

// caught reads a message: a fault of the parsers' costs that message, not the node.
func caught(log *slog.Logger, source Source, read func() ([]string, error)) (fields []string, err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("recovered from a panic", "source", source.String(), "err", fmt.Sprint(p), "stack", string(debug.Stack()))
			fields, err = nil, errPanic
		}
	}()
	return read()
}

// flush appends the batch and counts what became of it.
func (b *batch) flush(ctx context.Context) {
	if len(b.sources) == 0 {
		return
	}
	appended, rest := 0, Superseded
	if b.failed == nil {
		appended, b.failed = b.send(ctx)
		if b.failed != nil && !b.deps.NotHeld(b.failed) {
			rest = Failed
			b.log.Warn("pub/sub messages may be lost", "messages", len(b.sources)-appended, "err", b.failed)
		}
	}
	for i, source := range b.sources {
		if i < appended {
			b.count.add(source, Accepted, 1)
		} else {
			b.count.add(source, rest, 1)
		}
	}
	clear(b.entries)
	clear(b.events)
	b.entries, b.events, b.sources, b.bytes = b.entries[:0], b.events[:0], b.sources[:0], 0
}

// send appends the batch and returns how much of it was.
func (b *batch) send(ctx context.Context) (int, error) {
	if len(b.events) > 0 {
		return b.deps.Events(ctx, b.lease.key, b.value, b.events)
	}
	return b.deps.Log(ctx, b.lease.key, b.value, b.entries)
}
