package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const grantPath = "/admin/solicitudes/S-1/grants/C-3"

func TestPublish(t *testing.T) {
	b := newBench(t)
	w := b.do(http.MethodPost, "/admin/events", ` {"event":"notificacion_x","data":{"n":12345678901234567890, "b":1,"a":"ñ<"},
		"rooms":["admin","user_ñ"],"event_id":"e-1","occurred_at":"2026-01-02T03:04:05.678-05:00",
		"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"} `, "Content-Type", "application/json; charset=utf-8")
	require.Equal(t, http.StatusAccepted, w.Code, w.Body)
	require.JSONEq(t, `{"id":"1-1"}`, w.Body.String())
	require.Equal(t, map[string]string{
		"event": "notificacion_x", "data": `{"n":12345678901234567890, "b":1,"a":"ñ<"}`, "rooms": `["admin","user_ñ"]`, "event_id": "e-1",
		"occurred_at": "2026-01-02T03:04:05.678-05:00", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}, b.event, "the data as it stands")
	require.Contains(t, b.logs.String(), `level=INFO msg="admin action" component=admin action=publish target=notificacion_x address=192.0.2.1 id=1-1`)

	w = b.do(http.MethodPost, "/admin/events", `{"event":"oferta_x","data":{}}`)
	require.Equal(t, http.StatusAccepted, w.Code, w.Body)
	require.Equal(t, map[string]string{"event": "oferta_x", "data": "{}"}, b.event, "and no fields of nothing")
}

func TestActions(t *testing.T) {
	before := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tc := range []struct {
		method, path, body string
		status             int
		call, answer, log  string
	}{
		{"POST", "/admin/users/C-3/disconnect", "", 200, "disconnect C-3", `{"user":"C-3","disconnected":2}`, "action=disconnect target=user:C-3 address=192.0.2.1 sockets=2"},
		{"POST", "/admin/users/a%2Fb%20%C3%B1/disconnect", "", 200, "disconnect a/b ñ", `{"user":"a/b ñ","disconnected":2}`, `target="user:a/b ñ"`},
		{"POST", "/admin/users/%2E%2E/disconnect", " \n", 200, "disconnect ..", `{"user":"..","disconnected":2}`, "target=user:.."},
		{"POST", "/admin/users/%7Buser%7D/disconnect", "", 200, "disconnect {user}", `{"user":"{user}","disconnected":2}`, "target=user:{user}"},
		{"POST", "/admin/revocations", `{"jti":"7f3a"}`, 204, "revoke token 7f3a", "", "action=revoke target=jti:7f3a"},
		{"POST", "/admin/revocations", `{"jti":"7f3a","exp":1767323045}`, 204, fmt.Sprint("revoke token 7f3a ", before.Unix()), "", ""},
		{"POST", "/admin/revocations", `{"exp":"2026-01-02T03:04:05Z","jti":"7f3a"}`, 204, fmt.Sprint("revoke token 7f3a ", before.Unix()), "", ""},
		{"POST", "/admin/revocations", `{"jti":"7f3a","exp":0}`, 204, "revoke token 7f3a 0", "", ""},
		{"POST", "/admin/revocations", `{"user":"C-3"}`, 204, "revoke user C-3", "", "action=revoke target=user:C-3"},
		{"POST", "/admin/revocations", `{"user":"C-3","before":"2026-01-01T22:04:05-05:00"}`, 204, fmt.Sprint("revoke user C-3 ", before.Unix()), "", ""},
		{"POST", "/admin/revocations", `{"user":"C-3","before":0}`, 204, "revoke user C-3 0", "", ""},
		{"POST", "/admin/revocations", `{"user":"C-3","before":253402300799}`, 204, "revoke user C-3 253402300799", "", ""},
		{"POST", "/admin/revocations", `{"user":"x","user":"C-3"}`, 204, "revoke user C-3", "", ""},
		{"PUT", grantPath, "", 204, "grant S-1 C-3 0s", "", "action=grant target=user:C-3 address=192.0.2.1 solicitud=S-1"},
		{"PUT", grantPath, "{}", 204, "grant S-1 C-3 0s", "", ""},
		{"PUT", grantPath, `{"ttl_seconds":60}`, 204, "grant S-1 C-3 1m0s", "", ""},
		{"PUT", grantPath, `{"ttl_seconds":31622400}`, 204, "grant S-1 C-3 8784h0m0s", "", ""},
		{"DELETE", grantPath, "", 204, "withdraw S-1 C-3", "", "action=withdraw target=user:C-3 address=192.0.2.1 solicitud=S-1"},
		{"POST", "/admin/drain", "", 202, "drain", `{"node":"gateway-1"}`, "action=drain target=node:gateway-1"},
	} {
		t.Run(tc.method+" "+tc.path+" "+tc.body, func(t *testing.T) {
			b := newBench(t)
			w := b.do(tc.method, tc.path, tc.body)
			require.Equal(t, tc.status, w.Code, w.Body)
			require.Equal(t, []string{tc.call}, b.called())
			if tc.answer == "" {
				require.Empty(t, w.Body.String())
			} else {
				require.JSONEq(t, tc.answer, w.Body.String())
			}
			require.Contains(t, b.logs.String(), tc.log)
			require.Equal(t, 1, strings.Count(b.logs.String(), "\n"), "one line a change: %s", &b.logs)
			if tc.body != "" && tc.method != "POST" || strings.Contains(tc.path, "revocations") {
				require.NoError(t, loadSpec(t).valid(t, requestSchema(t, tc.method, tc.path), tc.body), "what is accepted is described")
			}
		})
	}
}

