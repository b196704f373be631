package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/redis/go-redis/v9"

	"github.com/teloo/realtime-gateway/api/admin"
	"github.com/teloo/realtime-gateway/streams"
)

type deadCmd struct {
	List   deadListCmd   `cmd:"" help:"List dead letters, with totals by reason."`
	Show   deadShowCmd   `cmd:"" help:"Show one with all its fields."`
	Replay deadReplayCmd `cmd:"" help:"Write dead letters to the event stream again, the oldest first."`
	Drop   deadDropCmd   `cmd:"" help:"Remove dead letters for good."`
}

// deadFilter are the flags that choose dead letters.
type deadFilter struct {
	Reason string `help:"Only those that died for this reason."                                        placeholder:"WORD"`
	Event  string `help:"Only events of this name."                                                    placeholder:"NAME"`
	Since  string `help:"Only those that died then or later: 2026-01-31T12:00:00Z, or 2h for 2 h ago." placeholder:"TIME"`
	Until  string `help:"Only those that died before then."                                            placeholder:"TIME"`
}

func (f deadFilter) set() bool { return f != deadFilter{} }

func (f deadFilter) filter(now time.Time) (streams.Filter, error) {
	since, err := whenOf("--since", f.Since, now)
	if err != nil {
		return streams.Filter{}, err
	}
	until, err := whenOf("--until", f.Until, now)
	if err != nil {
		return streams.Filter{}, err
	}
	return streams.Filter{Reason: f.Reason, Event: f.Event, Since: since, Until: until}, nil
}

// whenOf reads a moment, or how long ago it was.
func whenOf(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %s is neither like 2026-01-31T12:00:00Z nor like 2h", flag, quote(text))
	}
	return at, nil
}

// onDead gives do the dead letters of the configured Redis. Each call of Redis has its own bound.
func onDead(a *app, do func(*streams.DeadLetters) error) error {
	c, err := a.config("REDIS_")
	if err != nil {
		return err
	}
	client := c.newRedis(false)
	defer func() { _ = client.Close() }()
	err = do(streams.NewDeadLetters(client, c.RedisPrefix))
	var refused redis.Error
	if err == nil || errors.Is(err, errReported) || errors.Is(err, streams.ErrNoLetter) || errors.Is(err, streams.ErrSelection) {
		return err
	}
	if errors.As(err, &refused) || !errors.Is(err, context.Canceled) {
		return fmt.Errorf("on %s: %w", c.redisPlace(), err)
	}
	return err
}

type deadListCmd struct {
	deadFilter `embed:""`

	After  string `help:"Go on after the letter with this id."                     placeholder:"ID"`
	Limit  int    `default:"50"                                                    help:"How many, at most 1000."`
	Oldest bool   `help:"The oldest first, as they are replayed; else the newest."`
	JSON   bool   `help:"Print JSON."`
}

// Run prints a page and the totals of all that the filter chooses.
func (l *deadListCmd) Run(ctx context.Context, a *app) error {
	f, err := l.filter(time.Now())
	if err != nil {
		return err
	}
	return onDead(a, func(letters *streams.DeadLetters) error {
		totals, err := letters.Count(ctx, f)
		if err != nil {
			return err
		}
		f.After, f.Limit, f.Newest = l.After, l.Limit, !l.Oldest
		page, next, err := letters.List(ctx, f)
		if err != nil {
			return err
		}
		if l.JSON {
			return writeDeadJSON(a, page, totals, next)
		}
		return writeDead(a, page, totals, next)
	})
}

func writeDeadJSON(a *app, page []streams.Letter, totals []streams.Tally, next string) error {
	type total struct {
		Reason string    `json:"reason"`
		Count  int       `json:"count"`
		Cut    int       `json:"cut"`
		Oldest time.Time `json:"oldest"`
		Newest time.Time `json:"newest"`
	}
	answer := struct {
		Letters []admin.DeadLetter `json:"letters"`
		Totals  []total            `json:"totals"`
		Next    string             `json:"next,omitempty"`
	}{[]admin.DeadLetter{}, []total{}, next}
	for _, l := range page {
		answer.Letters = append(answer.Letters, letterOf(l))
	}
	for _, t := range totals {
		answer.Totals = append(answer.Totals, total{t.Reason, t.Count, t.Cut, t.Oldest.UTC(), t.Newest.UTC()})
	}
	return json.NewEncoder(a.stdout).Encode(answer)
}

