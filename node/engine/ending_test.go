package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A function given to OnClosing that never calls done delays the close for CloseWait, and leaves no goroutine behind.
func TestTheEndDoesNotWaitForEver(t *testing.T) {
	session, _ := serve(t, func(c *Config) { c.CloseWait = 50 * time.Millisecond })
	closed := make(chan []any, 2)
	require.NoError(t, session.On("close", func(args ...any) { closed <- args }))
	session.OnClosing(func(func()) {})
	session.OnClosing(func(done func()) { done(); done() })
	session.Close(true)
	select {
	case args := <-closed:
		require.Equal(t, reasonForced, args[0])
	case <-time.After(10 * time.Second):
		require.Fail(t, "close was not emitted")
	}
}