// requestSchema is the pointer to the schema of a request's body.
func requestSchema(t testing.TB, method, path string) string {
	t.Helper()
	s := loadSpec(t)
	schema, pointer := s.at(t, "paths", s.described(path), strings.ToLower(method), "requestBody", "content", "application/json", "schema")
	require.NotNil(t, schema)
	return pointer
}

func TestSockets(t *testing.T) {
	b := newBench(t)
	w := b.do(http.MethodGet, "/admin/users/C-3/sockets", "")
	require.Equal(t, http.StatusOK, w.Code)
	require.JSONEq(t, `{"user":"C-3","sockets":[]}`, w.Body.String())

	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b.sockets = []Socket{
		{ID: "c", Node: "n2", Role: "client", Transport: "websocket", Address: "203.0.113.9", ConnectedAt: at.Add(time.Second), TokenExpires: at.Add(time.Hour), Rooms: []string{"user_C-3"}},
		{ID: "b", Node: "n1", ConnectedAt: at},
		{ID: "a", Node: "n1", ConnectedAt: at},
	}
	given := b.sockets[0]
	w = b.do(http.MethodGet, "/admin/users/C-3/sockets", "")
	require.JSONEq(t, `{"user":"C-3","sockets":[
		{"id":"a","node":"n1","connected_at":"2026-01-02T03:04:05Z"},
		{"id":"b","node":"n1","connected_at":"2026-01-02T03:04:05Z"},
		{"id":"c","node":"n2","role":"client","transport":"websocket","address":"203.0.113.9","connected_at":"2026-01-02T03:04:06Z",
		 "token_expires":"2026-01-02T04:04:05Z","rooms":["user_C-3"]}]}`, w.Body.String())
	require.Equal(t, given, b.sockets[0], "what was given is not sorted in place")
	require.Equal(t, http.StatusOK, b.do(http.MethodHead, "/admin/users/C-3/sockets", "").Code)
	require.Empty(t, b.logs.String(), "reading changes nothing")
}

