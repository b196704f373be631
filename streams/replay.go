package streams

import (
	"context"
	_ "embed" // the script
	"fmt"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/replay.lua
	replaySource string
	replayScript = redis.NewScript(replaySource)
)

// fieldReplayedFrom is the field of an event that was a dead letter before: that letter's id. It routes nothing.
const fieldReplayedFrom = "replayed_from"

// Replayed is what became of a selection. Letters that were refused or already relayed are dead letters still.
type Replayed struct {
	// Replayed is how many went to the event stream again.
	Replayed int
	// Gone is how many were no dead letters any more.
	Gone int
	// Refused is how many were cut when they died, and so cannot be replayed.
	Refused int
	// Relayed is how many have an event_id that was relayed meanwhile, as the publisher's own repetition.
	Relayed int
	// Kept names the first 100 of those refused or relayed.
	Kept []Kept
	// Next is the After of what the filter's Limit left, if there may be more.
	Next string
}

// Kept is a dead letter that was not replayed, and why.
type Kept struct{ ID, Why string }

// Done is how many letters were looked at.
func (r Replayed) Done() int { return r.Replayed + r.Gone + r.Refused + r.Relayed }

func (r Replayed) keeping(id, why string) Replayed {
	if len(r.Kept) < maxRefusals {
		r.Kept = append(r.Kept, Kept{id, why})
	}
	return r
}

// Replay writes the letters of s to the event stream again, the oldest first, each atomically with its removal. Two
// calls at once, or one repeated after an error, replay each letter once. progress, unless nil, is called after each
// step with what is done. An error comes with what was done before it.
//
// A dead letter never used up its event_id. If that was relayed since, the event stream would swallow the replay as a
// repetition; such a letter stays and is counted as Relayed.
func (d *DeadLetters) Replay(ctx context.Context, s Selection, progress func(Replayed)) (Replayed, error) {
	r := replay{DeadLetters: d, progress: progress}
	next, err := d.each(ctx, s, func(l Letter) error {
		if !l.Whole() || len(l.Fields) > maxDeadPairs {
			r.sum.Refused++
			r.sum = r.sum.keeping(l.ID, "it was cut when it died")
			return nil
		}
		if len(r.run) > 0 && (len(r.run) == replayMost || r.bytes+l.Size > replayBytes) {
			if err := r.flush(ctx); err != nil {
				return err
			}
		}
		r.run = append(r.run, letterKey{l.ID, l.EventID})
		r.bytes += l.Size
		return nil
	}, func() { r.sum.Gone++ })
	if err == nil {
		err = r.flush(ctx)
	}
	r.sum.Next = next
	return r.sum, err
}

// replay is one call of Replay.
type replay struct {
	*DeadLetters

	progress func(Replayed)
	sum      Replayed
	run      []letterKey // letters of the next call of the script
	bytes    int         // theirs
}

type letterKey struct{ id, eventID string }

// flush replays the run.
func (r *replay) flush(ctx context.Context) error {
	if len(r.run) > 0 {
		names := []string{r.keys.dead, r.keys.events}
		args := make([]any, 0, 2*len(r.run))
		for _, l := range r.run {
			hasSeen := "0"
			if l.eventID != "" {
				hasSeen = "1"
				names = append(names, r.keys.seenKey(l.eventID))
			}
			args = append(args, l.id, hasSeen)
		}
		reply, err := replayScript.Run(ctx, r.rdb, names, args...).StringSlice()
		if err != nil {
			return fmt.Errorf("replaying dead letters: %w", err)
		}
		if err := r.settle(reply); err != nil {
			return err
		}
		r.run, r.bytes = r.run[:0], 0
	}
	if r.progress != nil {
		r.progress(r.sum)
	}
	return nil
}

func (r *replay) settle(reply []string) error {
	if len(reply) != 2 || len(reply[0]) > len(r.run) {
		return fmt.Errorf("%w: replay: %.100v", errReply, reply)
	}
	for i, outcome := range []byte(reply[0]) {
		switch outcome {
		case 'r':
			r.sum.Replayed++
		case 's':
			r.sum.Relayed++
			r.sum = r.sum.keeping(r.run[i].id, "its event_id was relayed since")
		default:
			r.sum.Gone++
		}
	}
	if reply[1] != "" {
		return fmt.Errorf("%w: %s", errRefused, reply[1])
	}
	return nil
}

// Dropped is what became of a selection that was dropped; Gone and Next are as in Replayed.
type Dropped struct {
	Dropped, Gone int
	Next          string
}

// Drop removes the letters of s for good. progress is as in Replay.
func (d *DeadLetters) Drop(ctx context.Context, s Selection, progress func(Dropped)) (Dropped, error) {
	var sum Dropped
	var run []string
	flush := func() error {
		if len(run) > 0 {
			n, err := d.rdb.XDel(ctx, d.keys.dead, run...).Result()
			if err != nil {
				return fmt.Errorf("dropping dead letters: %w", err)
			}
			sum.Dropped += int(n)
			sum.Gone += len(run) - int(n)
			run = run[:0]
		}
		if progress != nil {
			progress(sum)
		}
		return nil
	}
	next, err := d.each(ctx, s, func(l Letter) error {
		if run = append(run, l.ID); len(run) < replayMost {
			return nil
		}
		return flush()
	}, func() { sum.Gone++ })
	if err == nil {
		err = flush()
	}
	sum.Next = next
	return sum, err
}
