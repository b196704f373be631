package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/cmd/gateway/commandline"
)

func TestHelpOfEachCommandHasItsFlags(t *testing.T) {
	root, err := commandline.New("gateway", "", &cli{})
	require.NoError(t, err)
	top := gateway(t, nil, "", "--help").stdout
	var walk func(c *commandline.Command)
	walk = func(c *commandline.Command) {
		path := strings.Fields(c.Path())[1:]
		r := gateway(t, nil, "", append(path, "--help")...)
		require.Equal(t, exitOK, r.code, c.Path())
		require.Empty(t, r.stderr)
		for _, f := range c.Flags {
			require.Equal(t, !f.Hidden, strings.Contains(r.stdout, "--"+f.Name), "%s --%s", c.Path(), f.Name)
		}
		for _, a := range c.Arguments {
			require.Contains(t, r.stdout, "<"+a.Name+">", c.Path())
		}
		if len(c.Commands) == 0 {
			require.Contains(t, top, "\n  "+strings.Join(path, " ")+" ")
		}
		for _, child := range c.Commands {
			walk(child)
		}
	}
	walk(root)
}

func TestAnEnumsOtherValuesAreRefused(t *testing.T) {
	r := gateway(t, nil, "", "dev", "--redis", "cloud")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, `--redis: must be one of embedded, server but got "cloud"`)
}