func writeDead(a *app, page []streams.Letter, totals []streams.Tally, next string) error {
	if len(totals) == 0 {
		return tell(a, "no dead letters")
	}
	var b strings.Builder
	if len(page) > 0 {
		b.WriteString("ID\tDIED\tREASON\tEVENT\tBYTES\tNODE\tDETAIL\n")
	}
	for _, l := range page {
		cells := []string{
			l.ID, timeCell(l.At), l.Reason, l.Event, strconv.Itoa(l.Size), l.Node, detailOf(l),
		}
		for i := range cells {
			cells[i] = cell(cells[i])
		}
		b.WriteString(strings.Join(cells, "\t") + "\n")
	}
	if err := align(a.stdout, b.String()); err != nil {
		return err
	}
	b.Reset()
	if len(page) > 0 {
		b.WriteString("\n")
	}
	b.WriteString(tableOf(totals))
	if err := align(a.stdout, b.String()); err != nil {
		return err
	}
	if next != "" {
		return tell(a, "\nmore: --after %s", next)
	}
	return nil
}

func tableOf(totals []streams.Tally) string {
	var b strings.Builder
	b.WriteString("REASON\tLETTERS\tOLDEST\tNEWEST\n")
	sum := 0
	for _, t := range totals {
		sum += t.Count
		fmt.Fprintf(&b, "%s\t%d\t%s\t%s\n", cell(t.Reason), t.Count, timeCell(t.Oldest), timeCell(t.Newest))
	}
	if len(totals) > 1 {
		fmt.Fprintf(&b, "in all\t%d\n", sum)
	}
	return b.String()
}

func detailOf(l streams.Letter) string {
	notes := make([]string, 0, 3)
	if l.Detail != "" {
		notes = append(notes, l.Detail)
	}
	if !l.Whole() {
		notes = append(notes, "cut: cannot be replayed")
	}
	if l.ReplayedFrom != "" {
		notes = append(notes, "replayed from "+l.ReplayedFrom)
	}
	return strings.Join(notes, "; ")
}

// oneLine keeps what others wrote on its line, and from steering the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// cell is a line that is not long and not empty, for a column.
func cell(s string) string {
	const most = 80
	s = oneLine(s)
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "…"
	}
	if s == "" {
		return "-"
	}
	return s
}

type deadShowCmd struct {
	ID   string `arg:""             help:"The letter's id."`
	JSON bool   `help:"Print JSON."`
}

// Run prints the letter, a field a line.
func (s *deadShowCmd) Run(ctx context.Context, a *app) error {
	return onDead(a, func(letters *streams.DeadLetters) error {
		l, err := letters.Get(ctx, s.ID)
		if err != nil {
			return err
		}
		if s.JSON {
			return json.NewEncoder(a.stdout).Encode(letterOf(l))
		}
		var b strings.Builder
		for _, line := range [][2]string{
			{"letter", l.ID},
			{"died", timeCell(l.At)},
			{"reason", l.Reason},
			{"detail", l.Detail},
			{"source id", l.SourceID},
			{"node", l.Node},
			{"deliveries", strconv.FormatInt(l.Deliveries, 10)},
			{"replayed from", l.ReplayedFrom},
		} {
			if line[1] != "" {
				fmt.Fprintf(&b, "%s\t%s\n", line[0], cell(line[1]))
			}
		}
		if !l.Whole() {
			fmt.Fprintf(&b, "kept\t%d bytes: it was cut when it died, and cannot be replayed\n", l.Size)
		}
		b.WriteString("\n")
		for _, f := range l.Fields {
			fmt.Fprintf(&b, "%s\t%s\n", cell(f.Name), printableText(f.Value))
		}
		return align(a.stdout, b.String())
	})
}

// printableText is a text in full, as a string of Go where it holds what would not show as itself.
func printableText(s string) string {
	if strings.ToValidUTF8(s, "") != s || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Sprintf("%q", s)
	}
	return s
}
