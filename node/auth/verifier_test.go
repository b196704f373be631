package auth

import (
	"context"
	"crypto"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

func TestEachAlgorithm(t *testing.T) {
	for _, alg := range algorithms() {
		t.Run(alg, func(t *testing.T) {
			cfg := DefaultConfig()
			cfg.Algorithms = []string{alg}
			r := secretRequest()
			r.Algorithm = alg
			if symmetric(familyOf(alg)) {
				cfg.Secret = testSecret
			} else {
				r.Key = keyFor(alg)
				cfg.PublicKeyPath = writeFile(t, publicPEM(t, r.Key))
			}
			id, err := newVerifier(t, cfg).Verify(t.Context(), mint(t, r))
			require.NoError(t, err)
			require.Equal(t, "42", id.User)
			require.Equal(t, "client", id.Role)

			token := mint(t, r)
			body := strings.LastIndexByte(token, '.')
			flipped := token[:body-1] + string(token[body-1]^1) + token[body:]
			_, err = newVerifier(t, cfg).Verify(t.Context(), flipped)
			require.ErrorIs(t, err, ErrTokenInvalid)
		})
	}
}

func TestOtherAlgorithmsAreRefused(t *testing.T) {
	for _, accepted := range algorithms() {
		cfg := DefaultConfig()
		cfg.Algorithms = []string{accepted}
		cfg.Secret = testSecret
		if asymmetric(familyOf(accepted)) {
			cfg.PublicKeyPath = writeFile(t, publicPEM(t, keyFor(accepted)))
		}
		v := newVerifier(t, cfg)
		for _, other := range algorithms() {
			r := secretRequest()
			r.Algorithm, r.Key = other, keyFor(other)
			_, err := v.Verify(t.Context(), mint(t, r))
			if other == accepted {
				require.NoError(t, err, other)
				continue
			}
			require.ErrorIs(t, err, ErrTokenInvalid, "%s to a verifier of %s", other, accepted)
			require.Equal(t, "token_invalid", Code(err))
		}
	}
}

func TestUnsignedTokensAreRefused(t *testing.T) {
	claims := fmt.Sprintf(`{"sub":"1","role":"admin","exp":%d}`, time.Now().Add(time.Hour).Unix())
	v := newVerifier(t, secretConfig())
	for _, alg := range []string{"none", "None", "NONE", "nOnE", ""} {
		head := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":%q}`, alg))
		body := base64.RawURLEncoding.EncodeToString([]byte(claims))
		for _, signature := range []string{"", "AA"} {
			_, err := v.Verify(t.Context(), head+"."+body+"."+signature)
			require.ErrorIs(t, err, ErrTokenInvalid)
		}
	}
}

// The attack: the verifier's public key is public, so a token "signed" by HMAC with its text proves nothing.
func TestPublicKeyIsNoSecret(t *testing.T) {
	public := publicPEM(t, rsaKey())
	claims := fmt.Sprintf(`{"sub":"1","role":"admin","exp":%d}`, time.Now().Add(time.Hour).Unix())
	forged := sign(t, jwt.SigningMethodHS256, public, nil, claims)
	for _, algs := range [][]string{{"RS256"}, {"RS256", "HS256"}} {
		cfg := secretConfig()
		cfg.Algorithms, cfg.PublicKeyPath = algs, writeFile(t, public)
		_, err := newVerifier(t, cfg).Verify(t.Context(), forged)
		require.ErrorIs(t, err, ErrTokenInvalid, algs)
	}
	cfg := secretConfig()
	cfg.Secret = public
	require.ErrorContains(t, cfg.Validate(), "PEM")
}

func TestFamiliesWithTheirOwnKeys(t *testing.T) {
	cfg := secretConfig()
	cfg.Algorithms = []string{"HS256", "RS256", "PS384", "ES256"}
	cfg.PublicKeyPath = writeFile(t, append(publicPEM(t, rsaOther(), ec256()), certificatePEM(t, rsaKey())...))
	v := newVerifier(t, cfg)
	for _, r := range []MintRequest{
		{Algorithm: "HS256", Secret: testSecret},
		{Algorithm: "RS256", Key: rsaKey()},
		{Algorithm: "RS256", Key: rsaOther()},
		{Algorithm: "PS384", Key: rsaKey()},
		{Algorithm: "ES256", Key: ec256()},
	} {
		r.User, r.Role, r.TTL = "u", "advisor", time.Minute
		_, err := v.Verify(t.Context(), mint(t, r))
		require.NoError(t, err, r.Algorithm)
	}
}

func TestRefusals(t *testing.T) {
	cfg := secretConfig()
	cfg.Issuer, cfg.Audience = "core", "gateway"
	v := newVerifier(t, cfg)
	now := time.Now()
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	base := `"sub":"7","role":"client","iss":"core","aud":["x","gateway"]`
	for name, c := range map[string]struct {
		claims string
		want   error
	}{
		"good":                      {fmt.Sprintf(`{%s,"exp":%d}`, base, at(time.Hour)), nil},
		"expired in leeway":         {fmt.Sprintf(`{%s,"exp":%d}`, base, at(-20*time.Second)), nil},
		"expired":                   {fmt.Sprintf(`{%s,"exp":%d}`, base, at(-time.Minute)), ErrTokenExpired},
		"expired and of another":    {fmt.Sprintf(`{"sub":"7","role":"client","iss":"x","aud":"gateway","exp":%d}`, at(-time.Minute)), ErrTokenInvalid},
		"no exp":                    {fmt.Sprintf(`{%s}`, base), ErrTokenInvalid},
		"null exp":                  {fmt.Sprintf(`{%s,"exp":null}`, base), ErrTokenInvalid},
		"exp a string":              {fmt.Sprintf(`{%s,"exp":"%d"}`, base, at(time.Hour)), ErrTokenInvalid},
		"exp beyond dates":          {fmt.Sprintf(`{%s,"exp":1e300}`, base), ErrTokenInvalid},
		"not yet":                   {fmt.Sprintf(`{%s,"exp":%d,"nbf":%d}`, base, at(time.Hour), at(time.Minute)), ErrTokenInvalid},
		"nbf in leeway":             {fmt.Sprintf(`{%s,"exp":%d,"nbf":%d}`, base, at(time.Hour), at(20*time.Second)), nil},
		"issued in the future":      {fmt.Sprintf(`{%s,"exp":%d,"iat":%d}`, base, at(time.Hour), at(time.Minute)), ErrTokenInvalid},
		"another issuer":            {fmt.Sprintf(`{"sub":"7","role":"client","iss":"x","aud":"gateway","exp":%d}`, at(time.Hour)), ErrTokenInvalid},
		"no issuer":                 {fmt.Sprintf(`{"sub":"7","role":"client","aud":"gateway","exp":%d}`, at(time.Hour)), ErrTokenInvalid},
		"another audience":          {fmt.Sprintf(`{"sub":"7","role":"client","iss":"core","aud":"x","exp":%d}`, at(time.Hour)), ErrTokenInvalid},
		"unknown role":              {fmt.Sprintf(`{%s,"role":"root","exp":%d}`, `"sub":"7","iss":"core","aud":"gateway"`, at(time.Hour)), ErrRoleUnknown},
		"no role":                   {fmt.Sprintf(`{"sub":"7","iss":"core","aud":"gateway","exp":%d}`, at(time.Hour)), ErrRoleUnknown},
		"role of another type":      {fmt.Sprintf(`{"sub":"7","iss":"core","aud":"gateway","role":["admin"],"exp":%d}`, at(time.Hour)), ErrTokenInvalid},
		"no user":                   {fmt.Sprintf(`{"role":"client","iss":"core","aud":"gateway","exp":%d}`, at(time.Hour)), ErrTokenInvalid},
		"claims null":               {`null`, ErrTokenInvalid},
		"claims a list":             {`[]`, ErrTokenInvalid},
		"names of another case":     {fmt.Sprintf(`{"SUB":"7","Role":"admin","iss":"core","aud":"gateway","exp":%d}`, at(time.Hour)), ErrTokenInvalid},
		"a role by another's claim": {fmt.Sprintf(`{%s,"ROLE":"admin","exp":%d}`, base, at(time.Hour)), nil},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := v.Verify(t.Context(), sign(t, jwt.SigningMethodHS256, testSecret, nil, c.claims))
			if c.want == nil {
				require.NoError(t, err)
				require.Equal(t, "client", id.Role)
				return
			}
			require.ErrorIs(t, err, c.want)
			require.Equal(t, Code(c.want), Code(err))
			require.Empty(t, id)
		})
	}
}

