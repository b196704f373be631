//go:build !unix

package load

// RaiseFiles does nothing where there is no such limit.
func RaiseFiles(uint64) error { return nil }
