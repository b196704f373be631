package tracing

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

var someSpans = []*tracepb.ResourceSpans{{SchemaUrl: "s", ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{Name: "deliver"}}}}}}

func TestSpansAreARequestOfOTLP(t *testing.T) {
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "application/x-protobuf", r.Header.Get("Content-Type"))
		assert.Equal(t, "a key", r.Header.Get("Api-Key"))
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		var request collectorpb.ExportTraceServiceRequest
		assert.NoError(t, proto.Unmarshal(body, &request))
		assert.True(t, proto.Equal(&collectorpb.ExportTraceServiceRequest{ResourceSpans: someSpans}, &request))
	}))
	defer sink.Close()
	c := newCollector(sink.URL, map[string]string{"api-key": "a key"})
	require.NoError(t, c.UploadTraces(t.Context(), someSpans))
	require.NoError(t, c.Stop(t.Context()))
}

func TestACollectorThatIsBusyIsAskedAgain(t *testing.T) {
	for name, status := range map[string]int{"busy": http.StatusServiceUnavailable, "too many": http.StatusTooManyRequests, "wrong": http.StatusBadRequest} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if asked.Add(1) == 1 {
					w.WriteHeader(status)
				}
			}))
			defer sink.Close()
			c := newCollector(sink.URL, nil)
			defer c.client.CloseIdleConnections()
			err := c.UploadTraces(t.Context(), someSpans)
			if status == http.StatusBadRequest {
				require.ErrorIs(t, err, ErrCollector)
				require.EqualValues(t, 1, asked.Load())
				return
			}
			require.NoError(t, err)
			require.EqualValues(t, 2, asked.Load())
		})
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect} {
		var asked atomic.Int32
		elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
		defer elsewhere.Close()
		sink := httptest.NewServer(http.RedirectHandler(elsewhere.URL, status))
		defer sink.Close()
		c := newCollector(sink.URL, map[string]string{"api-key": "a key"})
		defer c.client.CloseIdleConnections()
		require.ErrorIs(t, c.UploadTraces(t.Context(), someSpans), ErrCollector, status)
		require.Zero(t, asked.Load(), status)
	}
}

func TestACollectorIsWaitedForAsLongAsItMay(t *testing.T) {
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer sink.Close()
	c := newCollector(sink.URL, nil)
	defer c.client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, c.UploadTraces(ctx, someSpans), ErrCollector)
}
