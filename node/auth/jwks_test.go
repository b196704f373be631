package auth

import (
	"context"
	"crypto"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/stretchr/testify/require"
)

const patience = 20 * time.Second

// issuer serves a key set that tests change.
type issuer struct {
	t     testing.TB
	reads atomic.Int64
	mu    sync.Mutex
	body  []byte // under mu
	code  int    // under mu
	hold  chan struct{}
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.reads.Add(1)
	i.mu.Lock()
	body, code, hold := i.body, i.code, i.hold
	i.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}
	w.WriteHeader(code)
	_, _ = w.Write(body)
}

func (i *issuer) answer(code int, body []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.code, i.body = code, body
}

func (i *issuer) serve(keys map[string]crypto.Signer) { i.answer(http.StatusOK, setOf(i.t, keys)) }

func setOf(t testing.TB, keys map[string]crypto.Signer) []byte {
	t.Helper()
	var set jwkset.JWKSMarshal
	for kid, key := range keys {
		jwk, err := jwkset.NewJWKFromKey(key.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: kid}})
		require.NoError(t, err)
		set.Keys = append(set.Keys, jwk.Marshal())
	}
	return must(json.Marshal(set))
}

func newIssuer(t testing.TB) (*issuer, string) {
	t.Helper()
	i := &issuer{t: t, code: http.StatusOK}
	server := httptest.NewServer(i)
	t.Cleanup(server.Close)
	return i, server.URL
}

func jwksConfig(url string, algs ...string) Config {
	cfg := DefaultConfig()
	cfg.Algorithms, cfg.JWKSURL, cfg.JWKSMinInterval = algs, url, time.Millisecond
	return cfg
}

func tokenOf(t testing.TB, alg, kid string, key crypto.Signer) string {
	t.Helper()
	return mint(t, MintRequest{Algorithm: alg, Key: key, KeyID: kid, User: "u", Role: "client", TTL: time.Hour})
}

func TestJWKSAlgorithms(t *testing.T) {
	i, url := newIssuer(t)
	i.serve(map[string]crypto.Signer{"r": rsaKey(), "e": ec256(), "d": edKey()})
	v := newVerifier(t, jwksConfig(url, "RS256", "PS256", "ES256", "EdDSA"))
	require.True(t, v.Ready())
	for alg, kid := range map[string]string{"RS256": "r", "PS256": "r", "ES256": "e", "EdDSA": "d"} {
		for _, id := range []string{kid, ""} { // without a key id all keys are tried
			_, err := v.Verify(t.Context(), tokenOf(t, alg, id, keyFor(alg)))
			require.NoError(t, err, alg)
		}
	}
	_, err := v.Verify(t.Context(), tokenOf(t, "ES256", "r", ec256()))
	require.ErrorIs(t, err, ErrTokenInvalid, "a key of another family")
	_, err = v.Verify(t.Context(), tokenOf(t, "RS256", "r", rsaOther()))
	require.ErrorIs(t, err, ErrTokenInvalid, "another's key")
	require.EqualValues(t, 1, i.reads.Load())
}

func TestJWKSRotation(t *testing.T) {
	i, url := newIssuer(t)
	i.serve(map[string]crypto.Signer{"old": rsaKey()})
	v := newVerifier(t, jwksConfig(url, "RS256"))
	_, err := v.Verify(t.Context(), tokenOf(t, "RS256", "old", rsaKey()))
	require.NoError(t, err)

	i.serve(map[string]crypto.Signer{"new": rsaOther()})
	_, err = v.Verify(t.Context(), tokenOf(t, "RS256", "new", rsaOther()))
	require.NoError(t, err)
	_, err = v.Verify(t.Context(), tokenOf(t, "RS256", "old", rsaKey()))
	require.ErrorIs(t, err, ErrTokenInvalid)
}

func TestJWKSReadsAreLimitedAndShared(t *testing.T) {
	i, url := newIssuer(t)
	i.serve(map[string]crypto.Signer{"old": rsaKey()})
	cfg := jwksConfig(url, "RS256")
	cfg.JWKSMinInterval = time.Hour
	v := newVerifier(t, cfg)

	// A rotation meets many connections at once: one reads, all wait for it.
	hold := make(chan struct{})
	i.mu.Lock()
	i.hold = hold
	i.mu.Unlock()
	i.serve(map[string]crypto.Signer{"new": rsaOther()})
	token := tokenOf(t, "RS256", "new", rsaOther())
	var all sync.WaitGroup
	var accepted atomic.Int64
	for range 20 {
		all.Go(func() {
			if _, err := v.Verify(t.Context(), token); err == nil {
				accepted.Add(1)
			}
		})
	}
	require.Eventually(t, func() bool { return i.reads.Load() == 2 }, patience, time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := v.Verify(ctx, token)
	require.ErrorIs(t, err, context.Canceled, "a waiting connection may go away")
	close(hold)
	all.Wait()
	// A goroutine that had not asked yet when the read ended finds the key in place.
	require.EqualValues(t, 20, accepted.Load())

	for range 50 {
		_, err := v.Verify(t.Context(), tokenOf(t, "RS256", "nobody's", rsaKey()))
		require.ErrorIs(t, err, ErrTokenInvalid)
		require.ErrorIs(t, err, errThrottled)
	}
	require.EqualValues(t, 2, i.reads.Load())
}

func TestJWKSUnreachableAtStart(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := listener.Addr().String()
	require.NoError(t, listener.Close())

	var log logBuffer
	cfg := jwksConfig("http://user:hunter2@"+addr+"/keys", "RS256")
	cfg.JWKSMinInterval = time.Hour
	v, err := New(t.Context(), cfg, log.logger())
	require.NoError(t, err)
	require.False(t, v.Ready())
	token := tokenOf(t, "RS256", "k", rsaKey())
	_, err = v.Verify(t.Context(), token)
	require.ErrorIs(t, err, ErrTokenInvalid)
	require.Contains(t, log.String(), "reading the key set failed")
	require.NotContains(t, log.String(), "hunter2")

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	listener, err = net.Listen("tcp", addr)
	require.NoError(t, err)
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: &issuer{
		t: t, code: http.StatusOK, body: setOf(t, map[string]crypto.Signer{"k": rsaKey()}),
	}}}
	server.Start()
	defer server.Close()
	require.Eventually(t, v.Ready, patience, 5*time.Millisecond)
	_, err = v.Verify(t.Context(), token)
	require.NoError(t, err)
	cancel()
	require.NoError(t, <-done)
}

