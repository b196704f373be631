package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// privatePEMs returns key in each form it is stored in.
func privatePEMs(t testing.TB, key crypto.Signer) [][]byte {
	t.Helper()
	encode := func(kind string, der []byte, err error) []byte {
		require.NoError(t, err)
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	out := [][]byte{encode("PRIVATE KEY", der, err)}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		out = append(out, encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k), nil))
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(k)
		params := encode("EC PARAMETERS", []byte{6, 0}, nil)
		out = append(out, append(params, encode("EC PRIVATE KEY", der, err)...))
	}
	return out
}

func TestPublicKeyFiles(t *testing.T) {
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	pkcs1 := pem.EncodeToMemory(&pem.Block{
		Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(rsaKey().Public().(*rsa.PublicKey)),
	})
	for name, c := range map[string]struct {
		content []byte
		algs    []string
		fault   string
	}{
		"a key":               {publicPEM(t, rsaKey()), []string{"RS256"}, ""},
		"PKCS#1":              {pkcs1, []string{"PS512"}, ""},
		"a certificate":       {certificatePEM(t, ec256()), []string{"ES256"}, ""},
		"several":             {publicPEM(t, rsaKey(), ec384(), edKey()), []string{"RS256", "ES384", "EdDSA"}, ""},
		"nothing":             {nil, []string{"RS256"}, "no PEM block"},
		"text":                {[]byte("ssh-rsa AAAA"), []string{"RS256"}, "no PEM block"},
		"a private key":       {privatePEMs(t, rsaKey())[0], []string{"RS256"}, "private key"},
		"another block":       {pem.EncodeToMemory(&pem.Block{Type: "X", Bytes: []byte("x")}), []string{"RS256"}, `"X"`},
		"damaged":             {pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}), []string{"RS256"}, "asn1"},
		"damaged certificate": {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), []string{"RS256"}, "x509"},
		"a small key":         {publicPEM(t, small), []string{"RS256"}, "no key for RS256"},
		"another curve":       {publicPEM(t, ec256()), []string{"ES384"}, "no key for ES384"},
		"one is missing":      {publicPEM(t, rsaKey()), []string{"RS256", "EdDSA"}, "no key for EdDSA"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := DefaultConfig()
			cfg.Algorithms, cfg.PublicKeyPath = c.algs, writeFile(t, c.content)
			if c.fault == "" {
				require.NoError(t, cfg.Validate())
				return
			}
			require.ErrorContains(t, cfg.Validate(), c.fault)
			_, err := New(t.Context(), cfg, quiet())
			require.Error(t, err)
		})
	}
	cfg := DefaultConfig()
	cfg.Algorithms, cfg.PublicKeyPath = []string{"RS256"}, filepath.Join(t.TempDir(), "none.pem")
	require.ErrorContains(t, cfg.Validate(), "none.pem")

	many := make([]crypto.Signer, maxKeyNumber+1)
	for i := range many {
		many[i] = edKey()
	}
	_, err := parsePublicKeys(publicPEM(t, many...))
	require.ErrorContains(t, err, "more than")
}

func TestConfigFaults(t *testing.T) {
	require.NoError(t, secretConfig().Validate())
	for name, c := range map[string]struct {
		change func(*Config)
		fault  string
	}{
		"no algorithm":             {func(c *Config) { c.Algorithms = nil }, "no algorithm"},
		"an unknown algorithm":     {func(c *Config) { c.Algorithms = []string{"none"} }, `"none"`},
		"twice":                    {func(c *Config) { c.Algorithms = []string{"HS256", "HS256"} }, "twice"},
		"no secret":                {func(c *Config) { c.Secret = nil }, "need a secret"},
		"no public key":            {func(c *Config) { c.Algorithms = []string{"RS256"} }, "need a public key"},
		"mixed with one source":    {func(c *Config) { c.Algorithms = []string{"HS256", "RS256"} }, "need a public key"},
		"mixed, the other":         {func(c *Config) { c.Algorithms, c.JWKSURL, c.Secret = []string{"HS256", "ES256"}, "https://i/k", nil }, "need a secret"},
		"two public sources":       {func(c *Config) { c.Algorithms, c.JWKSURL, c.PublicKeyPath = []string{"RS256"}, "https://i/k", "x" }, "one of the two"},
		"an address of no kind":    {func(c *Config) { c.Algorithms, c.JWKSURL = []string{"RS256"}, "ftp://i/k" }, "JWKS URL"},
		"no refresh":               {func(c *Config) { c.Algorithms, c.JWKSURL, c.JWKSRefresh = []string{"RS256"}, "https://i/k", 0 }, "JWKS refresh"},
		"leeway":                   {func(c *Config) { c.Leeway = time.Hour }, "leeway"},
		"negative leeway":          {func(c *Config) { c.Leeway = -1 }, "leeway"},
		"no roles":                 {func(c *Config) { c.Roles = nil }, "no roles"},
		"a role claim in capitals": {func(c *Config) { c.Roles = map[string]string{"Admin": "admin"} }, `"Admin"`},
		"a role that is a room":    {func(c *Config) { c.Roles = map[string]string{"x": "user_1 2"} }, `"user_1 2"`},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := secretConfig()
			c.change(&cfg)
			require.ErrorContains(t, cfg.Validate(), c.fault)
		})
	}
	both := Config{Leeway: -1}
	require.ErrorContains(t, both.Validate(), "no algorithm")
	require.ErrorContains(t, both.Validate(), "leeway")
	require.ErrorContains(t, both.Validate(), "no roles")
}

func TestMintFaults(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*MintRequest)
		fault  string
	}{
		"an unknown algorithm": {func(r *MintRequest) { r.Algorithm = "none" }, `"none"`},
		"no secret":            {func(r *MintRequest) { r.Secret = nil }, "secret"},
		"no key":               {func(r *MintRequest) { r.Algorithm = "RS256" }, "private key"},
		"a key of another":     {func(r *MintRequest) { r.Algorithm, r.Key = "ES256", ec384() }, "private key"},
		"no user":              {func(r *MintRequest) { r.User = "" }, "user"},
		"no role":              {func(r *MintRequest) { r.Role = "" }, "role"},
		"no time":              {func(r *MintRequest) { r.TTL = 0 }, "time to live"},
	} {
		r := secretRequest()
		c.change(&r)
		_, err := Mint(r)
		require.ErrorContains(t, err, c.fault, name)
	}
}

func TestMintedClaims(t *testing.T) {
	cfg := secretConfig()
	cfg.Issuer, cfg.Audience = "core", "gateway"
	r := secretRequest()
	r.Issuer, r.Audience, r.Solicitudes, r.KeyID = "core", "gateway", []string{"s1"}, "k"
	id, err := newVerifier(t, cfg).Verify(t.Context(), mint(t, r))
	require.NoError(t, err)
	require.Equal(t, []string{"s1"}, id.Solicitudes)
	require.NotEmpty(t, id.TokenID)
	require.WithinDuration(t, time.Now(), id.IssuedAt, time.Minute)
	require.WithinDuration(t, time.Now().Add(time.Hour), id.ExpiresAt, time.Minute)

	r.TokenID, r.Now = "j", time.Now().Add(-2*time.Hour)
	_, err = newVerifier(t, cfg).Verify(t.Context(), mint(t, r))
	require.ErrorIs(t, err, ErrTokenExpired)
	require.Equal(t, "token_expired", Code(err))
}
