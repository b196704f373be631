// Command ledger shows what clients lose when something goes wrong, which is to be nothing. It runs a Redis, a few
// gateway nodes behind HAProxy and many clients, official ones in all faults but the storm, writes numbered events,
// injects a fault, and compares what each client received with what the event contract says it should have. It ends
// what it started, and nothing else.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

func main() {
	// What this process spends on itself, the nodes beside it do not have.
	debug.SetGCPercent(400)
	os.Exit(run())
}

type flags struct {
	settings

	faults string
	runs   int
	seed   uint64
	list   bool
}

func parse() *flags {
	f := &flags{}
	flag.StringVar(&f.faults, "fault", "control", "faults to inject, comma-separated, or all")
	flag.BoolVar(&f.list, "list", false, "list the faults and end")
	flag.IntVar(&f.runs, "runs", 1, "runs of each fault")
	flag.IntVar(&f.clients, "clients", 300, "clients, half of them long-polling")
	flag.IntVar(&f.nodes, "nodes", 3, "gateway nodes")
	flag.IntVar(&f.deliveries, "deliveries", 20_000, "deliveries of a run at least")
	flag.Uint64Var(&f.seed, "seed", 1, "seed of the first run's events")
	flag.StringVar(&f.gateway, "gateway", "bin/gateway", "gateway binary")
	flag.StringVar(&f.haproxy, "haproxy", "deploy/haproxy/haproxy.cfg", "HAProxy configuration")
	flag.StringVar(&f.worker, "worker", "deploy/e2e/ledger/worker.mjs", "the clients' program")
	flag.StringVar(&f.target.address, "attach", "", "load balancer, host:port, of a cluster that runs already; its JWT secret is LEDGER_JWT_SECRET")
	flag.StringVar(&f.target.redis, "redis", "", "with -attach: its Redis, host:port")
	flag.StringVar(&f.target.harm, "harm", "true", "with -attach: shell command that does the harm and mends it")
	flag.StringVar(&f.target.label, "label", "harm", "with -attach: what the harm is called")
	flag.BoolVar(&f.target.light, "light", false, "with -attach: light clients, WebSocket only, for what is not sticky")
	quiet := flag.Bool("quiet", false, "print the table only")
	flag.Parse()
	began := time.Now()
	f.progress = func(format string, args ...any) {
		if !*quiet {
			fmt.Fprintf(os.Stderr, "%6.1fs "+format+"\n", append([]any{time.Since(began).Seconds()}, args...)...)
		}
	}
	return f
}

func run() int {
	f := parse()
	if f.list {
		for _, one := range faults() {
			fmt.Fprintf(os.Stdout, "%-14s %s\n", one.about().name, one.about().text)
		}
		return 0
	}
	chosen, err := f.choose()
	if err == nil {
		err = f.locate()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ledger:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	results := f.playAll(ctx, chosen)
	table(os.Stdout, results)
	for _, r := range results {
		if len(r.failures) > 0 {
			return 1
		}
	}
	return 0
}

func (f *flags) playAll(ctx context.Context, chosen []fault) []*result {
	var results []*result
	for _, one := range chosen {
		for i := range f.runs {
			if ctx.Err() != nil {
				return results
			}
			name := one.about().name
			f.progress("%s, run %d of %d", name, i+1, f.runs)
			began := time.Now()
			r := play(ctx, one, f.settings, f.seed+uint64(i))
			r.run = i + 1
			verdict := "ok"
			if len(r.failures) > 0 {
				verdict = "FAILED: " + r.failures[0]
			}
			f.progress("  %s, after %v", verdict, time.Since(began).Round(time.Second))
			results = append(results, r)
		}
	}
	return results
}

func (f *flags) choose() ([]fault, error) {
	if f.target.address == "" {
		return choose(f.faults)
	}
	if key := os.Getenv("LEDGER_JWT_SECRET"); key != "" {
		secret = key
	}
	return []fault{harmed{target: f.target}}, nil
}

func choose(names string) ([]fault, error) {
	if names == "all" {
		return faults(), nil
	}
	var chosen []fault
	for name := range strings.SplitSeq(names, ",") {
		found := false
		for _, one := range faults() {
			if one.about().name == name {
				chosen, found = append(chosen, one), true
			}
		}
		if !found {
			return nil, fmt.Errorf("no fault is called %q; see -list", name)
		}
	}
	return chosen, nil
}

// locate makes the files' paths absolute, since the processes run elsewhere, and finds out whether they are there.
func (f *flags) locate() error {
	if f.clients < 30 || f.nodes < 2 || f.runs < 1 {
		return fmt.Errorf("at least 30 clients, 2 nodes and 1 run, not %d, %d and %d", f.clients, f.nodes, f.runs)
	}
	paths := []*string{&f.worker}
	if f.target.address == "" {
		paths = append(paths, &f.gateway, &f.haproxy)
	}
	for _, path := range paths {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		if _, err := os.Stat(absolute); err != nil {
			return fmt.Errorf("%w: run make build, and this from the top of the repository, or see -help", err)
		}
		*path = absolute
	}
	return nil
}
