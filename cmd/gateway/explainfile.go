package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/teloo/realtime-gateway/node"
	"github.com/teloo/realtime-gateway/presence"
)

const (
	// maxEventFile bounds what is read of a file; no event is larger.
	maxEventFile = 1 << 20
	// countTimeout bounds the look at who is connected.
	countTimeout = 3 * time.Second
)

// chosen is a room, the rule that chose it, and who is in it now, nil if that was not looked at.
type chosen struct {
	Room    string `json:"room"`
	Rule    string `json:"rule"`
	Sockets *int64 `json:"sockets,omitempty"`
	Users   *int64 `json:"users,omitempty"`
}

func (c chosen) now() string {
	if c.Sockets == nil {
		return ""
	}
	return fmt.Sprintf(": now %d sockets of %d users", *c.Sockets, *c.Users)
}

// read takes an event of the form that a stream entry's payload has, from a file or standard input.
func (e *explainCmd) read(a *app) (map[string]any, error) {
	if e.Data != "{}" || len(e.Rooms) > 0 {
		return nil, errors.New("an event that is read says its data and rooms itself")
	}
	in := a.stdin
	if e.Event != "-" {
		file, err := os.Open(e.Event)
		if err != nil {
			return nil, fmt.Errorf("reading the event: %w", err)
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxEventFile))
	if err != nil {
		return nil, fmt.Errorf("reading the event: %w", err)
	}
	return map[string]any{"payload": string(text)}, nil
}

// count looks up in Redis who is in the rooms now.
func (x *explanation) count(ctx context.Context, a *app) error {
	c, err := a.config("REDIS_")
	if err != nil {
		return err
	}
	client := c.newRedis(false)
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	counter := presence.NewCounter(c.presenceConfig("gateway explain"), client)
	for i := range x.Why {
		held, err := countRoom(ctx, counter, x.Why[i].Room)
		if err != nil {
			return fmt.Errorf("%s: %w", c.redisPlace(), err)
		}
		x.Why[i].Sockets, x.Why[i].Users = &held.Sockets, &held.Users
	}
	return nil
}

func countRoom(ctx context.Context, counter *presence.Counter, room string) (presence.Count, error) {
	if slices.Contains(roles, room) {
		return counter.Role(ctx, room)
	}
	if user, ok := strings.CutPrefix(room, node.UserRoom("")); ok {
		return counter.User(ctx, user)
	}
	return counter.Room(ctx, room)
}
