package forward

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const markedURI = "/socket.io/?EIO=4&transport=polling&sid=x"

func markedRequest(method, uri string) *http.Request { return httptest.NewRequest(method, uri, nil) }

func TestMarksAreOfTheirRequest(t *testing.T) {
	m, err := newMarker([]byte("secret"), time.Minute)
	require.NoError(t, err)
	now := time.Now()
	for _, peer := range []string{"192.0.2.7:1234", "[2001:db8::1]:80", "[fe80::1%eth0]:9"} {
		mark := m.mark(http.MethodGet, markedURI, peer, now)
		got, err := m.check(markedRequest(http.MethodGet, markedURI), []string{mark}, now)
		require.NoError(t, err)
		require.Equal(t, peer, got.String())
		require.NotContains(t, mark, "secret")
	}
	good := m.mark(http.MethodGet, markedURI, "192.0.2.7:1234", now)
	other, err := newMarker([]byte("another"), time.Minute)
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		method, uri string
		marks       []string
	}{
		"another method":  {http.MethodPost, markedURI, []string{good}},
		"another session": {http.MethodGet, markedURI + "y", []string{good}},
		"another secret":  {http.MethodGet, markedURI, []string{other.mark(http.MethodGet, markedURI, "192.0.2.7:1234", now)}},
		"another address": {http.MethodGet, markedURI, []string{strings.Replace(good, "192.0.2.7", "192.0.2.8", 1)}},
		"no address":      {http.MethodGet, markedURI, []string{m.mark(http.MethodGet, markedURI, "@", now)}},
		"two":             {http.MethodGet, markedURI, []string{good, good}},
		"none":            {http.MethodGet, markedURI, nil},
		"empty":           {http.MethodGet, markedURI, []string{""}},
		"too long":        {http.MethodGet, markedURI, []string{strings.Repeat("9", 1<<10) + good}},
		"cut off":         {http.MethodGet, markedURI, []string{good[:len(good)-4]}},
	} {
		_, err := m.check(markedRequest(tc.method, tc.uri), tc.marks, now)
		require.ErrorIs(t, err, errForged, name)
	}
	for _, off := range []time.Duration{-time.Hour, 61 * time.Second} {
		_, err := m.check(markedRequest(http.MethodGet, markedURI), []string{good}, now.Add(off))
		require.ErrorIs(t, err, errStale)
	}
}

func FuzzMark(f *testing.F) {
	m, err := newMarker([]byte("secret"), 1<<62)
	require.NoError(f, err)
	now := time.UnixMilli(1_800_000_000_000) // the same in each of the fuzzer's processes
	good := m.mark(http.MethodGet, markedURI, "192.0.2.7:1234", now)
	for _, seed := range []string{good, "", ";", ";;", "1;;", good + ";", strings.ReplaceAll(good, ";", "\n")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, mark string) {
		_, err := m.check(markedRequest(http.MethodGet, markedURI), []string{mark}, now)
		if (err == nil) != (mark == good) {
			require.Fail(t, "believed or not", "%q: %v", mark, err)
		}
	})
}

func TestSessionOf(t *testing.T) {
	for query, want := range map[string]string{
		"": "", "sid": "", "sid=": "", "sid=a": "a", "EIO=4&sid=a&t=1": "a", "sid=a&sid=b": "a", "sid=&sid=b": "", "%73id=a": "a",
		"sid=a%62": "ab", "sid=a+b": "a b", "sid=a;b": "", "sid=a&x=%zz": "", "xsid=a": "",
	} {
		require.Equal(t, want, sessionOf(query), query)
	}
}