func TestRequestsRefused(t *testing.T) {
	long := strings.Repeat("x", 129)
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
		code, detail             string
	}{
		{"no body", "POST", "/admin/events", "", 415, "unsupported_media_type", "application/json"},
		{"empty revocation", "POST", "/admin/revocations", "{}", 422, "invalid", "either jti or user"},
		{"half an object", "POST", "/admin/revocations", `{"user":"u"`, 400, "malformed", "not a JSON object"},
		{"an array", "POST", "/admin/revocations", `[{"user":"u"}]`, 400, "malformed", ""},
		{"a string", "POST", "/admin/revocations", `"u"`, 400, "malformed", ""},
		{"null", "POST", "/admin/revocations", "null", 400, "malformed", ""},
		{"what follows", "POST", "/admin/revocations", `{"user":"u"}{"user":"v"}`, 400, "malformed", ""},
		{"a comment", "POST", "/admin/revocations", `{"user":"u"}// all`, 400, "malformed", ""},
		{"not UTF-8", "POST", "/admin/revocations", "{\"user\":\"\xff\"}", 400, "malformed", ""},
		{"deep", "POST", "/admin/events", `{"event":"oferta_x","data":` + strings.Repeat(`{"a":`, 11_000) + "1" + strings.Repeat("}", 11_000) + "}", 400, "malformed", ""},
		{"strange field", "POST", "/admin/revocations", `{"user":"u","force":true}`, 422, "invalid", `"force" is no field`},
		{"strange field at length", "POST", "/admin/revocations", `{"` + strings.Repeat("x", 100_000) + `":1}`, 422, "invalid", "xxx"},
		{"other case", "POST", "/admin/revocations", `{"User":"u"}`, 422, "invalid", `"User" is no field`},
		{"folded", "POST", "/admin/revocations", `{"uſer":"u"}`, 422, "invalid", "is no field"},
		{"prototype", "POST", "/admin/revocations", `{"user":"u","__proto__":{}}`, 422, "invalid", "is no field"},
		{"null field", "POST", "/admin/revocations", `{"user":null}`, 422, "invalid", "user is not of its type"},
		{"number for user", "POST", "/admin/revocations", `{"user":1}`, 422, "invalid", "user is not of its type"},
		{"both", "POST", "/admin/revocations", `{"user":"u","jti":"j"}`, 422, "invalid", "either jti or user"},
		{"before of a jti", "POST", "/admin/revocations", `{"jti":"j","before":1}`, 422, "invalid", "before of a user"},
		{"exp of a user", "POST", "/admin/revocations", `{"user":"u","exp":1}`, 422, "invalid", "exp is of a jti"},
		{"empty user", "POST", "/admin/revocations", `{"user":""}`, 422, "invalid", "1 to 128 bytes"},
		{"long jti", "POST", "/admin/revocations", `{"jti":"` + long + `"}`, 422, "invalid", "1 to 128 bytes"},
		{"control character", "POST", "/admin/revocations", `{"jti":"a\nb"}`, 422, "invalid", "control"},
		{"half a surrogate", "POST", "/admin/revocations", `{"jti":"\ud800"}`, 422, "invalid", "control"},
		{"milliseconds", "POST", "/admin/revocations", `{"jti":"j","exp":1767323045000}`, 422, "invalid", "exp is not"},
		{"before 1970", "POST", "/admin/revocations", `{"user":"u","before":-1}`, 422, "invalid", "before is not"},
		{"before 1970, in words", "POST", "/admin/revocations", `{"user":"u","before":"1969-12-31T23:59:59Z"}`, 422, "invalid", "before is not"},
		{"a fraction", "POST", "/admin/revocations", `{"user":"u","before":1.5}`, 422, "invalid", "before is not"},
		{"no time", "POST", "/admin/revocations", `{"user":"u","before":"yesterday"}`, 422, "invalid", "before is not"},
		{"true", "POST", "/admin/revocations", `{"user":"u","before":true}`, 422, "invalid", "before is not"},
		{"no event", "POST", "/admin/events", `{"data":{}}`, 422, "invalid", "event is not"},
		{"no data", "POST", "/admin/events", `{"event":"oferta_x"}`, 422, "invalid", "data is not an object"},
		{"data in a string", "POST", "/admin/events", `{"event":"oferta_x","data":"{}"}`, 422, "invalid", "data is not an object"},
		{"rooms no array", "POST", "/admin/events", `{"event":"oferta_x","data":{},"rooms":"admin"}`, 422, "invalid", "rooms is not"},
		{"empty event_id", "POST", "/admin/events", `{"event":"oferta_x","data":{},"event_id":""}`, 422, "invalid", "event_id"},
		{"occurred_at in seconds", "POST", "/admin/events", `{"event":"oferta_x","data":{},"occurred_at":1}`, 422, "invalid", "occurred_at"},
		{"traceparent", "POST", "/admin/events", `{"event":"oferta_x","data":{},"traceparent":"x"}`, 422, "invalid", "traceparent"},
		{"short ttl", "PUT", grantPath, `{"ttl_seconds":59}`, 422, "invalid", "want 60 to"},
		{"long ttl", "PUT", grantPath, `{"ttl_seconds":31622401}`, 422, "invalid", "want 60 to"},
		{"ttl of words", "PUT", grantPath, `{"ttl_seconds":"1h"}`, 422, "invalid", "ttl_seconds is not"},
		{"ttl of an array", "PUT", grantPath, `[]`, 400, "malformed", ""},
		{"long user", "PUT", "/admin/solicitudes/S/grants/" + long, "", 422, "invalid", "user in the path"},
		{"long solicitud", "DELETE", "/admin/solicitudes/" + long + "/grants/u", "", 422, "invalid", "solicitud in the path"},
		{"not UTF-8 in the path", "POST", "/admin/users/%FF/disconnect", "", 422, "invalid", "user in the path"},
		{"control character in the path", "GET", "/admin/users/%0A/sockets", "", 422, "invalid", "user in the path"},
		{"body of disconnect", "POST", "/admin/users/u/disconnect", "{}", 400, "malformed", "no body belongs here"},
		{"body of withdraw", "DELETE", grantPath, "{}", 400, "malformed", "no body"},
		{"body of drain", "POST", "/admin/drain", `{"node":"other"}`, 400, "malformed", "no body"},
		{"root", "GET", "/admin/", "", 404, "not_found", "no such path"},
		{"elsewhere", "GET", "/admin/nowhere", "", 404, "not_found", ""},
		{"not ours", "GET", "/health", "", 404, "not_found", ""},
		{"slash at the end", "POST", "/admin/drain/", "", 404, "not_found", ""},
		{"empty user in the path", "POST", "/admin/users//disconnect", "", 404, "not_found", ""},
		{"dots in the path", "POST", "/admin/users/../drain", "", 404, "not_found", ""},
		{"other case in the path", "POST", "/admin/Drain", "", 404, "not_found", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			w := b.do(tc.method, tc.path, tc.body)
			if tc.name == "no body" {
				w = b.do(tc.method, tc.path, "")
			}
			refused(t, w, tc.status, tc.code)
			var p problem
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
			require.Contains(t, p.Detail, tc.detail)
			require.Less(t, w.Body.Len(), 400, "what was sent is not sent back at length")
			require.Equal(t, problem{Type: "about:blank", Title: http.StatusText(tc.status), Status: tc.status, Code: tc.code, Detail: p.Detail}, p)
			require.Empty(t, b.called())
			require.Empty(t, b.logs.String())
		})
	}
}

