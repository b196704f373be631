package adapter

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// A broadcast looks at the beginning of each member: memory that fills cache lines begins with one.
func TestMembersFillCacheLines(t *testing.T) {
	const line = 64
	require.Zero(t, unsafe.Sizeof(member{})%line)
	require.Equal(t, unsafe.Offsetof(member{}.floor)+unsafe.Sizeof(streamID{}), uintptr(line))
}
