package engine

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// A message for many touches each session: memory that fills cache lines begins with one.
func TestSessionsFillCacheLines(t *testing.T) {
	const line = 64
	require.Zero(t, unsafe.Sizeof(Session{})%line)
	require.LessOrEqual(t, unsafe.Offsetof(Session{}.queue)+unsafe.Sizeof(queue{}), uintptr(3*line))
}
