package auth

import (
	"crypto"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A key that the issuer added is fetched when a token first names it, one it withdrew goes with that read, and further
// unknown ones cause no more reads until the interval is over.
func TestJWKSUnknownKeyRefreshesOnceInAWhile(t *testing.T) {
	i, url := newIssuer(t)
	i.serve(map[string]crypto.Signer{"a": rsaKey(), "b": rsaOther()})
	cfg := jwksConfig(url, "RS256", "ES256")
	cfg.JWKSMinInterval = time.Hour
	v := newVerifier(t, cfg)
	verify := func(alg, kid string, key crypto.Signer) error {
		_, err := v.Verify(t.Context(), tokenOf(t, alg, kid, key))
		return err
	}
	require.NoError(t, verify("RS256", "a", rsaKey()))
	require.NoError(t, verify("RS256", "b", rsaOther()))

	i.serve(map[string]crypto.Signer{"b": rsaOther(), "c": ec256()})
	require.NoError(t, verify("RS256", "a", rsaKey()), "withdrawn and not read again yet")
	require.NoError(t, verify("ES256", "c", ec256()))
	require.EqualValues(t, 2, i.reads.Load())
	require.ErrorIs(t, verify("RS256", "a", rsaKey()), ErrTokenInvalid)
	require.NoError(t, verify("RS256", "b", rsaOther()))
	for range 20 {
		require.ErrorIs(t, verify("RS256", "d", rsaKey()), errThrottled)
	}
	require.EqualValues(t, 2, i.reads.Load())

	// A withdrawn key does not verify tokens that name no key either.
	require.ErrorIs(t, verify("RS256", "", rsaKey()), ErrTokenInvalid)
}

// Whatever is no key set takes no key away, even if its status is 200: gateways before an issuer answer so.
func TestJWKSOutageKeepsTheKeys(t *testing.T) {
	i, url := newIssuer(t)
	for name, c := range map[string]struct {
		code int
		body string
	}{
		"error":          {http.StatusBadGateway, `{"keys":[]}`},
		"nothing":        {http.StatusOK, ``},
		"a page":         {http.StatusOK, `<html>`},
		"no set":         {http.StatusOK, `{}`},
		"another object": {http.StatusOK, `{"error":"maintenance"}`},
		"null":           {http.StatusOK, `null`},
		"null keys":      {http.StatusOK, `{"keys":null}`},
		"keys elsewhere": {http.StatusOK, `{"keys":{}}`},
		"cut":            {http.StatusOK, `{"keys":[`},
		"no content":     {http.StatusNoContent, ``},
	} {
		t.Run(name, func(t *testing.T) {
			i.serve(map[string]crypto.Signer{"a": rsaKey()})
			v := newVerifier(t, jwksConfig(url, "RS256"))
			i.answer(c.code, []byte(c.body))
			require.Error(t, v.jwks.refresh(t.Context(), false))
			_, err := v.Verify(t.Context(), tokenOf(t, "RS256", "b", rsaOther()))
			require.ErrorIs(t, err, ErrTokenInvalid)
			_, err = v.Verify(t.Context(), tokenOf(t, "RS256", "a", rsaKey()))
			require.NoError(t, err)
			require.True(t, v.Ready())
		})
	}
}
