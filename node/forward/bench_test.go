package forward

import (
	"encoding/base64"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/node/engine"
)

// BenchmarkOwn is what a request of this node's own session costs more than without a forwarder, and one with an id that
// somebody made up.
func BenchmarkOwn(b *testing.B) {
	cfg, own := DefaultConfig(), engine.DefaultConfig()
	cfg.Secret, own.NodeName = []byte("secret"), "a"
	log := slog.New(slog.DiscardHandler)
	e, err := engine.New(own, log)
	require.NoError(b, err)
	p := &place{engine: e, of: newCluster()}
	f, err := New(cfg, Deps{Next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), Sessions: p, Log: log})
	require.NoError(b, err)
	tag := engine.TagOf("a")
	for name, sid := range map[string]string{"own": base64.RawURLEncoding.EncodeToString(tag[:]) + strings.Repeat("A", 32), "forged": strings.Repeat("A", 40)} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, "/socket.io/?EIO=4&transport=polling&t=abcdef&sid="+sid, nil)
			b.ReportAllocs()
			for b.Loop() {
				f.ServeHTTP(nil, r)
			}
		})
	}
}

// BenchmarkPost is a POST to the session's node, and by way of another, the client's part included.
func BenchmarkPost(b *testing.B) {
	first, second := two(b, change{})
	sid, s := second.open()
	s.Trust()
	for name, to := range map[string]*place{"direct": second, "hop": first} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				res, err := http.Post(to.url(sid), "text/plain", strings.NewReader("4x"))
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		})
	}
}
