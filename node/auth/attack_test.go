package auth

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

// attacker makes tokens for a verifier of RS256 by a published set and of HS256 by a secret, issuer "core", audience
// "gateway".
type attacker struct {
	t   *testing.T
	now time.Time
}

// claims are good ones but for change; a nil removes a claim.
func (a attacker) claims(change map[string]any) string {
	claims := map[string]any{
		"sub": "7", "role": "client", "iss": "core", "aud": "gateway", "jti": "j",
		"iat": a.now.Unix(), "exp": a.now.Add(time.Hour).Unix(),
	}
	for name, value := range change {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	return string(must(json.Marshal(claims)))
}

// with puts raw text into good claims, as json.Marshal never would.
func (a attacker) with(raw string) string {
	return strings.TrimSuffix(a.claims(nil), "}") + "," + raw + "}"
}

func (a attacker) rs(claims string) string {
	return sign(a.t, jwt.SigningMethodRS256, rsaKey(), map[string]any{"kid": "k"}, claims)
}

func (a attacker) change(name string, value any) string {
	return a.rs(a.claims(map[string]any{name: value}))
}

func (a attacker) hs(secret []byte, header map[string]any) string {
	return sign(a.t, jwt.SigningMethodHS256, secret, header, a.claims(map[string]any{"role": "admin"}))
}

// head replaces the header of a well-signed token.
func (a attacker) head(header, signature string) string {
	parts := strings.Split(a.rs(a.claims(nil)), ".")
	if signature == "its" {
		signature = parts[2]
	}
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + parts[1] + "." + signature
}

type attack struct {
	token string
	want  error
}

func (a attacker) forgeries() map[string]attack {
	public := publicPEM(a.t, rsaKey())
	set := setOf(a.t, map[string]crypto.Signer{"k": rsaKey()})
	return map[string]attack{
		"alg none":                       {a.head(`{"alg":"none","kid":"k"}`, ""), ErrTokenInvalid},
		"alg none with a signature":      {a.head(`{"alg":"none","kid":"k"}`, "its"), ErrTokenInvalid},
		"alg nOnE":                       {a.head(`{"alg":"nOnE"}`, ""), ErrTokenInvalid},
		"alg a list":                     {a.head(`{"alg":["RS256"],"kid":"k"}`, "its"), ErrTokenInvalid},
		"alg of nobody":                  {a.head(`{"alg":"`+strings.Repeat("Z", 500)+`"}`, "its"), ErrTokenInvalid},
		"no alg":                         {a.head(`{"kid":"k"}`, "its"), ErrTokenInvalid},
		"alg in another case":            {a.head(`{"alg":"rs256","kid":"k"}`, "its"), ErrTokenInvalid},
		"an algorithm not configured":    {sign(a.t, jwt.SigningMethodRS512, rsaKey(), map[string]any{"kid": "k"}, a.claims(nil)), ErrTokenInvalid},
		"HMAC by the public key's PEM":   {a.hs(public, nil), ErrTokenInvalid},
		"HMAC by the PEM, trimmed":       {a.hs([]byte(strings.TrimSpace(string(public))), map[string]any{"kid": "k"}), ErrTokenInvalid},
		"HMAC by the key set":            {a.hs(set, map[string]any{"kid": "k"}), ErrTokenInvalid},
		"HMAC by nothing":                {a.hs([]byte{}, nil), ErrTokenInvalid},
		"unknown kid":                    {sign(a.t, jwt.SigningMethodRS256, rsaKey(), map[string]any{"kid": "unknown-kid-of-nobody"}, a.claims(nil)), ErrTokenInvalid},
		"kid a path":                     {sign(a.t, jwt.SigningMethodRS256, rsaOther(), map[string]any{"kid": "../../../dev/null"}, a.claims(nil)), ErrTokenInvalid},
		"kid an object":                  {sign(a.t, jwt.SigningMethodRS256, rsaKey(), map[string]any{"kid": map[string]any{}}, a.claims(nil)), ErrTokenInvalid},
		"another's key by the known kid": {sign(a.t, jwt.SigningMethodRS256, rsaOther(), map[string]any{"kid": "k"}, a.claims(nil)), ErrTokenInvalid},
		"its own key in the header":      {sign(a.t, jwt.SigningMethodRS256, rsaOther(), map[string]any{"kid": "k", "jwk": json.RawMessage(set)}, a.claims(nil)), ErrTokenInvalid},
		"its own address of keys":        {sign(a.t, jwt.SigningMethodRS256, rsaOther(), map[string]any{"jku": "http://127.0.0.1:1/"}, a.claims(nil)), ErrTokenInvalid},
		"a critical extension":           {sign(a.t, jwt.SigningMethodRS256, rsaKey(), map[string]any{"kid": "k", "crit": []string{"exp"}}, a.claims(nil)), ErrTokenInvalid},
	}
}

func (a attacker) times() map[string]attack {
	return map[string]attack{
		"expired":              {a.change("exp", a.now.Add(-time.Minute).Unix()), ErrTokenExpired},
		"exp zero":             {a.change("exp", 0), ErrTokenExpired},
		"not yet valid":        {a.change("nbf", a.now.Add(time.Hour).Unix()), ErrTokenInvalid},
		"issued in the future": {a.change("iat", a.now.Add(time.Hour).Unix()), ErrTokenInvalid},
		"no exp":               {a.change("exp", nil), ErrTokenInvalid},
		"exp null":             {a.rs(a.claims(map[string]any{"exp": json.RawMessage("null")})), ErrTokenInvalid},
		"exp a string":         {a.change("exp", strconv.FormatInt(a.now.Add(time.Hour).Unix(), 10)), ErrTokenInvalid},
		"exp huge":             {a.change("exp", json.RawMessage("1e300")), ErrTokenInvalid},
		"exp beyond floats":    {a.change("exp", json.RawMessage("1e999")), ErrTokenInvalid},
		"exp in milliseconds":  {a.change("exp", a.now.Add(time.Hour).UnixMilli()), ErrTokenInvalid},
		"exp of 64 bits":       {a.change("exp", json.RawMessage("9223372036854775807")), ErrTokenInvalid},
		"exp negative":         {a.change("exp", -1), ErrTokenInvalid},
		"exp a list":           {a.change("exp", []int64{a.now.Add(time.Hour).Unix()}), ErrTokenInvalid},
		"exp true":             {a.change("exp", true), ErrTokenInvalid},
		"iat a string":         {a.change("iat", "now"), ErrTokenInvalid},
		"expired, of another":  {a.rs(a.claims(map[string]any{"exp": 1, "iss": "x"})), ErrTokenInvalid},
	}
}

func (a attacker) contents() map[string]attack {
	return map[string]attack{
		"wrong issuer":            {a.change("iss", "core2"), ErrTokenInvalid},
		"issuer in another case":  {a.change("iss", "Core"), ErrTokenInvalid},
		"issuers":                 {a.change("iss", []string{"core"}), ErrTokenInvalid},
		"no issuer":               {a.change("iss", nil), ErrTokenInvalid},
		"wrong audience":          {a.change("aud", "gateway2"), ErrTokenInvalid},
		"audience a part":         {a.change("aud", []string{"gate", "way"}), ErrTokenInvalid},
		"no audience":             {a.change("aud", nil), ErrTokenInvalid},
		"audience an object":      {a.change("aud", map[string]any{"gateway": 1}), ErrTokenInvalid},
		"role a list":             {a.change("role", []string{"client", "admin"}), ErrTokenInvalid},
		"role an object":          {a.change("role", map[string]any{"admin": true}), ErrTokenInvalid},
		"role padded":             {a.change("role", "admin "), ErrRoleUnknown},
		"role with a zero":        {a.change("role", "admin\x00"), ErrRoleUnknown},
		"role of look-alikes":     {a.change("role", "аdmin"), ErrRoleUnknown},
		"roles with a comma":      {a.change("role", "client,admin"), ErrRoleUnknown},
		"role long":               {a.change("role", strings.Repeat("admin", 1000)), ErrRoleUnknown},
		"role in another's claim": {a.rs(a.claims(map[string]any{"role": nil, "Role": "admin", "ROLE": "admin", "roles": "admin"})), ErrRoleUnknown},
		"role twice":              {a.rs(a.with(`"role":"admin"`)), ErrTokenInvalid},
		"role twice, escaped":     {a.rs(a.with(`"r\u006fle":"admin"`)), ErrTokenInvalid},
		"sub twice":               {a.rs(a.with(`"sub":"8"`)), ErrTokenInvalid},
		"sub twice, the same":     {a.rs(a.with(`"sub":"7"`)), ErrTokenInvalid},
		"exp twice":               {a.rs(a.with(`"exp":99999999999`)), ErrTokenInvalid},
		"jti twice":               {a.rs(a.with(`"jti":null`)), ErrTokenInvalid},
		"an unread claim twice":   {a.rs(a.with(`"x":1,"x":2`)), ErrTokenInvalid},
		"two users":               {a.rs(a.with(`"user_id":"8"`)), ErrTokenInvalid},
		"claims twice":            {a.rs(a.claims(nil) + a.claims(nil)), ErrTokenInvalid},
		"claims cut":              {a.rs(strings.TrimSuffix(a.claims(nil), "}")), ErrTokenInvalid},
		"claims with a comma":     {a.rs(strings.TrimSuffix(a.claims(nil), "}") + ",}"), ErrTokenInvalid},
		"claims nested deep":      {a.rs(a.with(`"x":` + strings.Repeat("[", 5000))), ErrTokenInvalid},
	}
}

func (a attacker) shapes() map[string]attack {
	good := a.rs(a.claims(nil))
	parts := strings.Split(good, ".")
	return map[string]attack{
		"nothing":                 {"", ErrTokenMissing},
		"100 KB":                  {strings.Repeat("A", 100<<10), ErrTokenInvalid},
		"100 KB after a good one": {good + strings.Repeat("A", 100<<10), ErrTokenInvalid},
		"dots":                    {strings.Repeat(".", 8000), ErrTokenInvalid},
		"a part more":             {good + ".AAAA", ErrTokenInvalid},
		"a dot at the end":        {good + ".", ErrTokenInvalid},
		"a dot before":            {"." + good, ErrTokenInvalid},
		"two dots":                {strings.Replace(good, ".", "..", 1), ErrTokenInvalid},
		"five parts, as a JWE":    {good + ".AAAA.AAAA", ErrTokenInvalid},
		"no signature":            {parts[0] + "." + parts[1] + ".", ErrTokenInvalid},
		"no claims":               {parts[0] + ".." + parts[2], ErrTokenInvalid},
		"garbage for a header":    {"!!!!." + parts[1] + "." + parts[2], ErrTokenInvalid},
		"garbage for claims":      {parts[0] + ".%%%%." + parts[2], ErrTokenInvalid},
		"garbage for a signature": {parts[0] + "." + parts[1] + ".====", ErrTokenInvalid},
		"standard base64":         {strings.Replace(good, ".", "+/==.", 1), ErrTokenInvalid},
		"a line break":            {good[:20] + "\n" + good[20:], ErrTokenInvalid},
		"a byte off":              {parts[0] + "." + parts[1] + "." + flip(parts[2]), ErrTokenInvalid},
		"claims of another token": {parts[0] + "." + strings.Split(a.change("role", "admin"), ".")[1] + "." + parts[2], ErrTokenInvalid},
		"its scheme before it":    {"Bearer " + good, ErrTokenInvalid},
		"JSON form":               {`{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`, ErrTokenInvalid},
	}
}

func flip(s string) string {
	if s[0] == 'A' {
		return "B" + s[1:]
	}
	return "A" + s[1:]
}

func TestAttacks(t *testing.T) {
	i, url := newIssuer(t)
	i.serve(map[string]crypto.Signer{"k": rsaKey()})
	cfg := jwksConfig(url, "RS256", "HS256")
	cfg.Secret, cfg.Issuer, cfg.Audience = testSecret, "core", "gateway"
	var log logBuffer
	v, err := New(t.Context(), cfg, log.logger())
	require.NoError(t, err)

	a := attacker{t: t, now: time.Now()}
	good := a.rs(a.claims(nil))
	id, err := v.Verify(t.Context(), good)
	require.NoError(t, err)
	require.Equal(t, "client", id.Role)
	_, err = v.Verify(t.Context(), a.hs(testSecret, nil))
	require.NoError(t, err)

	for _, kind := range []map[string]attack{a.forgeries(), a.times(), a.contents(), a.shapes()} {
		for name, c := range kind {
			t.Run(name, func(t *testing.T) {
				id, err := v.Verify(t.Context(), c.token)
				require.ErrorIs(t, err, c.want)
				require.Equal(t, Code(c.want), Code(err))
				require.Empty(t, id)
				requireNoPart(t, err.Error(), c.token)
				for i, part := range strings.SplitN(c.token, ".", 3) {
					if i == 1 && errors.Is(err, ErrRoleUnknown) {
						break // the issuer signed the role, and whoever maps roles wants to see it
					}
					text, _ := base64.RawURLEncoding.DecodeString(part)
					requireNoPart(t, err.Error(), string(text))
				}
				require.Less(t, len(err.Error()), 512)
			})
		}
	}
	for name, c := range a.shapes() {
		requireNoPart(t, log.String(), c.token, name)
	}
}

// requireNoPart looks for ten characters in a row of a token.
func requireNoPart(t *testing.T, text, token string, about ...any) {
	t.Helper()
	const part = 10
	for at := 0; at+part <= len(token); at++ {
		require.NotContains(t, text, token[at:at+part], about...)
	}
}

// A token that is too long costs neither decoding nor a look for its key.
func TestLongTokensCostNothing(t *testing.T) {
	i, url := newIssuer(t)
	i.serve(map[string]crypto.Signer{"k": rsaKey()})
	v := newVerifier(t, jwksConfig(url, "RS256"))
	a := attacker{t: t, now: time.Now()}
	claims := map[string]any{"x": strings.Repeat("x", 100<<10)}
	token := sign(t, jwt.SigningMethodRS256, rsaKey(), map[string]any{"kid": "another"}, a.claims(claims))
	reads := i.reads.Load()
	require.Less(t, testing.AllocsPerRun(100, func() { _, _ = v.verify(t.Context(), token) }), 8.0)
	_, err := v.Verify(t.Context(), token)
	require.ErrorIs(t, err, ErrTokenInvalid)
	require.Equal(t, reads, i.reads.Load(), "its key was looked for")
}
