package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// exitSignalled is added to the number of a second signal: as shells count, 130 for SIGINT and 143 for SIGTERM.
const exitSignalled = 128

// stopSignals returns a context that the first SIGINT or SIGTERM ends. The second one exits at once with its code, also
// where the process is a container's first, which signals left to the system's own handling would not end.
func stopSignals(exit func(code int)) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			s, more := <-signals
			switch {
			case !more:
				return
			case ctx.Err() == nil:
				cancel()
			default:
				number, _ := s.(syscall.Signal)
				exit(exitSignalled + int(number))
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		<-ended
		cancel()
	}
}
