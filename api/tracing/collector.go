package tracing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// ErrCollector is why spans were not taken: the collector's status, or that it could not be asked.
var ErrCollector = errors.New("tracing: collector does not take spans")

// collector sends spans by OTLP 1.x over HTTP, as protobuf: the protocol's own exporter brings the whole of gRPC
// with it. The exporter in front of it calls one method at a time.
type collector struct {
	url    string
	header http.Header
	client *http.Client
}

var _ otlptrace.Client = (*collector)(nil)

func newCollector(url string, header map[string]string) *collector {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the standard library's
	c := &collector{url: url, header: http.Header{}, client: &http.Client{
		Transport: transport,
		// A redirect would take the headers, keys among them, to another host, and mostly make a GET of the POST,
		// whose 200 says nothing of spans.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for name, value := range header {
		c.header.Set(name, value)
	}
	c.header.Set("Content-Type", "application/x-protobuf")
	return c
}

func (c *collector) Start(context.Context) error { return nil }

func (c *collector) Stop(context.Context) error {
	c.client.CloseIdleConnections()
	return nil
}

const firstPause = 100 * time.Millisecond

// UploadTraces sends spans, again while ctx lasts if the collector asks for that. TracesData is on the wire what
// ExportTraceServiceRequest is, whose package needs gRPC.
func (c *collector) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("tracing: encode spans: %w", err)
	}
	for pause := firstPause; ; pause *= 2 {
		again, err := c.post(ctx, body)
		if err == nil || again < 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(max(pause, again)):
		}
	}
}

// post sends a body once. With an error it returns after how long to try again at the earliest; negative: not at all.
func (c *collector) post(ctx context.Context, body []byte) (again time.Duration, err error) {
	const never = -1
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return never, fmt.Errorf("%w: %w", ErrCollector, err)
	}
	req.Header = c.header.Clone()
	res, err := c.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrCollector, err)
	}
	defer func() { _ = res.Body.Close() }()                      // nothing of it is needed
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection is used again
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After")) // none, or a date, is 0
		return time.Duration(max(seconds, 0)) * time.Second, fmt.Errorf("%w: %s", ErrCollector, res.Status)
	}
	if res.StatusCode/100 != 2 {
		return never, fmt.Errorf("%w: %s", ErrCollector, res.Status)
	}
	return 0, nil
}
