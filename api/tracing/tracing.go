// Package tracing makes OpenTelemetry spans of what the nodes do with an event (consume, route, commit, and one delivery
// per node) and sends them to a collector. The Core API's trace context goes on in them, and its sampling decision holds;
// events without one are sampled by a ratio. It knows events by their names and ids only: no user and nothing of their data
// ever gets into a span. It never makes an event wait.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config says where spans go.
type Config struct {
	// Endpoint is the collector's address for OTLP over HTTP, as http://host:4318; its path defaults to /v1/traces. Required.
	Endpoint string
	// Headers go along with the spans, as a collector's key. Default none.
	Headers map[string]string
	// Ratio is how many of the events without a trace context are traced, 0 to 1. Default 0.01.
	Ratio float64
	// Node and Version describe this process. Node is required.
	Node, Version string
	// Queue is how many spans may wait to be sent; more are dropped. Default 8,192.
	Queue int
	// FlushTimeout bounds the sending of what waits at the end. Default 3 s.
	FlushTimeout time.Duration
}

// DefaultConfig returns the defaults; Endpoint and Node have to be set.
func DefaultConfig() Config {
	return Config{Ratio: 0.01, Queue: 8192, FlushTimeout: 3 * time.Second}
}

// Validate reports all faults of the configuration at once.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("tracing: "+format, args...)) }
	if u, err := url.Parse(c.Endpoint); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		fault("Endpoint is no http or https URL")
	}
	if !(c.Ratio >= 0 && c.Ratio <= 1) {
		fault("Ratio is %v, want 0 to 1", c.Ratio)
	}
	if c.Node == "" {
		fault("Node is empty")
	}
	if c.Queue < 1 {
		fault("Queue is %d, want 1 or more", c.Queue)
	}
	if c.FlushTimeout <= 0 {
		fault("FlushTimeout is %v", c.FlushTimeout)
	}
	return errors.Join(faults...)
}

// traces is the endpoint with a path.
func (c Config) traces() string {
	u, err := url.Parse(c.Endpoint)
	if err != nil || strings.Trim(u.Path, "/") != "" {
		return c.Endpoint
	}
	return u.JoinPath("v1", "traces").String()
}

// Tracer makes spans. It is safe for concurrent use.
type Tracer struct {
	cfg      Config
	log      *slog.Logger
	provider *sdk.TracerProvider
	tracer   trace.Tracer

	mu     sync.Mutex
	warned time.Time // mu
}

// New returns a Tracer that sends once Run does. The collector need not be there. It becomes the process' handler of
// OpenTelemetry's own errors.
func New(ctx context.Context, cfg Config, log *slog.Logger) (*Tracer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	exporter, err := otlptrace.New(ctx, newCollector(cfg.traces(), cfg.Headers))
	if err != nil {
		return nil, fmt.Errorf("tracing: exporter: %w", err)
	}
	described := resource.NewSchemaless(
		attribute.String("service.name", "teloo-gateway"),
		attribute.String("service.instance.id", cfg.Node),
		attribute.String("service.version", cfg.Version),
	)
	t := &Tracer{cfg: cfg, log: log.With("component", "tracing")}
	t.provider = sdk.NewTracerProvider(
		sdk.WithBatcher(exporter, sdk.WithMaxQueueSize(cfg.Queue), sdk.WithExportTimeout(cfg.FlushTimeout)),
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(cfg.Ratio))),
		sdk.WithResource(described),
	)
	t.tracer = t.provider.Tracer("github.com/teloo/realtime-gateway")
	otel.SetErrorHandler(otel.ErrorHandlerFunc(t.failed))
	return t, nil
}

// Run waits for ctx to end, and then sends what waits, within Config.FlushTimeout.
func (t *Tracer) Run(ctx context.Context) error {
	<-ctx.Done()
	t.Close()
	return nil
}

// Close is for a Tracer that does not run any more, or never did. Further calls do nothing.
func (t *Tracer) Close() {
	limit, cancel := context.WithTimeout(context.Background(), t.cfg.FlushTimeout)
	defer cancel()
	if err := t.provider.Shutdown(limit); err != nil {
		t.log.Warn("spans not sent at the end", "err", err)
	}
}

// failed warns of what went wrong in sending, once a minute at most.
func (t *Tracer) failed(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); now.Sub(t.warned) > time.Minute {
		t.warned = now
		t.log.Warn("spans not sent", "err", err)
	}
}

