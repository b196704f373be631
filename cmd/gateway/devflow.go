package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/teloo/realtime-gateway/streams"
)

// flow writes a believable stream of the marketplace's events, so that the demo page has something to show: requests
// for spare parts that are opened, offered on, decided, evaluated and closed.
type flow struct {
	publisher *streams.Publisher
	every     time.Duration
	log       *slog.Logger
	rng       *rand.Rand

	next int
	open []*request
}

// request is one solicitud on its way.
type request struct {
	id, client string
	part, city string
	offers     []offer
	decided    bool
}

type offer struct {
	id, advisor string
	price       int
}

const (
	maxOpen     = 12
	demoClients = 5
	demoAdvisor = 4
)

var (
	demoParts = []string{"Pastillas de freno", "Filtro de aceite", "Amortiguador delantero", "Batería 12 V", "Correa de repartición", "Radiador"}
	demoCars  = []string{"Renault Logan 2016", "Chevrolet Spark 2014", "Mazda 3 2018", "Kia Picanto 2020", "Toyota Hilux 2012"}
	demoCity  = []string{"Bogotá", "Medellín", "Cali", "Barranquilla", "Bucaramanga"}
)

func newFlow(publisher *streams.Publisher, every time.Duration, log *slog.Logger) *flow {
	return &flow{publisher: publisher, every: every, log: log, rng: rand.New(rand.NewPCG(1, 2))} //nolint:gosec // a demonstration
}

// Run writes an event about every f.every until ctx ends.
func (f *flow) Run(ctx context.Context) error {
	for {
		pause := time.Duration(float64(f.every) * (0.5 + f.rng.Float64()))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		if _, err := f.publisher.Publish(ctx, f.step()); err != nil && ctx.Err() == nil {
			f.log.Warn("demo event not written", "err", err)
		}
	}
}

// step moves one request on and returns the event of it.
func (f *flow) step() streams.Event {
	if len(f.open) == 0 || (len(f.open) < maxOpen && f.rng.IntN(4) == 0) {
		return f.create()
	}
	i := f.rng.IntN(len(f.open))
	r := f.open[i]
	switch {
	case r.decided:
		f.open = append(f.open[:i], f.open[i+1:]...)
		return f.finish(r)
	case len(r.offers) < 2 || (len(r.offers) < 4 && f.rng.IntN(2) == 0):
		return f.offer(r)
	default:
		return f.accept(r)
	}
}

func (f *flow) create() streams.Event {
	f.next++
	r := &request{
		id:     fmt.Sprintf("S-%04d", f.next),
		client: fmt.Sprintf("client-%d", 1+f.rng.IntN(demoClients)),
		part:   demoParts[f.rng.IntN(len(demoParts))],
		city:   demoCity[f.rng.IntN(len(demoCity))],
	}
	f.open = append(f.open, r)
	return event("solicitud_created", map[string]any{
		"solicitud_id": r.id, "client_id": r.client, "part": r.part, "city": r.city,
		"vehicle": demoCars[f.rng.IntN(len(demoCars))],
	})
}

func (f *flow) offer(r *request) streams.Event {
	o := offer{
		id:      fmt.Sprintf("%s-O%d", r.id, len(r.offers)+1),
		advisor: fmt.Sprintf("advisor-%d", 1+f.rng.IntN(demoAdvisor)),
		price:   (40 + f.rng.IntN(400)) * 1000,
	}
	r.offers = append(r.offers, o)
	return event("oferta_submitted", map[string]any{
		"solicitud_id": r.id, "oferta_id": o.id, "advisor_id": o.advisor, "client_id": r.client,
		"price": o.price, "currency": "COP", "delivery_days": 1 + f.rng.IntN(6),
	})
}

func (f *flow) accept(r *request) streams.Event {
	r.decided = true
	best := r.offers[0]
	for _, o := range r.offers[1:] {
		if o.price < best.price {
			best = o
		}
	}
	return event("oferta_accepted", map[string]any{
		"solicitud_id": r.id, "oferta_id": best.id, "advisor_id": best.advisor, "client_id": r.client, "price": best.price,
	})
}

func (f *flow) finish(r *request) streams.Event {
	return event("evaluacion_created", map[string]any{
		"solicitud_id": r.id, "client_id": r.client, "advisor_id": r.offers[0].advisor, "stars": 3 + f.rng.IntN(3),
	})
}

func event(name string, data map[string]any) streams.Event {
	raw, err := json.Marshal(data)
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	return streams.Event{Name: name, Data: raw, OccurredAt: time.Now()}
}
