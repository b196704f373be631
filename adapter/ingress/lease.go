package ingress

import (
	"context"
	_ "embed" // the script
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed lease.lua
var leaseSource string

var leaseScript = redis.NewScript(leaseSource)

// lease lets one node at a time subscribe. Each term of holding it has a value of its own, which what is appended is
// checked against: a holder that was asleep, or holds it again after another, can't append what it had received before.
// It belongs to Run's goroutine, but for keep.
type lease struct {
	rdb      redis.UniversalClient
	key      string
	identity string
	lasts    time.Duration
	terms    int
}

// take reports whether a new term began, and its value.
func (l *lease) take(ctx context.Context) (value string, held bool, err error) {
	l.terms++
	value = l.identity + "#" + strconv.Itoa(l.terms)
	held, err = l.ask(ctx, value, "take")
	return value, held, err
}

// keep reports whether the term goes on.
func (l *lease) keep(ctx context.Context, value string) (bool, error) {
	return l.ask(ctx, value, "keep")
}

// release ends the term, so that others need not wait for it.
func (l *lease) release(ctx context.Context, value string) error {
	_, err := l.ask(ctx, value, "release")
	return err
}

func (l *lease) ask(ctx context.Context, value, what string) (bool, error) {
	held, err := leaseScript.Run(ctx, l.rdb, []string{l.key}, value, what, l.lasts.Milliseconds()).Int()
	return held == 1, err
}
