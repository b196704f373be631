package auth

import (
	"context"
	"crypto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fileVerifier verifies RS256 by the keys at path, following the file closely.
func fileVerifier(t *testing.T, path string, log *logBuffer) *Verifier {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Algorithms, cfg.PublicKeyPath = []string{"RS256"}, path
	v, err := New(t.Context(), cfg, log.logger())
	require.NoError(t, err)
	v.pem.every = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return v
}

func accepted(t *testing.T, v *Verifier, key crypto.Signer) func() bool {
	token := tokenOf(t, "RS256", "", key)
	return func() bool {
		_, err := v.Verify(t.Context(), token)
		return err == nil
	}
}

func replaceFile(t *testing.T, path string, content []byte) {
	t.Helper()
	next := filepath.Join(filepath.Dir(path), "next.pem")
	require.NoError(t, os.WriteFile(next, content, 0o600))
	require.NoError(t, os.Rename(next, path))
}

func TestReplacedKeyFileIsUsed(t *testing.T) {
	var log logBuffer
	path := writeFile(t, publicPEM(t, rsaKey()))
	v := fileVerifier(t, path, &log)
	first, second := accepted(t, v, rsaKey()), accepted(t, v, rsaOther())
	require.True(t, first())
	require.False(t, second())

	replaceFile(t, path, publicPEM(t, rsaOther()))
	require.Eventually(t, second, patience, time.Millisecond)
	require.False(t, first(), "a key that left the file")
	require.NotContains(t, log.String(), "cannot be read")
	// In place, where a look may find it empty meanwhile.
	require.NoError(t, os.WriteFile(path, publicPEM(t, rsaKey(), rsaOther()), 0o600))
	require.Eventually(t, first, patience, time.Millisecond)
	require.True(t, second())
	require.Equal(t, 2, strings.Count(log.String(), "public key file changed"), log.String())
}

func TestBrokenKeyFileKeepsTheOldKeys(t *testing.T) {
	for name, breaks := range map[string]func(path string) error{
		"text":       func(path string) error { return os.WriteFile(path, []byte("no key"), 0o600) },
		"empty":      func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"gone":       os.Remove,
		"other kind": func(path string) error { return os.WriteFile(path, publicPEM(t, ec256()), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			var log logBuffer
			path := writeFile(t, publicPEM(t, rsaKey()))
			v := fileVerifier(t, path, &log)
			first, second := accepted(t, v, rsaKey()), accepted(t, v, rsaOther())
			require.NoError(t, breaks(path))
			warned := func() int { return strings.Count(log.String(), "stay in use") }
			require.Eventually(t, func() bool { return warned() > 0 }, patience, time.Millisecond)
			require.True(t, first())

			replaceFile(t, path, publicPEM(t, rsaOther()))
			require.Eventually(t, second, patience, time.Millisecond)
			require.Equal(t, 1, warned(), "each look was said")
			require.NoError(t, breaks(path))
			require.Eventually(t, func() bool { return warned() == 2 }, patience, time.Millisecond, "broken a second time")
			require.True(t, second())
		})
	}
}

// A file that did not change is not read: its content is not looked at while its time and size stay.
func TestUnchangedKeyFileIsNotRead(t *testing.T) {
	var log logBuffer
	path := writeFile(t, publicPEM(t, rsaKey()))
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	require.NoError(t, os.Chtimes(path, old, old))
	f, err := openKeyFile(path, []string{"RS256"}, log.logger())
	require.NoError(t, err)
	rewrite := func(content []byte, at time.Time) {
		require.NoError(t, os.WriteFile(path, content, 0o600))
		require.NoError(t, os.Chtimes(path, at, at))
		f.look()
	}
	same := publicPEM(t, rsaOther())
	require.Len(t, same, len(publicPEM(t, rsaKey())))
	before := f.keys.Load()
	rewrite(same, old)
	require.Same(t, before, f.keys.Load())
	rewrite(same, old.Add(time.Second))
	require.NotSame(t, before, f.keys.Load())
	require.True(t, sameKeys(*f.keys.Load(), []crypto.PublicKey{rsaOther().Public()}))

	// One that was written just now is read until its time can be trusted.
	rewrite(publicPEM(t, rsaKey()), time.Now())
	rewrite(same, time.Now())
	require.True(t, sameKeys(*f.keys.Load(), []crypto.PublicKey{rsaOther().Public()}))
	require.Nil(t, f.seen)
}

func TestSameKeys(t *testing.T) {
	a, b := []crypto.PublicKey{rsaKey().Public()}, []crypto.PublicKey{ec256().Public()}
	require.True(t, sameKeys(a, a))
	require.False(t, sameKeys(a, b))
	require.False(t, sameKeys(a, append(a, b...)))
	require.False(t, sameKeys([]crypto.PublicKey{1}, a))
}
