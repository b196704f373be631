package tracing

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const sampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func testConfig(endpoint string) Config {
	cfg := DefaultConfig()
	cfg.Endpoint, cfg.Node, cfg.Ratio, cfg.FlushTimeout = endpoint, "n", 0, 2*time.Second
	return cfg
}

func TestSpansAreSentAtTheEnd(t *testing.T) {
	var paths atomic.Value
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { paths.Store(r.URL.Path) }))
	defer sink.Close()
	var logs bytes.Buffer
	tracer, err := New(t.Context(), testConfig(sink.URL), slog.New(slog.NewTextHandler(&logs, nil)))
	require.NoError(t, err)
	journey := tracer.Consume(Event{TraceParent: sampled, Name: "oferta_x"})
	journey.Routed(1, "")
	require.Regexp(t, `^00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-01$`, journey.Commit())
	journey.Settled("relayed")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	require.NoError(t, tracer.Run(ctx))
	require.Equal(t, "/v1/traces", paths.Load(), logs.String())
	tracer.Close()
}

func TestWhatIsNotSampledCostsNoJourney(t *testing.T) {
	tracer, err := New(t.Context(), testConfig("http://127.0.0.1:1"), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer tracer.Close()
	for _, parent := range []string{"", sampled[:len(sampled)-1] + "0"} {
		journey := tracer.Consume(Event{TraceParent: parent})
		require.Nil(t, journey)
		journey.Routed(1, "no_route")
		require.Empty(t, journey.Commit())
		journey.Settled("relayed")
	}
}

// lockedBuffer is safe for concurrent use.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer // mu
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// A collector that is away costs spans, and no more time at the end than was said.
func TestCollectorIsAway(t *testing.T) {
	stuck := make(chan struct{})
	sink := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stuck }))
	defer sink.Close()
	defer close(stuck)
	cfg := testConfig(sink.URL)
	cfg.FlushTimeout = 200 * time.Millisecond
	var logs lockedBuffer // what is given up may still be logged after Close
	tracer, err := New(t.Context(), cfg, slog.New(slog.NewTextHandler(&logs, nil)))
	require.NoError(t, err)
	tracer.Delivered(Delivery{Event: Event{TraceParent: sampled}, Begin: time.Now(), End: time.Now()})
	began := time.Now()
	tracer.Close()
	require.Less(t, time.Since(began), 5*time.Second)
	require.Contains(t, logs.String(), "spans not sent")
}

func TestValidate(t *testing.T) {
	require.NoError(t, testConfig("https://collector").Validate())
	err := Config{Endpoint: "collector:4318", Ratio: 2}.Validate()
	for _, want := range []string{"Endpoint is", "Ratio is 2", "Node is", "Queue is", "FlushTimeout is"} {
		require.ErrorContains(t, err, want)
	}
}
