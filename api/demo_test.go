package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func demoBench() *bench {
	b := newBench()
	b.cfg.Dev = true
	b.src.Demo = Demo{
		Token: func(role, user string, solicitudes []string) (string, error) {
			if role == "king" {
				return "", fmt.Errorf("%w: role %q is none of admin, advisor, client", ErrInvalid, role)
			}
			return role + "/" + user + "/" + strings.Join(solicitudes, ","), nil
		},
		Publish: func(_ context.Context, event json.RawMessage) (string, error) { return "1-0 " + string(event), nil },
	}
	return b
}

func post(h http.Handler, path, body string, headers ...string) (int, string) {
	w := do(h, http.MethodPost, path, body, append([]string{"Content-Type", "application/json"}, headers...)...)
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestDemoPageIsServedWithItsPolicy(t *testing.T) {
	h := demoBench().handler()
	for _, path := range []string{"/demo", "/demo/"} {
		w := get(h, path)
		require.Equal(t, http.StatusOK, w.Code)
		require.Contains(t, w.Body.String(), "<title>demo</title>")
		require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
		require.NotContains(t, w.Header().Get("Content-Security-Policy"), "unsafe")
		require.Contains(t, w.Header().Get("Content-Security-Policy"), "script-src 'self'")
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	}
}

func TestDemoAssets(t *testing.T) {
	h := demoBench().handler()
	w := get(h, "/demo/assets/main-abc.js")
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "export {}", w.Body.String())
	require.Contains(t, w.Header().Get("Content-Type"), "javascript")
	require.Contains(t, w.Header().Get("Cache-Control"), "immutable")
	require.Equal(t, "no-store", get(h, "/demo/assets/licenses.md").Header().Get("Cache-Control"))

	for _, path := range []string{
		"/demo/assets/none.js", "/demo/assets/", "/demo/assets/..%2findex.html", "/demo/assets/.", "/demo/assets/%2e%2e", "/demo/index.html",
	} {
		require.NotEqual(t, http.StatusOK, get(h, path).Code, path)
	}
}

type brokenFS struct{}

func (brokenFS) Open(string) (fs.File, error) { return nil, errSecret }

func TestDemoPageThatIsNotBuiltSaysHowTo(t *testing.T) {
	b := demoBench()
	b.dist = fstest.MapFS{".keep": {}}
	w := get(b.handler(), "/demo")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Equal(t, "the demo page is not built: run `make web`\n", w.Body.String())

	b.dist = brokenFS{}
	w = get(b.handler(), "/demo")
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.NotContains(t, w.Body.String(), "hunter2")
}

func TestDemoTokenForAVisitor(t *testing.T) {
	h := demoBench().handler()
	code, body := post(h, "/demo/token", `{"role":"client","user_id":"client-7","solicitudes":["s1","s2"]}`)
	require.Equal(t, http.StatusOK, code)
	require.JSONEq(t, `{"token":"client/client-7/s1,s2","role":"client","user_id":"client-7"}`, body)

	for _, bad := range []string{
		``, `null`, `[]`, `"x"`, `{`, `{"role":1}`, `{"role":"client"}`, `{"role":"client","user_id":"` + strings.Repeat("x", 129) + `"}`,
		`{"role":"client","user_id":"a\u0000b"}`, `{"role":"client","user_id":"u","solicitudes":[""]}`, "{\"role\":\"\xff\"}",
		`{"role":"client","user_id":"u","solicitudes":["` + strings.Repeat(`s","`, 100) + `s"]}`, `{"role":"a","user_id":"b"} {}`,
	} {
		code, body := post(h, "/demo/token", bad)
		require.Equal(t, http.StatusBadRequest, code, bad)
		require.Contains(t, body, `"code":"invalid"`)
	}
	code, body = post(h, "/demo/token", `{"role":"king","user_id":"u"}`)
	require.Equal(t, http.StatusBadRequest, code)
	require.JSONEq(t, `{"error":{"code":"invalid","message":"role \"king\" is none of admin, advisor, client"}}`, body)
}