func TestMediaTypeAndSize(t *testing.T) {
	b := newBench(t)
	b.cfg.MaxBody = 1024
	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/json;"[:11], "a/b; c"} {
		refused(t, b.do(http.MethodPost, "/admin/revocations", `{"user":"u"}`, "Content-Type", media), http.StatusUnsupportedMediaType, "unsupported_media_type")
	}
	fits := `{"user":"` + strings.Repeat("u", 1024-11) + `"}`
	refused(t, b.do(http.MethodPost, "/admin/revocations", fits), http.StatusUnprocessableEntity, "invalid")
	refused(t, b.do(http.MethodPost, "/admin/revocations", fits+" "), http.StatusRequestEntityTooLarge, "too_large")
	refused(t, b.do(http.MethodPost, "/admin/drain", fits+" "), http.StatusRequestEntityTooLarge, "too_large")
	refused(t, b.do(http.MethodPut, grantPath, fits+" "), http.StatusRequestEntityTooLarge, "too_large")
	require.Empty(t, b.called())
}

// TestAnUnfinishedBody: a client that goes away, or is too slow for the server's deadline, changes nothing.
func TestAnUnfinishedBody(t *testing.T) {
	b := newBench(t)
	r := httptest.NewRequest(http.MethodPost, "/admin/revocations", io.MultiReader(strings.NewReader(`{"user":"u"}`), broken{}))
	r.Header.Set("Authorization", "Bearer "+goodKey)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	b.handler().ServeHTTP(w, r)
	checkAnswer(t, r, w)
	refused(t, w, http.StatusBadRequest, "malformed")
	require.Empty(t, b.called())
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errSecret }

// everyChange is a request of each operation that calls something that can fail.
var everyChange = []struct{ method, path, body string }{
	{"POST", "/admin/events", `{"event":"oferta_x","data":{}}`},
	{"GET", "/admin/users/C-3/sockets", ""},
	{"GET", "/admin/trace/e1", ""},
	{"POST", "/admin/users/C-3/disconnect", ""},
	{"POST", "/admin/revocations", `{"jti":"j"}`},
	{"POST", "/admin/revocations", `{"user":"u"}`},
	{"POST", "/admin/revocations", `{"user":"u","before":1}`},
	{"PUT", grantPath, ""},
	{"DELETE", grantPath, ""},
}