func TestMalformedTokens(t *testing.T) {
	v := newVerifier(t, secretConfig())
	_, err := v.Verify(t.Context(), "")
	require.ErrorIs(t, err, ErrTokenMissing)
	require.Equal(t, "token_missing", Code(err))

	good := mint(t, secretRequest())
	claims := fmt.Sprintf(`{"sub":"7","role":"client","exp":%d}`, time.Now().Add(time.Hour).Unix())
	for name, token := range map[string]string{
		"text":             "hello",
		"dots":             "..",
		"four parts":       good + ".x",
		"spaces":           " " + good,
		"too long":         strings.Repeat("a", maxToken+1),
		"padded":           good + "=",
		"critical header":  sign(t, jwt.SigningMethodHS256, testSecret, map[string]any{"crit": []string{"b64"}, "b64": false}, claims),
		"long key id":      sign(t, jwt.SigningMethodHS256, testSecret, map[string]any{"kid": strings.Repeat("k", maxKeyID+1)}, claims),
		"another's secret": mint(t, MintRequest{Algorithm: "HS256", Secret: []byte("x"), User: "1", Role: "admin", TTL: time.Hour}),
	} {
		_, err := v.Verify(t.Context(), token)
		require.ErrorIs(t, err, ErrTokenInvalid, name)
		require.NotContains(t, err.Error(), good)
	}
}

