//go:build unix

package load

import (
	"fmt"
	"syscall"
)

// RaiseFiles lifts the limit of open files to the hard one, and over it if need is more and the system allows it, for this
// process and those it starts.
func RaiseFiles(need uint64) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("load: open files: %w", err)
	}
	hard := l.Max
	l.Max = max(l.Max, need)
	l.Cur = l.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("load: %d open files are needed, the limit is %d (ulimit -n): %w", need, hard, err)
	}
	return nil
}
