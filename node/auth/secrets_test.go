package auth

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	oldSecret = "old-old-old-old-old-old-old-old-"
	newSecret = "new-new-new-new-new-new-new-new-"
)

func hmacVerifier(t testing.TB, secret string) *Verifier {
	t.Helper()
	cfg := secretConfig()
	cfg.Secret = []byte(secret)
	return newVerifier(t, cfg)
}

func hmacToken(t testing.TB, secret string) string {
	t.Helper()
	r := secretRequest()
	r.Secret = []byte(secret)
	return mint(t, r)
}

func TestSecretsRotateWithoutLogout(t *testing.T) {
	oldToken, newToken := hmacToken(t, oldSecret), hmacToken(t, newSecret)
	for secrets, want := range map[string][2]bool{
		oldSecret:                             {true, false},
		oldSecret + "," + newSecret:           {true, true},
		" " + newSecret + " ,\t" + oldSecret:  {true, true},
		newSecret:                             {false, true},
		newSecret + "," + string(testSecret):  {false, true},
		newSecret + "\n,\n" + oldSecret + " ": {true, true},
	} {
		v := hmacVerifier(t, secrets)
		for i, token := range []string{oldToken, newToken} {
			_, err := v.Verify(t.Context(), token)
			if want[i] {
				require.NoError(t, err, secrets)
				continue
			}
			require.ErrorIs(t, err, ErrTokenInvalid, secrets)
		}
	}
}

func TestMintSignsWithTheFirstSecret(t *testing.T) {
	token := hmacToken(t, " "+newSecret+" , "+oldSecret)
	_, err := hmacVerifier(t, newSecret).Verify(t.Context(), token)
	require.NoError(t, err)
	_, err = hmacVerifier(t, oldSecret).Verify(t.Context(), token)
	require.ErrorIs(t, err, ErrTokenInvalid)

	r := secretRequest()
	r.Secret = []byte("short,shorter")
	_, err = Mint(r)
	require.ErrorContains(t, err, "secret 1 of 2")
}

func TestSecretFaults(t *testing.T) {
	for raw, fault := range map[string]string{
		"":                               "need a secret",
		oldSecret + ",":                  "secret 2 of 2: is empty",
		"," + oldSecret:                  "secret 1 of 2: is empty",
		oldSecret + ", ," + newSecret:    "secret 2 of 3: is empty",
		",":                              "secret 2 of 2: is empty",
		oldSecret + ",hunter2":           "secret 2 of 2: has 7 bytes",
		oldSecret + ", " + oldSecret:     "secret 2 of 2: stands twice",
		strings.Repeat(oldSecret+",", 8): "9 secrets: want at most 8",
		"-----BEGIN PUBLIC KEY-----":     "PEM",
		oldSecret + ", -----BEGIN PUBLIC KEY-----\nAAAA": "secret 2 of 2: the secret is a PEM key",
	} {
		cfg := secretConfig()
		cfg.Secret = []byte(raw)
		err := cfg.Validate()
		require.ErrorContains(t, err, fault)
		for _, shown := range []string{oldSecret, newSecret, "hunter2", "BEGIN"} {
			require.NotContains(t, err.Error(), shown)
		}
		_, err = New(t.Context(), cfg, quiet())
		require.Error(t, err)
	}
}

// A single secret has always been taken as it is; trimming it would log everybody out.
func TestOneSecretIsTakenAsItIs(t *testing.T) {
	for _, secret := range []string{" hush ", "x", "\x00\xff"} {
		_, err := hmacVerifier(t, secret).Verify(t.Context(), hmacToken(t, secret))
		require.NoError(t, err)
	}
}

func TestSecretsAreTheVerifiersOwn(t *testing.T) {
	cfg := secretConfig()
	cfg.Secret = []byte(oldSecret + "," + newSecret)
	v := newVerifier(t, cfg)
	token := hmacToken(t, newSecret)
	clear(cfg.Secret)
	_, err := v.Verify(t.Context(), token)
	require.NoError(t, err)
}
