// Command bench measures the gateway beside servers of the same contract on Node's Socket.IO and on centrifuge: one server
// at a time on one core, a real Redis and the load on another, in alternated rounds. It writes results.json,
// results.svg and RESULTS.md; it judges nothing but the table of targets.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/teloo/realtime-gateway/deploy/bench/load"
	"github.com/teloo/realtime-gateway/node/auth"
)

type options struct {
	root, tmp, out, gateway    string
	overhead                   string
	peers, scenarios           []string
	rounds                     int
	sockets, big, connects     int
	opening                    int
	fanoutWindow, targetWindow int
	duration, settle           time.Duration
	tokens                     []string
	slowToken                  string
}

func main() {
	opt, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		err = run(ctx, opt)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	var peerList, scenarioList string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.root, "root", ".", "the repository")
	f.StringVar(&o.out, "out", "deploy/bench", "folder for results.json, results.svg and RESULTS.md")
	f.StringVar(&o.gateway, "gateway", "", "gateway binary to measure; built from the working tree if empty")
	f.StringVar(&o.overhead, "overhead", "", "compare the gateway alone with itself with one setting changed, such as METRICS=false, instead")
	f.StringVar(&peerList, "peers", "gateway,node,centrifuge", "servers, comma-separated; also centrifuge-redis, centrifuge-delay")
	f.StringVar(&scenarioList, "scenario", "all", "scenarios, comma-separated: "+strings.Join(scenarioNames(), ", "))
	f.IntVar(&o.rounds, "rounds", 3, "rounds; each runs every server once")
	f.IntVar(&o.sockets, "sockets", 5000, "sockets of most scenarios, a multiple of 50")
	f.IntVar(&o.big, "big", 10000, "sockets of idle and fanout-big")
	f.IntVar(&o.connects, "connects", 5000, "connects to be timed")
	f.IntVar(&o.opening, "opening", 64, "connects under way at once")
	f.IntVar(&o.fanoutWindow, "fanout-window", 32, "events to all under way at most when capacity is measured")
	f.IntVar(&o.targetWindow, "target-window", 1024, "the same of events to one user or room")
	f.DurationVar(&o.duration, "duration", 10*time.Second, "length of one measurement")
	f.DurationVar(&o.settle, "settle", 15*time.Second, "rest before memory is read")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 || o.rounds < 1 || o.sockets < roomSize || o.sockets%roomSize != 0 || o.big < 1 || o.connects < 1 || o.duration < 100*time.Millisecond {
		return o, errors.New("an argument is out of range; -help shows them")
	}
	o.peers = strings.Split(peerList, ",")
	if o.overhead != "" {
		o.peers = []string{"gateway"}
	}
	if o.scenarios = strings.Split(scenarioList, ","); scenarioList == "all" {
		o.scenarios = scenarioNames()
	}
	for _, name := range o.scenarios {
		if !slices.Contains(scenarioNames(), name) {
			return o, fmt.Errorf("-scenario: %q is none of %s", name, strings.Join(scenarioNames(), ", "))
		}
	}
	root, err := filepath.Abs(o.root)
	o.root = root
	return o, err
}

func run(ctx context.Context, opt options) error {
	if err := load.RaiseFiles(uint64(max(opt.sockets, opt.big) + 2000)); err != nil {
		return err
	}
	if onlineCores() < 2 {
		return errors.New("two cores are needed: one for the server, one for the load")
	}
	if os.Getenv(pinnedVar) == "" {
		if err := pin(loadCore); err != nil {
			return err
		}
	}
	var err error
	if opt.tmp, err = os.MkdirTemp("", "teloo-bench-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(opt.tmp) }() //nolint:gosec // made just now
	servers, err := peers(ctx, opt.root, opt.tmp, opt.gateway, opt.peers)
	if err != nil {
		return err
	}
	if err := opt.mint(); err != nil {
		return err
	}
	if opt.overhead != "" {
		return overhead(ctx, opt, servers[0])
	}
	res := &results{Machine: describeMachine(opt.root), Args: os.Args[1:], Servers: servers, Opt: opt}
	err = rounds(ctx, opt, servers, res)
	// What was measured before a fault is worth keeping.
	if len(res.Samples) > 0 {
		err = errors.Join(err, res.write(opt.out))
	}
	return err
}

// mint signs the tokens beforehand: it is no part of the load.
func (o *options) mint() error {
	one := func(user string) (string, error) {
		return auth.Mint(auth.MintRequest{Algorithm: "HS256", Secret: []byte(jwtSecret), User: user, Role: "advisor", TTL: 12 * time.Hour})
	}
	for i := range max(o.sockets, o.big, o.connects) {
		token, err := one(userOf(i))
		if err != nil {
			return err
		}
		o.tokens = append(o.tokens, token)
	}
	var err error
	o.slowToken, err = one(slowUser)
	return err
}

// rounds runs every population on every server, the servers in turn within each round and beginning with another in
// each.
func rounds(ctx context.Context, opt options, servers []peer, res *results) error {
	for round := range opt.rounds {
		for _, pop := range populations {
			for i := range servers {
				who := servers[(i+round)%len(servers)]
				err := runPopulation(ctx, opt, pop, who, func(scenario string, m metrics) {
					res.Samples = append(res.Samples, sample{Scenario: scenario, Peer: who.name, Round: round + 1, Metrics: m})
					fmt.Fprintf(os.Stderr, "round %d  %-16s  %-16s  %s\n", round+1, scenario, who.name, m.line(scenario))
				})
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err != nil {
					return fmt.Errorf("round %d, %s: %w", round+1, who.name, err)
				}
			}
		}
	}
	return nil
}
