// Command scaling says how far the broadcast log carries: it measures what Redis' sending of it to many nodes costs, and
// computes from that, and from what `make bench` measured, what a cluster of a given size needs. It owns the tables of
// deploy/SCALING.md; it never starts a node.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	measured := flag.Bool("measure", true, "measure a redis-server of its own, for about a minute, beside computing")
	step := flag.Duration("step", 3*time.Second, "how long each rate is measured")
	tick := flag.Duration("tick", 5*time.Millisecond, "time between two commits; shorter, and entries are committed and read singly")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	p := plan{Readers: []int{1, 10, 50, 100}, Rates: []int{100, 500, 1000, 2000, 4000, 8000}, Step: *step, Tick: *tick, Size: dataBytes}
	err := run(ctx, os.Stdout, *measured, p)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "scaling:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, measured bool, p plan) error {
	if measured {
		points, err := measure(ctx, p)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(out, "Measured here:\n\n"+pointsTable(points)+"\n"); err != nil {
			return err
		}
	}
	_, err := io.WriteString(out, "Computed:\n\n"+sizesTable()+"\n"+logTable()+"\n"+shardsTable())
	return err
}
