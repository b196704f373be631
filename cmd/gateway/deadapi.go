package main

import (
	"context"

	"github.com/teloo/realtime-gateway/api/admin"
	"github.com/teloo/realtime-gateway/streams"
)

// deadLetters gives the dead letters to the admin API.
type deadLetters struct{ letters *streams.DeadLetters }

var _ admin.DeadLetters = deadLetters{}

// Letters implements admin.DeadLetters.
func (d deadLetters) Letters(ctx context.Context, f admin.DeadFilter) (admin.DeadPage, error) {
	total, err := d.letters.Len(ctx)
	if err != nil {
		return admin.DeadPage{}, answerable(err)
	}
	found, next, err := d.letters.List(ctx, streams.Filter(f))
	if err != nil {
		return admin.DeadPage{}, answerable(err)
	}
	page := admin.DeadPage{Next: next, Total: total}
	for _, l := range found {
		shown := letterOf(l)
		shown.Fields = nil
		page.Letters = append(page.Letters, shown)
	}
	return page, nil
}

// Letter implements admin.DeadLetters.
func (d deadLetters) Letter(ctx context.Context, id string) (admin.DeadLetter, error) {
	l, err := d.letters.Get(ctx, id)
	if err != nil {
		return admin.DeadLetter{}, answerable(err)
	}
	return letterOf(l), nil
}

// Replay implements admin.DeadLetters.
func (d deadLetters) Replay(ctx context.Context, s admin.DeadSelection) (admin.DeadReplayed, error) {
	sum, err := d.letters.Replay(ctx, streams.Selection{IDs: s.IDs, Filter: streams.Filter(s.Filter)}, nil)
	return replayedOf(sum), answerable(err)
}

// Drop implements admin.DeadLetters.
func (d deadLetters) Drop(ctx context.Context, s admin.DeadSelection) (admin.DeadDropped, error) {
	sum, err := d.letters.Drop(ctx, streams.Selection{IDs: s.IDs, Filter: streams.Filter(s.Filter)}, nil)
	return admin.DeadDropped(sum), answerable(err)
}

func letterOf(l streams.Letter) admin.DeadLetter {
	shown := admin.DeadLetter{
		ID: l.ID, At: l.At.UTC(), Reason: l.Reason, Detail: l.Detail, Event: l.Event, EventID: l.EventID, SourceID: l.SourceID,
		Node: l.Node, Deliveries: l.Deliveries, ReplayedFrom: l.ReplayedFrom, Size: l.Size, Whole: l.Whole(),
	}
	for _, f := range l.Fields {
		shown.Fields = append(shown.Fields, admin.DeadField(f))
	}
	return shown
}

func replayedOf(r streams.Replayed) admin.DeadReplayed {
	shown := admin.DeadReplayed{
		Replayed: r.Replayed, Gone: r.Gone, Refused: r.Refused, AlreadyRelayed: r.Relayed, Next: r.Next,
	}
	for _, k := range r.Kept {
		shown.Kept = append(shown.Kept, admin.DeadKept(k))
	}
	return shown
}
