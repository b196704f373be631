package main

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/teloo/realtime-gateway/adapter"
	"github.com/teloo/realtime-gateway/api/tracing"
	"github.com/teloo/realtime-gateway/streams"
)

func (c Config) checkTracing(k *checker) {
	within(k, "TRACE_ENTRIES", c.TraceEntries, 0, 10_000_000)
	if !(c.OTLPRatio >= 0 && c.OTLPRatio <= 1) {
		k.faultf("OTLP_RATIO", "is %v; 0 to 1 are allowed", c.OTLPRatio)
	}
	if _, err := otlpHeaders(string(c.OTLPHeaders)); err != nil {
		k.faultf("OTEL_EXPORTER_OTLP_HEADERS", "%v", err)
	}
	if c.OTLPEndpoint == "" {
		return
	}
	u, err := url.Parse(c.OTLPEndpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		k.faultf("OTLP_ENDPOINT", "is no http or https URL")
	case u.User != nil:
		k.faultf("OTLP_ENDPOINT", "holds a user or password; OTEL_EXPORTER_OTLP_HEADERS is for those")
	}
}

// tracingConfig is of use with an endpoint.
func (c Config) tracingConfig() tracing.Config {
	t := tracing.DefaultConfig()
	t.Endpoint = c.OTLPEndpoint
	t.Headers, _ = otlpHeaders(string(c.OTLPHeaders)) // has been checked
	t.Ratio = c.OTLPRatio
	t.Node = c.NodeName
	t.Version = buildVersion()
	return t
}

// otlpHeaders reads "name=value,name=value", each percent-encoded, as OpenTelemetry's variable of that name has it.
func otlpHeaders(text string) (map[string]string, error) {
	headers := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		if name = strings.TrimSpace(name); !ok || !httpguts.ValidHeaderFieldName(name) {
			return nil, errBadHeaders
		}
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if err != nil || !httpguts.ValidHeaderFieldValue(value) {
			return nil, errBadHeaders
		}
		headers[name] = value
	}
	return headers, nil
}

var errBadHeaders = errors.New("is no list of name=value, values percent-encoded")

func (p *parts) buildTracer(ctx context.Context, log *slog.Logger) (err error) {
	if p.cfg.OTLPEndpoint == "" {
		return nil
	}
	p.tracer, err = tracing.New(ctx, p.cfg.tracingConfig(), log)
	return err
}

// consumeSpan begins an event's journey; nil if it is not traced.
func (p *parts) consumeSpan(ev streams.Event) *tracing.Journey {
	if p.tracer == nil {
		return nil
	}
	return p.tracer.Consume(tracing.Event{
		TraceParent: ev.TraceParent, ID: ev.ID, EventID: ev.EventID, ReplayedFrom: ev.ReplayedFrom, Name: ev.Name,
	})
}

func settledSpan(j *tracing.Journey) func(streams.Outcome) {
	if j == nil {
		return nil
	}
	return func(o streams.Outcome) { j.Settled(string(o)) }
}

// reasonOf is why an event is a dead letter; "" without an error.
func reasonOf(err error) string {
	var reject *streams.RejectError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &reject):
		return reject.Reason
	default:
		return streams.ReasonUnroutable
	}
}

// deliveredSpan is nil where nobody wants to know.
func (p *parts) deliveredSpan() func(adapter.Delivered) {
	if p.tracer == nil {
		return nil
	}
	return func(d adapter.Delivered) {
		p.tracer.Delivered(tracing.Delivery{
			Event: tracing.Event{TraceParent: d.TraceParent, ID: d.Source, Name: d.Event},
			Entry: d.Entry, Rooms: d.Rooms, Sockets: int(d.Sockets), Begin: d.Begin, End: d.End,
		})
	}
}