func TestFailures(t *testing.T) {
	for _, tc := range []struct {
		name   string
		err    error
		status int
		code   string
		detail string
	}{
		{"unknown", errSecret, 500, "internal", "internal error"},
		{"unavailable", fmt.Errorf("%w: %w", ErrUnavailable, errSecret), 503, "unavailable", "temporarily unavailable, try again"},
		{"not replicated", fmt.Errorf("%w: %w", ErrNotReplicated, errSecret), 503, "not_replicated", ErrNotReplicated.Error()},
		{"network", &net.OpError{Op: "dial", Net: "tcp", Err: errSecret}, 503, "unavailable", "temporarily unavailable, try again"},
		{"closed", fmt.Errorf("%w: hunter2", io.EOF), 503, "unavailable", "temporarily unavailable, try again"},
		{"deadline", context.DeadlineExceeded, 503, "unavailable", "temporarily unavailable, try again"},
		{"invalid", fmt.Errorf("%w: no_route", ErrInvalid), 422, "invalid", "no_route"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, change := range everyChange {
				b := newBench(t)
				b.err = tc.err
				w := b.do(change.method, change.path, change.body)
				refused(t, w, tc.status, tc.code)
				require.Contains(t, w.Body.String(), `"detail":"`)
				require.Contains(t, w.Body.String(), tc.detail)
				require.Equal(t, map[bool]string{true: "1"}[tc.status == 503], w.Header().Get("Retry-After"))
				if change.method != http.MethodGet {
					require.Contains(t, b.logs.String(), `msg="admin action failed" component=admin action=`)
				}
				if tc.status == http.StatusInternalServerError {
					require.Contains(t, b.logs.String(), "hunter2", "the log says why")
				}
			}
		})
	}
}

func TestActionsEndInTime(t *testing.T) {
	b := newBench(t)
	b.cfg.Timeout = 10 * time.Millisecond
	b.waits = make(chan struct{})
	for _, change := range everyChange {
		refused(t, b.do(change.method, change.path, change.body), http.StatusServiceUnavailable, "unavailable")
	}
}

func TestAPanicCostsOneRequest(t *testing.T) {
	b := newBench(t)
	b.does = func() error { panic(errSecret) }
	refused(t, b.do(http.MethodPost, "/admin/drain", ""), http.StatusInternalServerError, "internal")
	require.Contains(t, b.logs.String(), "hunter2")
	b.does = func() error { panic(http.ErrAbortHandler) }
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { b.do(http.MethodPost, "/admin/drain", "") })
	b.does = nil
	require.Equal(t, http.StatusAccepted, b.do(http.MethodPost, "/admin/drain", "").Code)
}

func TestAnAnswerThatCannotBeEncoded(t *testing.T) {
	b := newBench(t)
	b.sockets = []Socket{{ID: "a", ConnectedAt: time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)}}
	refused(t, b.do(http.MethodGet, "/admin/users/C-3/sockets", ""), http.StatusInternalServerError, "internal")
}

// TestOverTheNetwork: behind net/http, HEAD has no body and nothing is redirected.
func TestOverTheNetwork(t *testing.T) {
	b := newBench(t)
	b.deps.Log = slog.New(slog.NewTextHandler(&bytes.Buffer{}, nil))
	server := httptest.NewServer(b.handler())
	defer server.Close()
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("redirected") },
	}
	for path, want := range map[string]int{
		"/admin/openapi.yaml": 200, "/admin/users/%2E%2E/sockets": 200, "/admin/users/../sockets": 404, "//admin/openapi.yaml": 404,
		"/admin/users/a%2F..%2Fb/sockets": 200, "/admin/./openapi.yaml": 404,
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
			require.NoError(t, err)
			r.Header.Set("X-Api-Key", goodKey)
			answer, err := client.Do(r)
			require.NoError(t, err)
			body, err := io.ReadAll(answer.Body)
			require.NoError(t, err)
			require.NoError(t, answer.Body.Close())
			require.Equal(t, want, answer.StatusCode, path)
			require.Equal(t, method == http.MethodHead, len(body) == 0)
		}
	}
	require.ElementsMatch(t, []string{"sockets ..", "sockets ..", "sockets a/../b", "sockets a/../b"}, b.called())
}

func TestPeerWithoutAnAddress(t *testing.T) {
	require.False(t, peer(&http.Request{RemoteAddr: "@"}).IsValid())
	require.Equal(t, "192.0.2.1", peer(&http.Request{RemoteAddr: "192.0.2.1:80"}).String())
}

func TestALogIsNotNeeded(t *testing.T) {
	b := newBench(t)
	b.deps.Log = nil
	require.Equal(t, http.StatusAccepted, b.do(http.MethodPost, "/admin/drain", "").Code)
}
