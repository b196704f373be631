package admin

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var _ DeadLetters = (*gateway)(nil)

func (g *gateway) Letters(ctx context.Context, f DeadFilter) (DeadPage, error) {
	return DeadPage{Total: 3, Next: "1-1"}, g.call(ctx, "letters %v", f)
}

func (g *gateway) Letter(ctx context.Context, id string) (DeadLetter, error) {
	return DeadLetter{
		ID: id, At: time.UnixMilli(1), Reason: "no_route", Deliveries: 1, Size: 2, Whole: true, Fields: []DeadField{{"a", "\xff"}},
	}, g.call(ctx, "letter %s", id)
}

func (g *gateway) Replay(ctx context.Context, s DeadSelection) (DeadReplayed, error) {
	return DeadReplayed{Replayed: 2, Refused: 1, Kept: []DeadKept{{"5-5", "cut"}}}, g.call(ctx, "replay %v", s)
}

func (g *gateway) Drop(ctx context.Context, s DeadSelection) (DeadDropped, error) {
	return DeadDropped{Dropped: 2, Next: "5-5"}, g.call(ctx, "drop %v", s)
}

func TestDeadLettersAreListed(t *testing.T) {
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for query, want := range map[string]DeadFilter{
		"":                                    {Limit: 100},
		"?reason=no_route&event=oferta_x":     {Reason: "no_route", Event: "oferta_x", Limit: 100},
		"?since=2026-01-31T12:00:00Z&limit=7": {Since: at, Limit: 7},
		"?until=2026-01-31T12%3A00%3A00Z&after=5-5&order=newest": {Until: at, After: "5-5", Limit: 100, Newest: true},
		"?order=oldest": {Limit: 100},
	} {
		b := newBench(t)
		w := b.do(http.MethodGet, "/admin/dead"+query, "")
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		require.JSONEq(t, `{"letters":[],"next":"1-1","total":3}`, w.Body.String())
		g := &gateway{}
		_, _ = g.Letters(t.Context(), want)
		require.Equal(t, g.called(), b.called())
		require.Empty(t, b.logs.String(), "reading changes nothing")
	}
	b := newBench(t)
	for _, query := range []string{
		"limit=0", "limit=1001", "limit=x", "limit=", "since=yesterday", "until=5", "after=x", "after=1", "order=up", "reason=",
		"reason=" + strings.Repeat("x", 129), "event=%00", "colour=red", "limit=1&limit=2", "a=%zz", "a;b",
	} {
		refused(t, b.do(http.MethodGet, "/admin/dead?"+query, ""), http.StatusUnprocessableEntity, "invalid")
	}
	require.Empty(t, b.called())
}

func TestDeadLetterIsShown(t *testing.T) {
	b := newBench(t)
	w := b.do(http.MethodGet, "/admin/dead/5-5", "")
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Body.String(), `"fields":[{"name":"a","value":"\ufffd"}]`)
	for _, id := range []string{"x", "5", "5-", "5-5-5", url.PathEscape("5-5\n"), "replay", "drop"} {
		w := b.do(http.MethodGet, "/admin/dead/"+id, "")
		require.Contains(t, []int{http.StatusUnprocessableEntity, http.StatusMethodNotAllowed}, w.Code, id)
	}
	b.err = ErrNoLetter
	refused(t, b.do(http.MethodGet, "/admin/dead/5-5", ""), http.StatusNotFound, "not_found")
}

func TestDeadLettersAreReplayedAndDropped(t *testing.T) {
	at := time.Unix(1769860800, 0)
	for body, want := range map[string]DeadSelection{
		`{"ids":["5-5","6-6"]}`:                               {IDs: []string{"5-5", "6-6"}, Filter: DeadFilter{Limit: 1000}},
		`{"all":true}`:                                        {Filter: DeadFilter{Limit: 1000}},
		`{"all":true,"limit":3,"after":"5-5"}`:                {Filter: DeadFilter{Limit: 3, After: "5-5"}},
		`{"reason":"no_route","event":"oferta_x"}`:            {Filter: DeadFilter{Reason: "no_route", Event: "oferta_x", Limit: 1000}},
		`{"since":1769860800,"all":false,"until":1769860800}`: {Filter: DeadFilter{Since: at, Until: at, Limit: 1000}},
	} {
		b := newBench(t)
		w := b.do(http.MethodPost, "/admin/dead/replay", body)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		require.JSONEq(t, `{"replayed":2,"gone":0,"refused":1,"already_relayed":0,"kept":[{"id":"5-5","why":"cut"}]}`, w.Body.String())
		w = b.do(http.MethodPost, "/admin/dead/drop", body)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		require.JSONEq(t, `{"dropped":2,"gone":0,"next":"5-5"}`, w.Body.String())
		g := &gateway{}
		_, _ = g.Replay(t.Context(), want)
		_, _ = g.Drop(t.Context(), want)
		require.Equal(t, g.called(), b.called())
		require.Contains(t, b.logs.String(), "action=replay")
		require.Contains(t, b.logs.String(), "dropped=2")
	}
	b := newBench(t)
	for _, body := range []string{
		`{}`, `{"all":false}`, `{"limit":5}`, `{"after":"5-5"}`, `{"all":true,"reason":"x"}`, `{"ids":[]}`, `{"ids":["x"]}`,
		`{"ids":["5-5"],"all":true}`, `{"ids":["5-5"],"reason":"x"}`, `{"reason":""}`, `{"event":"\u0000"}`, `{"all":true,"limit":0}`,
		`{"all":true,"limit":1001}`, `{"all":true,"after":"x"}`, `{"ids":"5-5"}`, `{"since":"yesterday"}`, `{"all":true,"x":1}`,
		`{"ids":["5-5"` + strings.Repeat(`,"5-5"`, 1000) + `]}`,
	} {
		refused(t, b.do(http.MethodPost, "/admin/dead/replay", body), http.StatusUnprocessableEntity, "invalid")
		refused(t, b.do(http.MethodPost, "/admin/dead/drop", body), http.StatusUnprocessableEntity, "invalid")
	}
	require.Empty(t, b.called(), "nothing is done by mistake")
}
