package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/node/auth"
)

// verified is whom a node with the environment takes the token's bearer for.
func verified(t *testing.T, token string, environ ...string) auth.Identity {
	t.Helper()
	r := read(t, environ...)
	require.Empty(t, r.Faults)
	v, err := auth.New(context.Background(), r.Config.authConfig(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	id, err := v.Verify(context.Background(), strings.TrimSpace(token))
	require.NoError(t, err)
	return id
}

func TestTokenBySecret(t *testing.T) {
	environ := good("JWT_ALGORITHM=HS384", "JWT_ISSUER=iss", "JWT_AUDIENCE=aud")
	r := gateway(t, environ, "", "token", "--user", "U-1", "--role", "Analyst", "--ttl", "5m", "--solicitudes", "S-1,S-2")
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Empty(t, r.stderr)
	id := verified(t, r.stdout, environ...)
	require.Equal(t, "U-1", id.User)
	require.Equal(t, "admin", id.Role)
	require.Equal(t, []string{"S-1", "S-2"}, id.Solicitudes)
	require.WithinDuration(t, time.Now().Add(5*time.Minute), id.ExpiresAt, time.Minute)
}

func TestTokenByKey(t *testing.T) {
	for algorithm, key := range map[string]keyFiles{
		"RS512": writeKey(t, rsaKey(t)), "PS256": writeKey(t, rsaKey(t)), "ES256": writeKey(t, ecKey(t)), "EdDSA": writeKey(t, edKey(t)),
	} {
		t.Run(algorithm, func(t *testing.T) {
			environ := []string{"JWT_ALGORITHM=" + algorithm, "JWT_PUBLIC_KEY_PATH=" + key.public}
			r := gateway(t, environ, "", "token", "--user", "u", "--role", "client", "--key", key.private)
			require.Equal(t, exitOK, r.code, r.stderr)
			require.Empty(t, r.stderr)
			require.Equal(t, "client", verified(t, r.stdout, environ...).Role)
		})
	}
}

func TestTokenWarnsOfAnAlgorithmThatIsNotAccepted(t *testing.T) {
	key := writeKey(t, ecKey(t))
	r := gateway(t, nil, "", "token", "--user", "u", "--role", "client", "--key", key.private)
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Contains(t, r.stderr, "JWT_ALGORITHM does not list ES256")
}

func TestTokenFaults(t *testing.T) {
	key := writeKey(t, ecKey(t))
	for name, tc := range map[string]struct {
		environ []string
		args    []string
		code    int
		want    string
	}{
		"no user":         {good(), []string{"--role", "client"}, exitUsage, "missing flags: --user"},
		"empty user":      {good(), []string{"--user", "", "--role", "client"}, exitFailure, "user"},
		"unknown role":    {good(), []string{"--user", "u", "--role", "boss"}, exitFailure, "--role: \"boss\" is none of admin, advisor, analyst, client, support"},
		"no secret":       {nil, []string{"--user", "u", "--role", "client"}, exitFailure, "JWT_SECRET_KEY: is not set"},
		"no secret, RS":   {[]string{"JWT_ALGORITHM=RS256"}, []string{"--user", "u", "--role", "client"}, exitFailure, "or a private key by --key"},
		"ttl":             {good(), []string{"--user", "u", "--role", "client", "--ttl", "0s"}, exitFailure, "--ttl: 0s is not more than 0"},
		"missing key":     {good(), []string{"--user", "u", "--role", "client", "--key", "/nowhere"}, exitFailure, "--key: open /nowhere: no such file"},
		"public key":      {good(), []string{"--user", "u", "--role", "client", "--key", key.public}, exitFailure, "--key: "},
		"other algorithm": {good(), []string{"--user", "u", "--role", "client", "--key", key.private, "--algorithm", "RS256"}, exitFailure, "RS256"},
		"no algorithm":    {good(), []string{"--user", "u", "--role", "client", "--algorithm", "none"}, exitFailure, "none"},
		"short secret":    {[]string{"ENVIRONMENT=production", "JWT_SECRET_KEY=hush"}, []string{"--user", "u", "--role", "client"}, exitFailure, "JWT_SECRET_KEY: has 4 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			r := gateway(t, tc.environ, "", append([]string{"token"}, tc.args...)...)
			require.Equal(t, tc.code, r.code, r.stderr)
			require.Contains(t, r.stderr, tc.want)
			require.NotContains(t, r.stderr, goodSecret)
			require.NotContains(t, r.stderr, "hush")
			require.Empty(t, r.stdout)
		})
	}
}

// TestTokenNeedsNoOtherVariables: faults of what it doesn't use don't stop it.
func TestTokenNeedsNoOtherVariables(t *testing.T) {
	r := gateway(t, good("PORT=x", "REDIS_MODE=y"), "", "token", "--user", "u", "--role", "client")
	require.Equal(t, exitOK, r.code, r.stderr)
}
