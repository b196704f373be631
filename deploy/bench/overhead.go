package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// overhead runs the wanted scenarios against the gateway as it is and with one setting changed, in turns, and prints by how
// much the work for a second of processor time differs. It writes no results.
func overhead(ctx context.Context, opt options, gateway peer) error {
	if !strings.Contains(opt.overhead, "=") {
		return errors.New("-overhead: is not NAME=value")
	}
	changed := gateway
	changed.env = append(slices.Clone(gateway.env), opt.overhead)
	const perCPU = "deliveries_per_cpu_second"
	plain, other := map[string][]float64{}, map[string][]float64{}
	for round := range opt.rounds {
		turns := []func() error{
			func() error { return measureInto(ctx, opt, gateway, perCPU, plain) },
			func() error { return measureInto(ctx, opt, changed, perCPU, other) },
		}
		if round%2 == 1 {
			slices.Reverse(turns) // so that what drifts is nobody's
		}
		for _, turn := range turns {
			if err := turn(); err != nil {
				return err
			}
		}
	}
	for _, name := range opt.scenarios {
		if len(plain[name]) == 0 {
			continue
		}
		a, b := median(plain[name]), median(other[name])
		fmt.Fprintf(os.Stdout, "%s: %.0f deliveries a CPU second, %.0f with %s: as it is it does %.2f %% less\n", name, a, b, opt.overhead, 100*(1-a/b))
	}
	return nil
}

func measureInto(ctx context.Context, opt options, who peer, figure string, into map[string][]float64) error {
	for _, pop := range populations {
		err := runPopulation(ctx, opt, pop, who, func(name string, m metrics) {
			if value, ok := m[figure]; ok {
				into[name] = append(into[name], value)
				fmt.Fprintf(os.Stderr, "%s %v: %.0f\n", name, who.env, value)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}
