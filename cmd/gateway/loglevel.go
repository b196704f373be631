package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// levelStep is between two of slog's levels.
const levelStep = slog.LevelInfo - slog.LevelDebug

// logLevel is what the log holds at present. It is safe for concurrent use.
type logLevel struct {
	slog.LevelVar

	configured slog.Level

	mu sync.Mutex
	// until is when the configured level is due again; nil: it is not. mu
	until *time.Timer
}

func newLogLevel(configured slog.Level) *logLevel {
	l := &logLevel{configured: configured}
	l.Set(configured)
	return l
}

// change sets the level, for a duration after which the configured one is back (0: until the next change), and says so.
func (l *logLevel) change(log *slog.Logger, to slog.Level, lasting time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget()
	l.put(log, to, lasting)
	if lasting <= 0 {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(lasting, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.until == timer { // else another change came first
			l.until = nil
			l.put(log, l.configured, 0)
		}
	})
	l.until = timer
}

// put changes the level under mu. The line is seen at the old level or the new one.
func (l *logLevel) put(log *slog.Logger, to slog.Level, lasting time.Duration) {
	from := l.Level()
	l.Set(to)
	log.Log(context.Background(), max(slog.LevelInfo, to), "log level changed", "from", from, "to", to, "lasting", lasting)
}

// forget drops the return to the configured level. mu is held.
func (l *logLevel) forget() {
	if l.until != nil {
		l.until.Stop()
		l.until = nil
	}
}

// run follows the signals until ctx ends: SIGUSR1 makes the log one step more verbose, SIGUSR2 as configured.
func (l *logLevel) run(ctx context.Context, log *slog.Logger) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	for {
		select {
		case <-ctx.Done():
			l.mu.Lock()
			l.forget()
			l.mu.Unlock()
			return nil
		case s := <-signals:
			to := l.configured
			if s == syscall.SIGUSR1 {
				to = max(l.Level()-levelStep, slog.LevelDebug)
			}
			l.change(log, to, 0)
		}
	}
}
