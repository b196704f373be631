package conformance

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const (
	ours    = "ours"
	library = "library"
	node    = "node"
)

var (
	engineName = flag.String("engine", ours, "server under test: ours, library or node")
	soakCount  = flag.Int("soak", 0, "connections of the soak test; 0 leaves it out")
)

// deadline is for what happens at once on an idle machine. The library often misses any.
var deadline = 20 * time.Second

func TestMain(m *testing.M) {
	flag.Parse()
	if *engineName == library {
		deadline = 2 * time.Second
	}
	code := m.Run()
	stopPeers()
	if code == 0 && *engineName == ours {
		if err := goleak.Find(); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, "conformance:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// inProcess skips a test that has to look into the server's process.
func inProcess(t *testing.T) {
	t.Helper()
	if *engineName == node {
		t.Skip("needs the server in this process")
	}
}

// onlyOurs skips a test of what the gateway's engine promises beyond the protocol.
func onlyOurs(t *testing.T, why string) {
	t.Helper()
	if *engineName != ours {
		t.Skip("a promise of the gateway's own engine: " + why)
	}
}

// differs reports whether the server under test is the given one, whose known difference to what is required this is.
func differs(t *testing.T, engine, what string) bool {
	t.Helper()
	if *engineName != engine {
		return false
	}
	t.Log("known difference:", what)
	return true
}