func TestJWKSRefreshes(t *testing.T) {
	i, url := newIssuer(t)
	i.serve(map[string]crypto.Signer{"old": rsaKey()})
	cfg := jwksConfig(url, "RS256")
	cfg.JWKSRefresh, cfg.JWKSMinInterval = 5*time.Millisecond, time.Hour
	v := newVerifier(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	accepts := func(kid string, key crypto.Signer) func() bool {
		token := tokenOf(t, "RS256", kid, key)
		return func() bool {
			_, err := v.Verify(t.Context(), token)
			return err == nil
		}
	}
	old := accepts("old", rsaKey())
	require.True(t, old())
	i.answer(http.StatusInternalServerError, nil)
	reads := i.reads.Load()
	require.Eventually(t, func() bool { return i.reads.Load() > reads+2 }, patience, time.Millisecond)
	require.True(t, old(), "the keys outlive the issuer's outage")
	i.serve(map[string]crypto.Signer{"new": rsaOther()})
	require.Eventually(t, accepts("new", rsaOther()), patience, time.Millisecond)
	require.False(t, old())
	i.answer(http.StatusOK, []byte(`{"keys":[]}`))
	require.Eventually(t, func() bool { return !accepts("new", rsaOther())() }, patience, time.Millisecond)
	cancel()
	require.NoError(t, <-done)
}

func TestJWKSUnusableAnswers(t *testing.T) {
	oct := `{"kty":"oct","kid":"s","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}`
	encryption := strings.Replace(string(setOf(t, map[string]crypto.Signer{"e": rsaKey()})), `"kty"`, `"use":"enc","kty"`, 1)
	many := `{"keys":[`
	one := must(json.Marshal(must(jwkset.NewJWKFromKey(edKey().Public(), jwkset.JWKOptions{})).Marshal()))
	many += strings.Repeat(string(one)+",", maxKeyNumber) + string(one) + `]}`
	for name, body := range map[string]string{
		"nothing":        ``,
		"a page":         `<html>`,
		"no keys":        `{}`,
		"a secret":       `{"keys":[` + oct + `]}`,
		"for encryption": encryption,
		"too many":       many,
		"endless":        `{"keys":[` + strings.Repeat(" ", 2*maxJWKSBytes) + `]}`,
		"damaged":        `{"keys":[{"kty":"RSA","n":"!","e":"AQAB"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			i, url := newIssuer(t)
			i.answer(http.StatusOK, []byte(body))
			v := newVerifier(t, jwksConfig(url, "RS256", "EdDSA"))
			require.False(t, v.Ready())
			for _, kid := range []string{"s", "e", ""} {
				_, err := v.Verify(t.Context(), tokenOf(t, "RS256", kid, rsaKey()))
				require.ErrorIs(t, err, ErrTokenInvalid)
			}
		})
	}
}

func TestJWKSHangs(t *testing.T) {
	i, url := newIssuer(t)
	hold := make(chan struct{})
	defer close(hold)
	i.hold = hold
	cfg := jwksConfig(url, "RS256")
	cfg.JWKSTimeout = 20 * time.Millisecond
	v := newVerifier(t, cfg)
	_, err := v.Verify(t.Context(), tokenOf(t, "RS256", "k", rsaKey()))
	require.ErrorIs(t, err, ErrTokenInvalid)
}

func TestJWKSRedirects(t *testing.T) {
	i, url := newIssuer(t)
	i.serve(map[string]crypto.Signer{"k": rsaKey()})
	to := httptest.NewServer(http.RedirectHandler(url, http.StatusFound))
	defer to.Close()
	require.True(t, newVerifier(t, jwksConfig(to.URL, "RS256")).Ready())

	var around *httptest.Server
	around = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, around.URL, http.StatusFound)
	}))
	defer around.Close()
	require.False(t, newVerifier(t, jwksConfig(around.URL, "RS256")).Ready())

	secure := must(http.NewRequestWithContext(t.Context(), http.MethodGet, "https://a/", nil))
	plain := must(http.NewRequestWithContext(t.Context(), http.MethodGet, "http://a/", nil))
	require.Error(t, newJWKSClient().CheckRedirect(plain, []*http.Request{secure}))
}