func TestUserAndOtherClaims(t *testing.T) {
	v := newVerifier(t, secretConfig())
	long := strings.Repeat("x", maxID)
	for claims, want := range map[string]string{
		`"sub":"a"`:                              "a",
		`"sub":42`:                               "42",
		`"sub":9223372036854775808123`:           "9223372036854775808123",
		`"user_id":7`:                            "7",
		`"user_id":"u","sub":null`:               "u",
		`"user_id":7,"sub":"7"`:                  "7",
		`"sub":"` + long + `"`:                   long,
		`"sub":"ñandú 🦤"`:                        "ñandú 🦤",
		`"user_id":7,"sub":"8"`:                  "",
		`"sub":""`:                               "",
		`"sub":"","user_id":"7"`:                 "",
		`"sub":"` + long + `x"`:                  "",
		`"sub":"a\u0000b"`:                       "",
		`"sub":"a\nb"`:                           "",
		`"sub":"\u0085"`:                         "",
		`"sub":"\ud800"`:                         "",
		"\"sub\":\"\xff\"":                       "",
		`"sub":1.5`:                              "",
		`"sub":1e3`:                              "",
		`"sub":true`:                             "",
		`"sub":{}`:                               "",
		`"sub":["a"]`:                            "",
		`"sub":"a","jti":{}`:                     "",
		`"sub":"a","aud":7`:                      "",
		`"sub":"a","solicitudes":"1"`:            "",
		`"sub":"a","solicitudes":[null]`:         "",
		`"sub":"a","solicitudes":[""]`:           "",
		`"sub":"a","solicitudes":[1.5]`:          "",
		`"sub":"a","iat":-1`:                     "",
		`"sub":"a","solicitudes":[` + ones(1001): "",
	} {
		id, err := v.Verify(t.Context(), hs(t, `{`+claims+`,"role":"client","exp":EXP}`))
		if want == "" {
			require.ErrorIs(t, err, ErrTokenInvalid, claims)
			continue
		}
		require.NoError(t, err, claims)
		require.Equal(t, want, id.User)
	}

	id, err := v.Verify(t.Context(), hs(t, `{"sub":"a","role":"SuPPort","jti":9,"iat":1700000000.25,"exp":EXP,"solicitudes":["s1",2]}`))
	require.NoError(t, err)
	require.Equal(t, "admin", id.Role)
	require.Equal(t, "9", id.TokenID)
	require.Equal(t, int64(1700000000), id.IssuedAt.Unix())
	require.Equal(t, []string{"s1", "2"}, id.Solicitudes)
	id, err = v.Verify(t.Context(), hs(t, `{"sub":"a","role":"client","exp":EXP,"solicitudes":[`+ones(1000)+`}`))
	require.NoError(t, err)
	require.Len(t, id.Solicitudes, maxSolicitudes)
}

func ones(n int) string { return strings.Repeat("1,", n-1) + "1]" }

func TestRoles(t *testing.T) {
	v := newVerifier(t, secretConfig())
	for claim, want := range map[string]string{
		"admin": "admin", "ANALYST": "admin", "Support": "admin", "advisor": "advisor", "Client": "client",
	} {
		r := secretRequest()
		r.Role = claim
		id, err := v.Verify(t.Context(), mint(t, r))
		require.NoError(t, err)
		require.Equal(t, want, id.Role)
	}
	cfg := secretConfig()
	cfg.Roles = must(ParseRoles("Boss = admin, client=client"))
	v = newVerifier(t, cfg)
	r := secretRequest()
	r.Role = "BOSS"
	id, err := v.Verify(t.Context(), mint(t, r))
	require.NoError(t, err)
	require.Equal(t, "admin", id.Role)
	r.Role = "advisor"
	_, err = v.Verify(t.Context(), mint(t, r))
	require.ErrorIs(t, err, ErrRoleUnknown)
	require.Equal(t, "role_unknown", Code(err))

	for _, bad := range []string{"", "admin", "=admin", "admin=", "a=admin,A=client"} {
		_, err := ParseRoles(bad)
		require.Error(t, err, bad)
	}
}

