package engine

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSidTellsItsNode(t *testing.T) {
	secret := []byte("shared by the cluster")
	a, b := newSidMaker("node-a", secret), newSidMaker("node-b", secret)
	sid := a.next()
	require.Len(t, sid, 40)
	require.NotEqual(t, sid, a.next())

	tag, ok := b.owner(sid)
	require.True(t, ok, "any node of the cluster can tell")
	require.Equal(t, TagOf("node-a"), tag)
	require.NotEqual(t, TagOf("node-b"), tag)
}

func TestSidForged(t *testing.T) {
	m := newSidMaker("node-a", []byte("secret"))
	sid := m.next()
	raw, err := base64.RawURLEncoding.DecodeString(sid)
	require.NoError(t, err)
	for i := range raw {
		forged := append([]byte(nil), raw...)
		forged[i] ^= 1
		_, ok := m.owner(base64.RawURLEncoding.EncodeToString(forged))
		require.False(t, ok, "byte %d", i)
	}
	tag := TagOf("node-b")
	copy(raw, tag[:])
	_, ok := m.owner(base64.RawURLEncoding.EncodeToString(raw))
	require.False(t, ok, "another node's tag")
}

func TestSidForeign(t *testing.T) {
	sid := newSidMaker("node-a", []byte("secret")).next()
	for name, m := range map[string]*sidMaker{
		"other secret":  newSidMaker("node-a", []byte("another")),
		"random secret": newSidMaker("node-a", nil),
	} {
		_, ok := m.owner(sid)
		require.False(t, ok, name)
	}
}

func TestSidGarbage(t *testing.T) {
	m := newSidMaker("node-a", []byte("secret"))
	sid := m.next()
	for _, garbage := range []string{
		"", "x", sid[:39], sid + "A", sid + "\n", "\r" + sid, sid[:20] + "\n" + sid[20:], sid + "=", strings.Repeat("A", 40), strings.Repeat("?", 40),
		strings.Repeat("\n", 40), strings.Repeat("A", 4096), "../../etc/passwd", sid[:39] + "+",
	} {
		_, ok := m.owner(garbage)
		require.False(t, ok, "%q", garbage)
	}
}
