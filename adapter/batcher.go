package adapter

import (
	"context"
	"errors"
)

// batcherQueue is how many calls may wait to be put into a batch; more are refused.
const batcherQueue = 1 << 15

// batched is a call that waits for its batch. value belongs to the batch until done is closed, then to the caller.
type batched[T any] struct {
	ctx   context.Context // the caller's: who has given up is not served
	value T
	err   error
	done  chan struct{}
}

// batcher turns many concurrent calls into few of Redis: while one batch is under way, the next gathers.
type batcher[T any] struct {
	exec  func(context.Context, []*batched[T]) error
	queue chan *batched[T]
}

func newBatcher[T any](exec func(context.Context, []*batched[T]) error) batcher[T] {
	return batcher[T]{exec: exec, queue: make(chan *batched[T], batcherQueue)}
}

// do returns value as the batch completed it. The error wraps ErrUnavailable; whether the call was carried out is then
// not known.
func (b *batcher[T]) do(ctx context.Context, value T) (T, error) {
	call := &batched[T]{ctx: ctx, value: value, done: make(chan struct{})}
	select {
	case b.queue <- call:
	default:
		return value, ErrUnavailable
	}
	select {
	case <-call.done:
		if call.err != nil {
			return value, errors.Join(ErrUnavailable, call.err)
		}
		return call.value, nil
	case <-ctx.Done():
		return value, errors.Join(ErrUnavailable, ctx.Err())
	}
}

// run carries batches out until ctx ends.
func (b *batcher[T]) run(ctx context.Context) {
	batch := make([]*batched[T], 0, sessionBatch)
	for {
		batch = batch[:0]
		select {
		case <-ctx.Done():
			return
		case call := <-b.queue:
			batch = b.gather(call, batch)
		}
		if len(batch) == 0 {
			continue
		}
		err := b.exec(ctx, batch)
		for i, call := range batch {
			call.err = err
			close(call.done)
			batch[i] = nil
		}
	}
}

// gather adds to batch the call and what waits behind it.
func (b *batcher[T]) gather(call *batched[T], batch []*batched[T]) []*batched[T] {
	for {
		if call.ctx.Err() == nil {
			batch = append(batch, call)
		}
		if len(batch) == sessionBatch {
			return batch
		}
		select {
		case call = <-b.queue:
		default:
			return batch
		}
	}
}
