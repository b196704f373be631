package ingress

import (
	"context"
	_ "embed" // the script
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed lease.lua
var leaseSource string

var leaseScript = redis.NewScript(leaseSource)

// claim is what there is of the lease for who has asked for it.
type claim int

const (
	nothing claim = iota
	held
	toBeReady // to listen, since the holder is about to stop
)

var (
	errNobodyNext = errors.New("ingress: nobody is there to listen next")
	errElsewhere  = errors.New("ingress: who listens next does so at another server")
)

// lease lets one node at a time append what it is told. Each term of holding it has a value of its own, which what is
// appended is checked against: a holder that was asleep, or holds it again after another, can't append what it had received
// before. It belongs to Run's goroutine, but for what takes a value.
type lease struct {
	rdb      redis.UniversalClient
	key      string
	identity string
	lasts    time.Duration
	terms    int
}

// take begins a new term, if it can, and returns its value.
func (l *lease) take(ctx context.Context) (value string, got claim, err error) {
	l.terms++
	value = l.identity + "#" + strconv.Itoa(l.terms)
	got, err = l.ask(ctx, value, "take")
	return value, got, err
}

// keep reports whether the term goes on, or begins for who is next.
func (l *lease) keep(ctx context.Context, value string) (bool, error) {
	got, err := l.ask(ctx, value, "keep")
	return got == held, err
}

// release ends the term, so that others need not wait for it.
func (l *lease) release(ctx context.Context, value string) error {
	_, err := l.ask(ctx, value, "release")
	return err
}

// ready says that who is to be next listens at that server, and reports whether it still is to.
func (l *lease) ready(ctx context.Context, value, server string) (bool, error) {
	got, err := leaseScript.Run(ctx, l.rdb, l.keys(), value, "ready", l.lasts.Milliseconds(), server).Int()
	return got == 1, err
}

// callHeir returns the value of a term that is ready to follow, at the same server, once there is one.
func (l *lease) callHeir(ctx context.Context, value, server string) (string, error) {
	if got, err := l.ask(ctx, value, "call"); err != nil || got != held {
		return "", errors.Join(errNobodyNext, err)
	}
	soon := time.Now().Add(l.lasts / 2) // by then each of the others has asked for the lease
	for ; ctx.Err() == nil; pause(ctx, heirPoll) {
		heir, err := l.rdb.Get(ctx, l.next()).Result()
		if err != nil || heir == "?" && time.Now().After(soon) {
			return "", errors.Join(errNobodyNext, err)
		}
		next, where, is := strings.Cut(heir, "\n")
		if is && where != server {
			return "", errElsewhere
		}
		if is {
			return next, nil
		}
	}
	return "", ctx.Err()
}

func (l *lease) ask(ctx context.Context, value, what string) (claim, error) {
	got, err := leaseScript.Run(ctx, l.rdb, l.keys(), value, what, l.lasts.Milliseconds()).Int()
	return claim(got), err
}

func (l *lease) next() string { return l.key + ":next" }

func (l *lease) keys() []string { return []string{l.key, l.next()} }