// Event is what a span says of an event. What is empty is left out.
type Event struct {
	// TraceParent is the W3C trace context that the event came with.
	TraceParent string
	// ID is the event's id in the stream, EventID the publisher's, and ReplayedFrom the dead letter that it was.
	ID, EventID, ReplayedFrom string
	Name                      string
}

func (t *Tracer) attributes(e Event) []attribute.KeyValue {
	list := append(make([]attribute.KeyValue, 0, 8),
		attribute.String("teloo.node", t.cfg.Node), attribute.String("teloo.event", e.Name), attribute.String("messaging.system", "redis"))
	for _, a := range [...]struct{ key, value string }{
		{"messaging.message.id", e.ID}, {"teloo.event_id", e.EventID}, {"teloo.replayed_from", e.ReplayedFrom},
	} {
		if a.value != "" {
			list = append(list, attribute.String(a.key, a.value))
		}
	}
	return list
}

var format propagation.TraceContext

const header = "traceparent"

// within is a context in the trace of a traceparent.
func within(parent string) context.Context {
	if parent == "" {
		return context.Background()
	}
	return format.Extract(context.Background(), propagation.MapCarrier{header: parent})
}

// Journey is an event's way through this node. A nil Journey is one that is not traced; its methods do nothing. They are
// to be called one after the other.
type Journey struct {
	tracer  trace.Tracer
	ctx     context.Context //nolint:containedctx // of the span consume, which is not a call's
	consume trace.Span
	step    trace.Span // route, then commit
}

// Consume begins an event's spans consume and route; nil if the event is not sampled.
func (t *Tracer) Consume(e Event) *Journey {
	ctx, span := t.tracer.Start(within(e.TraceParent), "consume", trace.WithSpanKind(trace.SpanKindConsumer))
	if !span.IsRecording() {
		return nil
	}
	span.SetAttributes(t.attributes(e)...)
	j := &Journey{tracer: t.tracer, ctx: ctx, consume: span}
	_, j.step = t.tracer.Start(ctx, "route") //nolint:spancheck // Routed ends it
	return j
}

// Routed ends route. With an error, whose text is not kept, the event is a dead letter for reason, and its journey ends.
func (j *Journey) Routed(rooms int, reason string) {
	if j == nil {
		return
	}
	j.step.SetAttributes(attribute.Int("teloo.rooms", rooms))
	if reason != "" {
		j.step.SetStatus(codes.Error, reason)
		j.consume.SetStatus(codes.Error, reason)
		j.consume.SetAttributes(attribute.String("teloo.outcome", "dead"))
	}
	j.step.End()
	if reason != "" {
		j.consume.End()
	}
}

// Commit begins commit, from the wait for the event's turn on, and returns the trace context for the deliveries.
func (j *Journey) Commit() (traceParent string) {
	if j == nil {
		return ""
	}
	var ctx context.Context
	ctx, j.step = j.tracer.Start(j.ctx, "commit", trace.WithSpanKind(trace.SpanKindProducer)) //nolint:spancheck // Settled ends it
	carrier := propagation.MapCarrier{}
	format.Inject(ctx, carrier)
	return carrier[header]
}

// Settled ends commit and consume.
func (j *Journey) Settled(outcome string) {
	if j == nil {
		return
	}
	j.step.SetAttributes(attribute.String("teloo.outcome", outcome))
	j.step.End()
	j.consume.SetAttributes(attribute.String("teloo.outcome", outcome))
	j.consume.End()
}

// Delivery is an entry of the log that was handed to sockets of this node.
type Delivery struct {
	Event
	// Entry is its id in the log.
	Entry          string
	Rooms, Sockets int
	Begin, End     time.Time
}

// Delivered makes the span deliver.
func (t *Tracer) Delivered(d Delivery) {
	_, span := t.tracer.Start(within(d.TraceParent), "deliver", trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(d.Begin))
	if span.IsRecording() {
		span.SetAttributes(t.attributes(d.Event)...)
		span.SetAttributes(attribute.String("teloo.log_entry", d.Entry), attribute.Int("teloo.rooms", d.Rooms), attribute.Int("teloo.sockets", d.Sockets))
	}
	span.End(trace.WithTimestamp(d.End))
}
