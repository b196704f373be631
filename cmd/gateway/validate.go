package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/teloo/realtime-gateway/api/metrics"
	"github.com/teloo/realtime-gateway/node/schemas"
	"github.com/teloo/realtime-gateway/streams"
)

// Values of VALIDATE_EVENTS.
const (
	validateOff     = "off"
	validateWarn    = "warn"    // what does not keep its schema is relayed, counted and, now and then, logged
	validateEnforce = "enforce" // it is a dead letter
)

// reasonInvalidSchema is the dead-letter reason of enforce.
const reasonInvalidSchema = "invalid_schema"

// warnEvery is how often at most the log tells of an event that does not keep its schema.
const warnEvery = 10 * time.Second

// eventKinds are what stands before the first _ of events' names.
var eventKinds = [...]string{"solicitud", "oferta", "evaluacion", "notificacion"}

// Outcomes of validation, as the metric names them.
const (
	outcomeValid   = iota
	outcomeFamily  // it has no schema of its own, and keeps that of its kind, or names its rooms itself
	outcomeInvalid // it does not keep its schema
	outcomes
)

var outcomeNames = [outcomes]string{"valid", "family", "invalid"}

// validation holds events to their schemas. It is safe for concurrent use. nil holds them to nothing.
type validation struct {
	set     *schemas.Set
	enforce bool
	log     *slog.Logger
	counts  [len(eventKinds)][outcomes]atomic.Uint64

	warned atomic.Int64  // unix nanoseconds of the last warning
	untold atomic.Uint64 // invalid events since then
	now    func() time.Time
}

func (p *parts) buildValidation(_ context.Context, _ *slog.Logger) (err error) {
	p.validation, err = newValidation(p.cfg.ValidateEvents, p.log)
	return err
}

func newValidation(mode string, log *slog.Logger) (*validation, error) {
	if mode == validateOff {
		return nil, nil
	}
	set, err := schemas.Compile()
	return &validation{set: set, enforce: mode == validateEnforce, log: log, now: time.Now}, err
}

// check returns a *streams.RejectError of an event that is not to be relayed.
func (v *validation) check(ev streams.Event) error {
	if v == nil {
		return nil
	}
	match, err := v.set.Check(ev.Name, ev.Data, ev.Rooms != nil)
	outcome := outcomeValid
	switch {
	case err != nil:
		outcome = outcomeInvalid
	case match != schemas.Listed:
		outcome = outcomeFamily
	}
	v.count(ev.Name, outcome)
	switch {
	case err == nil:
		return nil
	case v.enforce:
		return &streams.RejectError{Reason: reasonInvalidSchema, Err: err}
	}
	v.warn(ev, err)
	return nil
}

// refuses is check for who has not written the event yet: the error of enforce, and nothing is counted or logged.
func (v *validation) refuses(ev streams.Event) error {
	if v == nil || !v.enforce {
		return nil
	}
	_, err := v.set.Check(ev.Name, ev.Data, ev.Rooms != nil)
	return err
}

func (v *validation) count(event string, outcome int) {
	kind, _, _ := strings.Cut(event, "_")
	if i := slices.Index(eventKinds[:], kind); i >= 0 {
		v.counts[i][outcome].Add(1)
	}
}

// warn says in the log what is wrong with one of the events, and how many others there were since it last did.
func (v *validation) warn(ev streams.Event, err error) {
	at, last := v.now().UnixNano(), v.warned.Load()
	if at-last < int64(warnEvery) || !v.warned.CompareAndSwap(last, at) {
		v.untold.Add(1)
		return
	}
	v.log.Warn("an event does not keep its schema", "event", ev.Name, "id", ev.ID, "others", v.untold.Swap(0), "err", err)
}

// of is how often events of a kind had an outcome.
func (v *validation) of(kind, outcome int) uint64 {
	if v == nil {
		return 0
	}
	return v.counts[kind][outcome].Load()
}

// validationMetrics stay 0 with VALIDATE_EVENTS=off.
var validationMetrics = []row{{
	Name: "teloo_events_validated_total", Kind: metrics.Counter, Labels: []string{"kind", "outcome"},
	Help: "Events held to their schemas: `valid`, `family` (there is none of its own), `invalid`",
	Values: func(f *figures, emit emit) {
		for i, kind := range eventKinds {
			for outcome, name := range outcomeNames {
				emit(float64(f.validation.of(i, outcome)), kind, name)
			}
		}
	},
}}

// violationOf says how an event's data does not keep its schema; "" if it does. For the tools, which validate whatever
// VALIDATE_EVENTS says.
func violationOf(event string, data json.RawMessage, ownRooms bool) (string, error) {
	set, err := schemas.Compile()
	if err != nil {
		return "", err
	}
	_, err = set.Check(event, data, ownRooms)
	if violation, is := errors.AsType[*schemas.ViolationError](err); is {
		return violation.Error(), nil
	}
	return "", err
}
