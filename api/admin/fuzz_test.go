package admin

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// FuzzBodies: whatever the body, the answer is a described one, something is done if and only if it is a success, and
// what is done has valid ids and values.
func FuzzBodies(f *testing.F) {
	routes := []struct{ method, path string }{
		{http.MethodPost, "/admin/events"},
		{http.MethodPost, "/admin/revocations"},
		{http.MethodPut, grantPath},
		{http.MethodPost, "/admin/drain"},
		{http.MethodPost, "/admin/dead/replay"},
	}
	for _, body := range []string{
		`{"event":"oferta_submitted","event_id":"oferta-77-submitted","data":{"solicitud_id":"S-1042","advisor_id":"A-9","price":120000}}`,
		`{"event":"notificacion_x","data":{"n":12345678901234567890},"rooms":["admin"],"occurred_at":"2026-01-02T03:04:05Z"}`,
		`{"event":"oferta_x","data":{},"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}`,
		`{"jti":"7f3a","exp":1767323045}`, `{"user":"C-3","before":"2026-01-02T03:04:05Z"}`, `{"user":"C-3"}`,
		`{"ids":["1-1"]}`, `{"reason":"no_route","since":5,"until":"2026-01-02T03:04:05Z","after":"1-1","limit":7}`, `{"all":true}`,
		`{"ttl_seconds":3600}`, `{}`, ``, ` `, `null`, `[]`, `{"user":"u"}x`, `{"uſer":"u"}`, `{"user":"\ud800"}`,
	} {
		for i := range routes {
			f.Add(uint8(i), []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		route := routes[int(which)%len(routes)]
		b := newBench(t)
		w := b.do(route.method, route.path, string(body), "Content-Type", "application/json")
		calls := b.called()
		if w.Code >= 300 {
			require.Contains(t, []int{400, 413, 422}, w.Code, "%q", body)
			require.Empty(t, calls)
			return
		}
		require.Len(t, calls, 1)
		require.True(t, utf8.ValidString(calls[0]))
		if route.path == "/admin/events" {
			checkEvent(t, b.event, body)
		}
	})
}

// checkEvent holds what was published against what encoding/json reads in the body.
func checkEvent(t *testing.T, event map[string]string, body []byte) {
	var sent map[string]any
	require.NoError(t, json.Unmarshal(body, &sent))
	require.Len(t, event, len(sent))
	for name, value := range event {
		switch name {
		case "data", "rooms":
			var decoded any
			require.NoError(t, json.Unmarshal([]byte(value), &decoded))
			require.Equal(t, sent[name], decoded)
		case "occurred_at":
			_, err := time.Parse(time.RFC3339, value)
			require.NoError(t, err)
			require.Equal(t, sent[name], value)
		default:
			require.Equal(t, sent[name], value)
		}
	}
	require.True(t, strings.HasPrefix(event["data"], "{"))
}

// FuzzPaths: whatever the path, nobody is redirected, and an id reaches an action as it was sent.
func FuzzPaths(f *testing.F) {
	for _, id := range []string{"C-3", "a/b", "..", ".", "", "/", "/a", "a/", "{user}", "ñ", "\x00", "%2F", "a b", "*", "?", "#", ";", "//", strings.Repeat("x", 129)} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		b := newBench(t)
		r := httptest.NewRequest(http.MethodPost, "/admin/users/"+escape(id)+"/disconnect", nil)
		r.Header.Set("X-Api-Key", goodKey)
		w := httptest.NewRecorder()
		b.handler().ServeHTTP(w, r)
		checkAnswer(t, r, w)
		switch {
		case id == "", id == "/":
			require.Equal(t, http.StatusNotFound, w.Code)
		case !validID(id):
			require.Equal(t, http.StatusUnprocessableEntity, w.Code)
		default:
			require.Equal(t, http.StatusOK, w.Code)
			require.Equal(t, []string{"disconnect " + id}, b.called())
			return
		}
		require.Empty(t, b.called())
	})
}

// escape percent-encodes every byte.
func escape(id string) string {
	var b strings.Builder
	for i := range len(id) {
		const hex = "0123456789ABCDEF"
		b.Write([]byte{'%', hex[id[i]>>4], hex[id[i]&15]})
	}
	return b.String()
}
