package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/api/admin"
)

// TestATraceDoesNotSteerTheTerminal: ids may hold what turns the direction of writing.
func TestATraceDoesNotSteerTheTerminal(t *testing.T) {
	text := traceText(&admin.Trace{
		ID: "a\u202eb", Event: "x\x1b[2J", Rooms: []admin.TraceRoom{{Room: "user_\u202e1", Rule: "r"}}, Silent: []string{"n\r1"},
	})
	require.NotRegexp(t, `[\x00-\x09\x0b-\x1f]|\x{202e}`, text)
	require.Contains(t, text, "user_\uFFFD1")
}
