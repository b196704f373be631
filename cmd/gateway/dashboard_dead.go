package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/teloo/realtime-gateway/api/dashboard"
	"github.com/teloo/realtime-gateway/streams"
)

// shownLetters shows the dead letters to the operators' page.
type shownLetters struct{ letters *streams.DeadLetters }

var _ dashboard.DeadLetters = shownLetters{}

// List implements dashboard.DeadLetters.
func (d shownLetters) List(ctx context.Context, reason, after string, limit int) ([]dashboard.Letter, string, error) {
	page, next, err := d.letters.List(ctx, streams.Filter{Reason: reason, After: after, Limit: limit, Newest: true})
	if errors.Is(err, streams.ErrSelection) {
		return nil, "", fmt.Errorf("%w: %w", dashboard.ErrNoLetter, err)
	}
	letters := make([]dashboard.Letter, 0, len(page))
	for _, l := range page {
		letters = append(letters, shownLetter(l))
	}
	return letters, next, err
}

// Get implements dashboard.DeadLetters.
func (d shownLetters) Get(ctx context.Context, id string) (dashboard.Letter, error) {
	l, err := d.letters.Get(ctx, id)
	if err != nil {
		return dashboard.Letter{}, shownError(err)
	}
	shown := shownLetter(l)
	for _, f := range l.Fields {
		shown.Fields = append(shown.Fields, dashboard.Field{Name: f.Name, Value: f.Value})
	}
	return shown, nil
}

// Replay implements dashboard.DeadLetters.
func (d shownLetters) Replay(ctx context.Context, id string) error {
	done, err := d.letters.Replay(ctx, streams.Selection{IDs: []string{id}}, nil)
	switch {
	case err != nil:
		return shownError(err)
	case done.Refused > 0:
		return dashboard.ErrCut
	case done.Relayed > 0:
		return dashboard.ErrRelayed
	case done.Replayed == 0:
		return dashboard.ErrNoLetter
	}
	return nil
}

// Drop implements dashboard.DeadLetters.
func (d shownLetters) Drop(ctx context.Context, id string) error {
	done, err := d.letters.Drop(ctx, streams.Selection{IDs: []string{id}}, nil)
	if err == nil && done.Dropped == 0 {
		return dashboard.ErrNoLetter
	}
	return shownError(err)
}

func shownError(err error) error {
	if errors.Is(err, streams.ErrNoLetter) || errors.Is(err, streams.ErrSelection) {
		return fmt.Errorf("%w: %w", dashboard.ErrNoLetter, err)
	}
	return err
}

func shownLetter(l streams.Letter) dashboard.Letter {
	return dashboard.Letter{
		ID: l.ID, At: l.At.UnixMilli(), Reason: l.Reason, Detail: l.Detail, Event: l.Event, EventID: l.EventID, SourceID: l.SourceID,
		Node: l.Node, Deliveries: l.Deliveries, Cut: !l.Whole(),
	}
}
