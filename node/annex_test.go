package node

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// guestbook is what an annex under test was told.
type guestbook struct {
	entered, left chan *Guest
	seen          chan *http.Request
}

// newAnnexRig serves an annex to the rig's client; its key is "k".
func newAnnexRig(t *testing.T, most int) (*rig, *guestbook) {
	t.Helper()
	book := &guestbook{entered: make(chan *Guest, 10), left: make(chan *Guest, 10), seen: make(chan *http.Request, 100)}
	a, err := NewAnnex(AnnexConfig{Node: "node-a", MaxGuests: most}, AnnexDeps{
		Admit: func(r *http.Request, auth map[string]any) error {
			book.seen <- r
			if auth["key"] != "k" {
				return errors.New("unauthorized")
			}
			return nil
		},
		Entered: func(g *Guest) { book.entered <- g },
		Left:    func(g *Guest) { book.left <- g },
		Requests: map[string]func(context.Context, []any) any{
			"echo":  func(_ context.Context, args []any) any { return args },
			"panic": func(context.Context, []any) any { panic("a fault") },
		},
		Log: discard(),
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	srv := httptest.NewServer(a.Handler())
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
		srv.CloseClientConnections()
		srv.Close()
	})
	return &rig{t: t, url: srv.URL}, book
}

func received[T any](t *testing.T, from chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(deadline):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func TestAnnexServesItsGuests(t *testing.T) {
	r, book := newAnnexRig(t, 5)
	c := r.dial(`{"key":"k"}`, http.Header{"X-Forwarded-For": {"192.0.2.7"}})
	require.Regexp(t, `^0\{"sid":`, c.next())
	asked := received(t, book.seen)
	require.Equal(t, "192.0.2.7", asked.Header.Get("X-Forwarded-For"))
	require.NotEmpty(t, asked.RemoteAddr)

	guest := received(t, book.entered)
	guest.Emit("news", struct {
		N    int      `json:"n"`
		List []string `json:"list"`
	}{7, []string{"a"}})
	require.Equal(t, `2["news",{"n":7,"list":["a"]}]`, c.next())

	require.Equal(t, `[[{"id":"1-1"}]]`, c.event(`421["echo",{"id":"1-1"}]`, "31"))
	require.Equal(t, `[null]`, c.event(`422["panic"]`, "32"))
	c.send(`42["echo","without an ack"]`)
	require.Equal(t, `[["on"]]`, c.event(`423["echo","on"]`, "33"))

	c.close()
	require.Same(t, guest, received(t, book.left))
	guest.Emit("news", "to nobody")
}

func TestAnnexRefuses(t *testing.T) {
	r, book := newAnnexRig(t, 1)
	wrong := r.dial(`{"key":"x"}`, nil)
	require.Equal(t, `4{"data":{"code":"unauthorized"},"message":"unauthorized"}`, wrong.next())
	none := r.dial("", nil)
	require.Contains(t, none.next(), "unauthorized")
	// The refused may try again on the same connection.
	wrong.send(`40{"key":"k"}`)
	require.Regexp(t, `^0\{"sid":`, wrong.next())
	guest := received(t, book.entered)

	full := r.dial(`{"key":"k"}`, nil)
	require.Contains(t, full.next(), "server_full")
	wrong.close()
	require.Same(t, guest, received(t, book.left))
	require.Eventually(t, func() bool {
		full.send(`40{"key":"k"}`)
		return full.next()[0] == '0'
	}, deadline, 10*time.Millisecond)

	// A second socket on one connection ends it.
	full.send(`40{"key":"k"}`)
	for full.next() != "" {
	}
	received(t, book.left)

	res, err := http.DefaultClient.Do(foreignRequest(t, r.url))
	require.NoError(t, err)
	_ = res.Body.Close()
	require.Equal(t, http.StatusForbidden, res.StatusCode)
	http.DefaultClient.CloseIdleConnections()
}

func foreignRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/?EIO=4&transport=polling", nil)
	require.NoError(t, err)
	req.Header.Set("Origin", "https://evil.example")
	return req
}

func TestAnnexNamesItsFaults(t *testing.T) {
	deps := AnnexDeps{
		Admit: func(*http.Request, map[string]any) error { return nil }, Entered: func(*Guest) {}, Left: func(*Guest) {}, Log: discard(),
	}
	_, err := NewAnnex(AnnexConfig{Node: "n"}, deps)
	require.ErrorContains(t, err, "MaxGuests")
	_, err = NewAnnex(AnnexConfig{MaxGuests: 1}, deps)
	require.ErrorContains(t, err, "NodeName")
	deps.Admit = nil
	_, err = NewAnnex(AnnexConfig{Node: "n", MaxGuests: 1}, deps)
	require.Error(t, err)
}

func TestAskNeedsAnAdapterThatCan(t *testing.T) {
	r := newRig(t, nil)
	_, err := r.Ask(t.Context(), "q")
	require.Error(t, err)
	require.NoError(t, r.Answer("q", func() []byte { return nil }))
}
