package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/teloo/realtime-gateway/api/admin"
	"github.com/teloo/realtime-gateway/streams"
)

// deadChoice are the flags and arguments of what acts on dead letters.
type deadChoice struct {
	IDs        []string `arg:""   help:"Ids of letters." name:"id" optional:""`
	deadFilter `embed:""`

	All    bool `help:"All of them."`
	Limit  int  `help:"Only the oldest so many of those chosen; 0: no limit." placeholder:"N"`
	DryRun bool `help:"Only say what would be done."                          name:"dry-run"`
	Yes    bool `help:"Do not ask."                                           short:"y"`
	JSON   bool `help:"Print the outcome as JSON."`
}

// choose returns the selection and, unless it names ids, what is in it now.
func (c *deadChoice) choose(ctx context.Context, letters *streams.DeadLetters) (streams.Selection, []streams.Tally, error) {
	filtered := c.set() || c.All
	switch {
	case len(c.IDs) > 0 && (filtered || c.Limit != 0):
		return streams.Selection{}, nil, errors.New("ids exclude --all, --limit and the filters")
	case len(c.IDs) > 0:
		return streams.Selection{IDs: c.IDs}, nil, nil
	case !filtered:
		return streams.Selection{}, nil, errors.New("which ones? name ids, a filter (--reason, --event, --since, --until), or --all")
	case c.set() && c.All:
		return streams.Selection{}, nil, errors.New("--all excludes the filters")
	}
	f, err := c.filter(time.Now())
	if err != nil {
		return streams.Selection{}, nil, err
	}
	f.Limit = c.Limit
	totals, err := letters.Count(ctx, f)
	return streams.Selection{Filter: f}, totals, err
}

// deadVerb is what is to be done, and the outcome of doing it to nothing.
type deadVerb struct {
	name    string
	nothing any
}

// agreed shows what is chosen and asks, where it was not said by its id. false: there is nothing to do any more.
func (c *deadChoice) agreed(a *app, verb deadVerb, s streams.Selection, totals []streams.Tally) (bool, error) {
	count, cut := len(s.IDs), 0
	for _, t := range totals {
		count += t.Count
		cut += t.Cut
	}
	switch {
	case c.DryRun && c.JSON:
		return false, json.NewEncoder(a.stdout).Encode(map[string]int{"chosen": count, "cut": cut})
	case count == 0 && c.JSON:
		return false, json.NewEncoder(a.stdout).Encode(verb.nothing)
	case count == 0:
		return false, tell(a, "no dead letters are chosen")
	}
	if c.DryRun || len(s.IDs) == 0 && !c.Yes {
		if err := align(a.stderr, tableOf(totals)); err != nil {
			return false, err
		}
	}
	switch {
	case c.DryRun:
		if cut > 0 {
			a.say(fmt.Sprintf("%d of them were cut when they died, and cannot be replayed", cut))
		}
		return false, tell(a, "would %s %d dead letters", verb.name, count)
	case c.Yes || len(s.IDs) > 0:
		return true, nil
	case !isInteractive(a.stdin) || !isTerminal(a.stderr):
		return false, fmt.Errorf("not asked, since this is no terminal: --yes says that these %d dead letters are meant", count)
	}
	_, _ = fmt.Fprintf(a.stderr, "%s these %d dead letters? [y/N] ", verb.name, count)
	return isYes(a.stdin), nil
}

func isInteractive(r io.Reader) bool {
	w, ok := r.(io.Writer) // as a file is
	return ok && isTerminal(w)
}

func isYes(r io.Reader) bool {
	answer, _ := bufio.NewReader(r).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes", "s", "si", "sí":
		return true
	}
	return false
}

func sumOf(s streams.Selection, totals []streams.Tally) int64 {
	n := int64(len(s.IDs))
	for _, t := range totals {
		n += int64(t.Count)
	}
	return n
}

type deadReplayCmd struct {
	deadChoice `embed:""`
}

// Help is shown below the flags.
func (*deadReplayCmd) Help() string {
	return "What was wrong has to be put right first, as the roles of JWT_ROLES or the code of a node: an event that dies again is a new dead letter. " +
		"Each is replayed once, also by a repeated or concurrent run."
}

// Run replays. What cannot be replayed is a failure.
func (r *deadReplayCmd) Run(ctx context.Context, a *app) error {
	return onDead(a, func(letters *streams.DeadLetters) error {
		chosen, totals, err := r.choose(ctx, letters)
		if err != nil {
			return err
		}
		if ok, err := r.agreed(a, deadVerb{"replay", admin.DeadReplayed{}}, chosen, totals); !ok || err != nil {
			return err
		}
		bar := newCount(a.stderr, "replaying", sumOf(chosen, totals), isTerminal(a.stderr))
		sum, err := letters.Replay(ctx, chosen, func(so streams.Replayed) { bar.set(int64(so.Done())) })
		bar.finish()
		if told := r.tell(a, sum); err == nil {
			err = told
		}
		if err == nil && sum.Refused > 0 {
			err = errReported
		}
		return err
	})
}

func (r *deadReplayCmd) tell(a *app, sum streams.Replayed) error {
	if r.JSON {
		return json.NewEncoder(a.stdout).Encode(replayedOf(sum))
	}
	for _, k := range sum.Kept {
		a.say(fmt.Sprintf("%s was not replayed: %s", k.ID, k.Why))
	}
	if more := sum.Refused + sum.Relayed - len(sum.Kept); more > 0 {
		a.say(fmt.Sprintf("and %d more were not", more))
	}
	text := fmt.Sprintf("replayed %d dead letters", sum.Replayed)
	if sum.Gone > 0 {
		text += fmt.Sprintf("; %d were none any more", sum.Gone)
	}
	if kept := sum.Refused + sum.Relayed; kept > 0 {
		text += fmt.Sprintf("; %d stay", kept)
	}
	return tell(a, "%s", text)
}

type deadDropCmd struct {
	deadChoice `embed:""`
}

// Run drops.
func (d *deadDropCmd) Run(ctx context.Context, a *app) error {
	return onDead(a, func(letters *streams.DeadLetters) error {
		chosen, totals, err := d.choose(ctx, letters)
		if err != nil {
			return err
		}
		if ok, err := d.agreed(a, deadVerb{"drop", admin.DeadDropped{}}, chosen, totals); !ok || err != nil {
			return err
		}
		bar := newCount(a.stderr, "dropping", sumOf(chosen, totals), isTerminal(a.stderr))
		sum, err := letters.Drop(ctx, chosen, func(so streams.Dropped) { bar.set(int64(so.Dropped + so.Gone)) })
		bar.finish()
		if told := d.tell(a, sum); err == nil {
			err = told
		}
		return err
	})
}

func (d *deadDropCmd) tell(a *app, sum streams.Dropped) error {
	if d.JSON {
		return json.NewEncoder(a.stdout).Encode(admin.DeadDropped(sum))
	}
	if sum.Gone > 0 {
		return tell(a, "dropped %d dead letters; %d were none any more", sum.Dropped, sum.Gone)
	}
	return tell(a, "dropped %d dead letters", sum.Dropped)
}
