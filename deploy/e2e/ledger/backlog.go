package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	backlogEvents = 100
	refusalLasts  = 10 * time.Second
)

// refusal is a Redis that takes no writes for a while. It begins while the nodes are kept from Redis and events wait
// for them there: what comes after would be refused to its writer already, and no node would meet the refusal.
type refusal struct {
	what        string
	begin, lift func(context.Context) error
}

func (f refusal) inject(ctx context.Context, s *scene) error {
	s.redis.refuse()
	first := s.writer.begun()
	err := until(ctx, "a backlog written", time.Minute, func() error {
		if n := s.writer.begun() - first; n <= backlogEvents { // the newest may not have been acknowledged
			return fmt.Errorf("%w: %d events", errUnwell, n)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.mark(f.what)
	if err := f.begin(ctx); err != nil {
		return err
	}
	if err := s.redis.heal(ctx); err != nil {
		return err
	}
	err = pause(ctx, refusalLasts)
	relayed, fault := newest(ctx, s.redis.direct)
	s.notef("%d events waited in Redis while it took no writes", s.writer.begun()-first)
	if relayed >= first {
		s.wrongf("event %d of the backlog was relayed while Redis took no writes: it was not refused", relayed)
	}
	if err := errors.Join(err, fault, f.lift(ctx)); err != nil {
		return err
	}
	return s.well(ctx)
}

// newest is the greatest number in the log.
func newest(ctx context.Context, client redis.UniversalClient) (int, error) {
	numbers, err := numbersOf(ctx, client, "{teloo}:log", "-")
	if err != nil || len(numbers) == 0 {
		return -1, err
	}
	return slices.Max(numbers), nil
}
