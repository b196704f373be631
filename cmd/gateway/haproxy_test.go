package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var denials = regexp.MustCompile(`(?m)^ *(http-request deny .*)$`)

// The example's HAProxy keeps the inside's paths inside, also where a letter of them is percent-encoded, which a node decodes.
func TestTheProxysExampleHidesTheInside(t *testing.T) {
	example, err := os.ReadFile("../../deploy/haproxy/haproxy.cfg")
	require.NoError(t, err)
	found := denials.FindAllStringSubmatch(string(example), -1)
	require.Len(t, found, 1)

	mux := http.NewServeMux()
	for _, path := range []string{"/metrics", "/admin/", "/health/ready"} {
		mux.HandleFunc(path, func(http.ResponseWriter, *http.Request) {})
	}
	node := httptest.NewServer(mux)
	defer node.Close()
	addr := proxy(t, []string{strings.TrimPrefix(node.URL, "http://")}, "60s", found[0][1])
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for path, want := range map[string]int{
		"/health/ready": http.StatusOK, "/metrics": http.StatusForbidden, "/admin/drain": http.StatusForbidden,
		"/%6Detrics": http.StatusForbidden, "/%61dmin/drain": http.StatusForbidden, "/admin%2Fdrain": http.StatusForbidden,
		"//admin/drain": http.StatusTemporaryRedirect,
	} {
		res, err := client.Get("http://" + addr + path)
		require.NoError(t, err, path)
		require.NoError(t, res.Body.Close())
		require.Equal(t, want, res.StatusCode, path)
	}
}
