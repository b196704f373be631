package streams

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// unitConfig is the default with what has none.
func unitConfig() Config {
	cfg := DefaultConfig()
	cfg.Consumer = "a:1"
	return cfg
}

func TestConfigNamesEveryFault(t *testing.T) {
	err := Config{}.Validate()
	require.ErrorIs(t, err, ErrConfig)
	for _, field := range []string{"Prefix", "Group", "Consumer", "Batch", "BatchBytes", "LogMaxEntries", "MaxDeliveries", "Block", "StopTimeout"} {
		require.ErrorContains(t, err, field)
	}
	cfg := DefaultConfig()
	cfg.Consumer = "n:1"
	require.NoError(t, cfg.Validate())
	_, err = New(cfg, Deps{})
	require.ErrorIs(t, err, ErrConfig)
}

func TestConfigBounds(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"smallest": func(c *Config) {
			c.Batch, c.BatchBytes, c.LogMaxEntries, c.DeadMaxEntries, c.MaxDeliveries, c.Block = 1, 1, 1, 1, 2, time.Millisecond
		},
		"largest":     func(c *Config) { c.Batch, c.MaxDeliveries = maxBatch, solitaryMark-1 },
		"longest id":  func(c *Config) { c.Consumer = strings.Repeat("x", maxIDBytes) },
		"tag in name": func(c *Config) { c.Prefix = "app:{t}:x" },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := unitConfig()
			change(&cfg)
			require.NoError(t, cfg.Validate())
		})
	}
}

func TestConfigNamesTheOneFault(t *testing.T) {
	for name, tc := range map[string]struct {
		field  string
		change func(*Config)
	}{
		"prefix without tag":       {"Prefix", func(c *Config) { c.Prefix = "teloo" }},
		"prefix with empty tag":    {"Prefix", func(c *Config) { c.Prefix = "{}teloo" }},
		"prefix with open tag":     {"Prefix", func(c *Config) { c.Prefix = "{teloo" }},
		"prefix with tag reversed": {"Prefix", func(c *Config) { c.Prefix = "}teloo{" }},
		"no group":                 {"Group", func(c *Config) { c.Group = "" }},
		"no consumer":              {"Consumer", func(c *Config) { c.Consumer = "" }},
		"long consumer":            {"Consumer", func(c *Config) { c.Consumer = strings.Repeat("x", maxIDBytes+1) }},
		"control in consumer":      {"Consumer", func(c *Config) { c.Consumer = "a\n1" }},
		"consumer not UTF-8":       {"Consumer", func(c *Config) { c.Consumer = "a\xff" }},
		"batch 0":                  {"Batch ", func(c *Config) { c.Batch = 0 }},
		"batch too large":          {"Batch ", func(c *Config) { c.Batch = maxBatch + 1 }},
		"batch bytes":              {"BatchBytes", func(c *Config) { c.BatchBytes = 0 }},
		"log cap":                  {"LogMaxEntries", func(c *Config) { c.LogMaxEntries = 0 }},
		"dead cap":                 {"DeadMaxEntries", func(c *Config) { c.DeadMaxEntries = 0 }},
		"deliveries too few":       {"MaxDeliveries", func(c *Config) { c.MaxDeliveries = 1 }},
		"deliveries as the mark":   {"MaxDeliveries", func(c *Config) { c.MaxDeliveries = solitaryMark }},
		"block":                    {"Block", func(c *Config) { c.Block = time.Millisecond - 1 }},
		"min idle":                 {"MinIdle", func(c *Config) { c.MinIdle = 0 }},
		"handle":                   {"HandleTimeout", func(c *Config) { c.HandleTimeout = 0 }},
		"reclaim":                  {"ReclaimEvery", func(c *Config) { c.ReclaimEvery = 0 }},
		"trim":                     {"TrimEvery", func(c *Config) { c.TrimEvery = -time.Second }},
		"dedupe":                   {"DedupeTTL", func(c *Config) { c.DedupeTTL = 0 }},
		"grant":                    {"GrantTTL", func(c *Config) { c.GrantTTL = 0 }},
		"log age":                  {"LogMaxAge", func(c *Config) { c.LogMaxAge = 0 }},
		"stop":                     {"StopTimeout", func(c *Config) { c.StopTimeout = 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := unitConfig()
			tc.change(&cfg)
			err := cfg.Validate()
			require.ErrorIs(t, err, ErrConfig)
			require.ErrorContains(t, err, tc.field)
			require.NotContains(t, err.Error(), "\n", "one fault, one line")
		})
	}
}

func TestKeysShareTheHashTag(t *testing.T) {
	require.Equal(t, keys{
		events: "{teloo}:events", log: "{teloo}:log", dead: "{teloo}:dead", committed: "{teloo}:committed",
		seen: "{teloo}:seen:", grants: "{teloo}:grants:", grantIndex: "{teloo}:grants",
	}, newKeys(DefaultConfig().Prefix))
}