func TestDemoPublishHandsTheEventOnByteForByte(t *testing.T) {
	b := demoBench()
	var got string
	b.src.Demo.Publish = func(ctx context.Context, event json.RawMessage) (string, error) {
		_, bounded := ctx.Deadline()
		require.True(t, bounded)
		got = string(event)
		return "1700-0", nil
	}
	code, body := post(b.handler(), "/demo/publish", ` {"event":"oferta_x","data":{"b":12345678901234567890,"a":"ñ"}} `)
	require.Equal(t, http.StatusOK, code)
	require.JSONEq(t, `{"id":"1700-0"}`, body)
	require.Equal(t, `{"event":"oferta_x","data":{"b":12345678901234567890,"a":"ñ"}}`, got) //nolint:testifylint // byte for byte is the point

	for err, want := range map[error]int{
		fmt.Errorf("%w: no_route", ErrInvalid): http.StatusBadRequest,
		errors.Join(ErrUnavailable, errSecret): http.StatusServiceUnavailable,
		context.DeadlineExceeded:               http.StatusServiceUnavailable,
		errSecret:                              http.StatusInternalServerError,
	} {
		b.src.Demo.Publish = func(context.Context, json.RawMessage) (string, error) { return "", err }
		code, body = post(b.handler(), "/demo/publish", `{}`)
		require.Equal(t, want, code)
		require.NotContains(t, body, "hunter2")
	}
}

func TestDemoPostsAreBounded(t *testing.T) {
	b := demoBench()
	b.cfg.MaxBody = 1024
	code, body := post(b.handler(), "/demo/publish", `{"data":"`+strings.Repeat("x", 2000)+`"}`)
	require.Equal(t, http.StatusRequestEntityTooLarge, code)
	require.Contains(t, body, "too_large")

	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; ="} {
		w := do(b.handler(), http.MethodPost, "/demo/publish", `{}`, "Content-Type", media)
		require.Equal(t, http.StatusUnsupportedMediaType, w.Code, media)
	}
	require.Equal(t, http.StatusMethodNotAllowed, get(b.handler(), "/demo/publish").Code)
}

func TestDemoPostsOfABrokenConnectionAreInvalid(t *testing.T) {
	r, err := http.NewRequest(http.MethodPost, "/demo/publish", brokenBody{})
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	_, err = readObject(r)
	require.ErrorIs(t, err, ErrInvalid)
	require.NotContains(t, err.Error(), "hunter2")
}

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, errSecret }

func TestDemoRefusesOtherSitesAndHosts(t *testing.T) {
	h := demoBench().handler()
	const token = `{"role":"client","user_id":"u"}`
	for _, good := range [][]string{
		{},
		{"Origin", "http://localhost:8003"},
		{"Origin", "http://localhost:8003", "Sec-Fetch-Site", "same-origin"},
		{"Host", "127.0.0.1:8003", "Origin", "http://127.0.0.1:8003"},
		{"Host", "[::1]:8003"},
		{"Host", "[::1]"},
		{"Host", "LOCALHOST"},
		{"Host", "demo.localhost:1"},
	} {
		code, body := post(h, "/demo/token", token, good...)
		require.Equal(t, http.StatusOK, code, "%v %s", good, body)
	}
	for _, bad := range [][]string{
		{"Origin", "https://evil.example"},
		{"Origin", "http://localhost:3000"},
		{"Origin", "null"},
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Host", "rebound.example:8003", "Origin", "http://rebound.example:8003"},
		{"Host", "192.168.1.5:8003"},
		{"Host", "localhost.evil.example"},
		{"Host", ""},
	} {
		code, body := post(h, "/demo/token", token, bad...)
		require.Equal(t, http.StatusForbidden, code, "%v", bad)
		require.JSONEq(t, `{"error":{"code":"forbidden","message":"request from another site or host"}}`, body)
	}
	require.Equal(t, http.StatusForbidden, get(h, "/demo", "Host", "rebound.example").Code)
}

func TestDemoWithoutFunctionsIsUnavailable(t *testing.T) {
	b := demoBench()
	b.src.Demo = Demo{}
	code, _ := post(b.handler(), "/demo/token", `{"role":"client","user_id":"u"}`)
	require.Equal(t, http.StatusServiceUnavailable, code)
	code, _ = post(b.handler(), "/demo/publish", `{}`)
	require.Equal(t, http.StatusServiceUnavailable, code)
}

func FuzzDemoToken(f *testing.F) {
	f.Add(`{"role":"client","user_id":"u","solicitudes":["s"]}`)
	f.Add(`{"role":null}`)
	b := demoBench()
	b.src.Demo.Token = func(role, user string, solicitudes []string) (string, error) {
		for _, id := range append([]string{role, user}, solicitudes...) {
			if id == "" || len(id) > 128 || !utf8.ValidString(id) {
				return "", errSecret
			}
		}
		return "t", nil
	}
	h := b.handler()
	f.Fuzz(func(t *testing.T, body string) {
		code, answer := post(h, "/demo/token", body)
		if (code != http.StatusOK && code != http.StatusBadRequest && code != http.StatusRequestEntityTooLarge) || !json.Valid([]byte(answer)) {
			t.Fatalf("%d %s", code, answer)
		}
	})
}
