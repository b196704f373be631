//go:build !engine

package conformance

import "testing"

func (h *host) serveOurs(t *testing.T) {
	t.Helper()
	t.Skip("the engine is built with -tags engine")
}
