package limits

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPerUser(t *testing.T) {
	p := NewPerUser(2)
	first, ok := p.Take("u")
	require.True(t, ok)
	_, ok = p.Take("u")
	require.True(t, ok)
	refused, ok := p.Take("u")
	require.False(t, ok)
	refused()
	_, ok = p.Take("u")
	require.False(t, ok, "releasing what was not taken gives nothing back")
	_, ok = p.Take("v")
	require.True(t, ok, "another user's places are his own")
	for range 3 {
		first()
	}
	_, ok = p.Take("u")
	require.True(t, ok)
	_, ok = p.Take("u")
	require.False(t, ok, "a place is given back once")
}

func TestPerUserAtOnce(t *testing.T) {
	p := NewPerUser(5)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				if release, ok := p.Take("u"); ok {
					all.Go(release)
					release()
				}
			}
		})
	}
	all.Wait()
	require.Empty(t, p.sockets)
}