func TestLogHoldsDetailsAndNoToken(t *testing.T) {
	var log logBuffer
	v, err := New(t.Context(), secretConfig(), log.logger())
	require.NoError(t, err)
	r := secretRequest()
	r.Secret = []byte("another")
	token := mint(t, r)
	for range 100 {
		_, err = v.Verify(t.Context(), token)
		require.ErrorIs(t, err, ErrTokenInvalid)
	}
	require.Contains(t, log.String(), "signature is invalid")
	require.Contains(t, log.String(), "code=token_invalid")
	for part := range strings.SplitSeq(token, ".") {
		require.NotContains(t, log.String(), part)
	}
	require.Less(t, strings.Count(log.String(), "token refused"), 100)
	require.NotZero(t, v.suppressed.Load())
}

func TestCodes(t *testing.T) {
	for err, want := range map[error]string{
		nil: "", ErrTokenMissing: "token_missing", ErrTokenInvalid: "token_invalid", ErrTokenExpired: "token_expired",
		ErrTokenRevoked: "token_revoked", ErrRoleUnknown: "role_unknown", ErrServerFull: "server_full",
		ErrUnavailable: "server_full",
		ErrRateLimited: "rate_limited", context.Canceled: "token_invalid",
	} {
		require.Equal(t, want, Code(err))
		if err != nil {
			require.Equal(t, want, Code(fmt.Errorf("connect: %w", err)))
		}
	}
}

func TestBearer(t *testing.T) {
	for header, want := range map[string]string{
		"Bearer abc": "abc", "bearer  abc ": "abc", "Basic abc": "", "abc": "", "": "", "Bearer": "", "Bearer ": "",
	} {
		require.Equal(t, want, Bearer(header), header)
	}
}

func TestRunWithoutJWKSWaits(t *testing.T) {
	v := newVerifier(t, secretConfig())
	require.True(t, v.Ready())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, v.Run(ctx))
}

func FuzzClaims(f *testing.F) {
	for _, seed := range []string{
		`{"sub":"a","role":"client","exp":1,"solicitudes":["x",1]}`, `{"user_id":1,"sub":"1"}`, `null`, `[]`, `{"exp":1e400}`,
		`{"sub":-0}`, `{"aud":[""]}`, `{"sub":"\ud800"}`, "{\"sub\":\"\xff\"}", `{"iat":-1e-9,"nbf":253402300799}`, `{"sub":"a"}x`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var c Claims
		if c.UnmarshalJSON(raw) != nil {
			return
		}
		if c.User != "" && !ValidID(c.User) {
			t.Fatalf("user %q", c.User)
		}
		if c.TokenID != "" && !ValidID(c.TokenID) {
			t.Fatalf("token id %q", c.TokenID)
		}
		if len(c.Solicitudes) > maxSolicitudes {
			t.Fatalf("%d solicitudes", len(c.Solicitudes))
		}
		for _, id := range c.Solicitudes {
			if !ValidID(id) {
				t.Fatalf("solicitud %q", id)
			}
		}
		for _, at := range []time.Time{c.IssuedAt, c.NotBefore, c.ExpiresAt} {
			if !at.IsZero() && (at.Unix() < 0 || at.Unix() > maxTime) {
				t.Fatalf("time %s", at)
			}
		}
	})
}

// Whatever a stranger sends is refused, with an error that has a code, unless it is the one token that was signed.
func FuzzVerify(f *testing.F) {
	v, err := New(f.Context(), secretConfig(), quiet())
	if err != nil {
		f.Fatal(err)
	}
	r := secretRequest()
	r.Now, r.TTL, r.TokenID = time.Unix(1_600_000_000, 0), 200*365*24*time.Hour, "j" // the same in each fuzzing process
	good := mint(f, r)
	f.Add(good)
	f.Add("")
	f.Add("a.b.c")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + ".e30.")
	f.Add(sign(f, jwt.SigningMethodHS256, []byte("x"), map[string]any{"kid": 7}, `null`))
	f.Fuzz(func(t *testing.T, token string) {
		id, err := v.Verify(t.Context(), token)
		if (err == nil) != (token == good) {
			t.Fatalf("%q: %v", token, err)
		}
		if err != nil && (Code(err) == "" || id.User != "") {
			t.Fatalf("%q: %v, %+v", token, err, id)
		}
	})
}

func TestParseSignerAndAlgorithm(t *testing.T) {
	for alg, key := range map[string]crypto.Signer{
		"RS256": rsaKey(), "ES256": ec256(), "ES384": ec384(), "ES512": ec521(), "EdDSA": edKey(),
	} {
		for _, text := range privatePEMs(t, key) {
			signer, err := ParseSigner(text)
			require.NoError(t, err)
			require.Equal(t, key.Public(), signer.Public())
			got, err := SignerAlgorithm(signer)
			require.NoError(t, err)
			require.Equal(t, alg, got)
		}
	}
	for _, bad := range [][]byte{nil, []byte("x"), publicPEM(t, rsaKey()), []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")} {
		_, err := ParseSigner(bad)
		require.Error(t, err)
	}
	_, err := SignerAlgorithm(nil)
	require.Error(t, err)
}
