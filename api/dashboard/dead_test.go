package dashboard

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakeDead holds one letter, "1-1".
type fakeDead struct {
	err    error
	letter Letter
	asked  []string
}

func (f *fakeDead) List(_ context.Context, reason, after string, limit int) ([]Letter, string, error) {
	f.asked = append(f.asked, "list "+reason+" "+after)
	return []Letter{{ID: "1-1"}}[:min(1, limit)], "1-1", f.err
}

func (f *fakeDead) Get(_ context.Context, id string) (Letter, error) {
	if id != "1-1" {
		return Letter{}, ErrNoLetter
	}
	return f.letter, f.err
}

func (f *fakeDead) Replay(_ context.Context, id string) error {
	f.asked = append(f.asked, "replay "+id)
	return f.err
}

func (f *fakeDead) Drop(_ context.Context, id string) error {
	f.asked = append(f.asked, "drop "+id)
	return f.err
}

func TestDeadLettersAreShownReplayedAndDropped(t *testing.T) {
	r := newRig()
	p := r.page(t)
	ask := func(event string, args ...any) reply {
		return p.Requests()[event](t.Context(), args).(reply)
	}
	got := ask("dead_list", map[string]any{"reason": "no_route", "after": "2-2"})
	require.Equal(t, reply{OK: true, Letters: []Letter{{ID: "1-1"}}, Next: "1-1"}, got)
	require.True(t, ask("dead_list").OK)

	r.dead.letter = Letter{ID: "1-1", Fields: []Field{
		{Name: "a", Value: "x"},
		{Name: "b", Value: strings.Repeat("y", 100<<10)},
		{Name: "c", Value: strings.Repeat("z", 60<<10)},
		{Name: "d", Value: strings.Repeat("z", 60<<10)},
		{Name: "e", Value: strings.Repeat("z", 60<<10)},
		{Name: "f", Value: strings.Repeat("z", 60<<10)},
	}}
	got = ask("dead_get", map[string]any{"id": "1-1"})
	require.True(t, got.OK)
	require.Equal(t, Field{Name: "a", Value: "x", Size: 1}, got.Letter.Fields[0])
	require.Len(t, got.Letter.Fields[1].Value, maxShown)
	require.Equal(t, 100<<10, got.Letter.Fields[1].Size)
	all := 0
	for _, f := range got.Letter.Fields {
		all += len(f.Value)
	}
	require.Equal(t, maxShownAll, all)
	require.Equal(t, "no_letter", ask("dead_get", map[string]any{"id": "9-9"}).Error)

	require.True(t, ask("dead_replay", map[string]any{"id": "1-1"}).OK)
	require.True(t, ask("dead_drop", map[string]any{"id": "1-1"}).OK)
	require.Equal(t, []string{"list no_route 2-2", "list  ", "replay 1-1", "drop 1-1"}, r.dead.asked)
	require.Equal(t, 1, strings.Count(r.logs.String(), "dead letter replayed"))
	require.Equal(t, 1, strings.Count(r.logs.String(), "dead letter dropped"))

	for err, code := range map[error]string{ErrRelayed: "relayed", ErrCut: "cut", ErrNoLetter: "no_letter", errSecret: "unavailable"} {
		r.dead.err = err
		for _, event := range []string{"dead_replay", "dead_drop", "dead_list"} {
			require.Equal(t, reply{Error: code, Letters: nil}, ask(event, map[string]any{"id": "1-1"}), event)
		}
	}
	for _, bad := range []map[string]any{{"id": 7}, {"id": strings.Repeat("9", 200)}, {"x": nil}} {
		require.Equal(t, "bad_request", ask("dead_get", bad).Error)
	}
	require.Contains(t, r.logs.String(), "hunter2", "the cause is in the log")
	p.deps.Dead = nil
	require.Equal(t, "unavailable", ask("dead_list").Error)
}
