// Command hostile shows that hostile clients cost only themselves. It runs a Redis and a gateway node, lets good clients
// receive events, and meanwhile attacks the node on loopback with malformed traffic, with a burst of handshakes with bad
// tokens, or with a client that does not read; then it compares what the good clients had with what they should have.
// What is sent follows from a seed. It attacks nothing but the node it started, and ends what it started by its pid.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// settings are what the scenarios are told.
type settings struct {
	gateway  string        // binary
	duration time.Duration // of an attack
	// reference is how long the good clients are measured without one.
	reference time.Duration
	// settle is how long it may take until nothing is left of the attackers.
	settle             time.Duration
	seed               uint64
	clients            int
	attackers          int
	rate               float64
	first, count       int
	only               string
	handshakes, atOnce int
	progress           func(format string, args ...any)
	// attack plays the attackers; in a process of its own but in tests.
	attack attacker
}

type scenario struct {
	name string
	run  func(context.Context, settings) (*report, error)
}

func scenarios() []scenario {
	return []scenario{{"malformed", malformed}, {"burst", burst}, {"slow", slow}, {"kinds", kinds}}
}

func main() { os.Exit(run()) }

func parse() (f settings, names string) {
	flag.StringVar(&names, "scenario", "malformed,burst,slow", "scenarios, comma-separated; kinds says what each kind of attack costs by itself")
	flag.StringVar(&f.gateway, "gateway", "bin/gateway", "gateway binary")
	flag.DurationVar(&f.duration, "duration", time.Minute, "how long malformed lasts, and slow up to 2m; the run without an attack before it takes a fifth, at least 30s")
	flag.DurationVar(&f.settle, "settle", 2*time.Minute, "how long it may take until nothing is left of the attackers")
	flag.Uint64Var(&f.seed, "seed", 1, "seed of the attacks")
	flag.IntVar(&f.clients, "clients", 500, "good clients, a multiple of 50")
	flag.IntVar(&f.attackers, "attackers", 64, "attacks under way at once")
	flag.Float64Var(&f.rate, "rate", 400, "attacks a second; 0: as many as the attackers can")
	flag.IntVar(&f.first, "first", 0, "number of the first attack, to play one again")
	flag.IntVar(&f.count, "count", 0, "how many attacks are played; 0: for the duration")
	flag.StringVar(&f.only, "only", "", "the one kind of attack that is played; default: all")
	flag.IntVar(&f.handshakes, "handshakes", 20_000, "handshakes of burst")
	flag.IntVar(&f.atOnce, "at-once", 400, "handshakes of burst under way at once")
	quiet := flag.Bool("quiet", false, "print the table only")
	flag.Parse()
	f.reference = max(f.duration/5, 30*time.Second)
	f.attack = attackFromOutside
	began := time.Now()
	f.progress = func(format string, args ...any) {
		if !*quiet {
			fmt.Fprintf(os.Stderr, "%6.1fs "+format+"\n", append([]any{time.Since(began).Seconds()}, args...)...)
		}
	}
	return f, names
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getenv(orderVar) != "" {
		return obey(ctx)
	}
	f, names := parse()
	chosen, err := choose(names)
	if err == nil {
		err = f.check()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		return 2
	}
	code := 0
	var reports []*report
	for _, s := range chosen {
		f.progress("%s, seed %d", s.name, f.seed)
		r, err := s.run(ctx, f)
		if err != nil {
			fmt.Fprintf(os.Stderr, "hostile: %s: %v\n", s.name, err)
			code = 1
		}
		if r != nil {
			reports = append(reports, r)
		}
	}
	show(os.Stdout, reports)
	for _, r := range reports {
		if r.failed() {
			code = 1
		}
	}
	return code
}

func choose(names string) ([]scenario, error) {
	var chosen []scenario
	for name := range strings.SplitSeq(names, ",") {
		found := false
		for _, s := range scenarios() {
			if s.name == name {
				chosen, found = append(chosen, s), true
			}
		}
		if !found {
			return nil, fmt.Errorf("no scenario is called %q; there are malformed, burst, slow and kinds", name)
		}
	}
	return chosen, nil
}

// check makes the binary's path absolute, since the node runs elsewhere, and looks whether it is there.
func (f *settings) check() error {
	if f.clients < roomSize || f.clients%roomSize != 0 || f.duration <= 0 {
		return errors.New("-clients has to be a multiple of 50, -duration more than 0")
	}
	path, err := filepath.Abs(f.gateway)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("%w: run make build, and this from the top of the repository, or see -help", err)
	}
	f.gateway = path
	return nil
}
