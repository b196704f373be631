package limits

import (
	"math"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConfigFaults(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate())
	require.NoError(t, Config{MaxAddresses: 1}.Validate(), "no limits at all")
	for field, change := range map[string]func(*Config){
		"TrustedProxies":    func(c *Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")} },
		"HandshakeRate":     func(c *Config) { c.HandshakeRate = math.NaN() },
		"HandshakeBurst":    func(c *Config) { c.HandshakeBurst = 0 },
		"MaxAddresses":      func(c *Config) { c.MaxAddresses = 0 },
		"MaxSocketsPerUser": func(c *Config) { c.MaxSocketsPerUser = -1 },
		"EventRate":         func(c *Config) { c.EventRate = math.Inf(1) },
		"EventBurst":        func(c *Config) { c.EventBurst = -1 },
	} {
		cfg := DefaultConfig()
		change(&cfg)
		_, err := New(cfg)
		require.ErrorContains(t, err, field)
	}
}

func TestNoLimits(t *testing.T) {
	for _, l := range []*Limits{nil, mustNew(t, Config{MaxAddresses: 1})} {
		for range 1000 {
			_, ok := l.TakeSocket("u")
			require.True(t, ok)
			require.Equal(t, Pass, l.NewEvents().Allow())
		}
		require.Equal(t, Stats{}, l.Stats())
	}
}

func mustNew(t testing.TB, cfg Config) *Limits {
	t.Helper()
	l, err := New(cfg)
	require.NoError(t, err)
	return l
}
