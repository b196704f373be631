package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/teloo/realtime-gateway/api/admin"
)

// ofGateway is the log for lines of this package; the parts make their own of the base.
func ofGateway(base *slog.Logger) *slog.Logger { return base.With("component", "gateway") }

// levelStep is between two of slog's levels.
const levelStep = slog.LevelInfo - slog.LevelDebug

// logLevel is what the log holds at present. It is safe for concurrent use.
type logLevel struct {
	slog.LevelVar

	configured slog.Level

	mu sync.Mutex
	// until makes the configured level come back at due; nil: it does not by itself. mu
	until *time.Timer
	due   time.Time // mu
}

func newLogLevel(configured slog.Level) *logLevel {
	l := &logLevel{configured: configured}
	l.Set(configured)
	return l
}

// change sets the level, for a duration after which the configured one is back (0: until the next change), and says so.
// It returns what holds then.
func (l *logLevel) change(log *slog.Logger, to slog.Level, lasting time.Duration) admin.LogLevel {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget()
	l.put(log, to, lasting)
	if lasting > 0 {
		l.comeBack(log, lasting)
	}
	return l.state()
}

// comeBack makes the configured level hold again after a duration. mu is held.
func (l *logLevel) comeBack(log *slog.Logger, lasting time.Duration) {
	l.due = time.Now().Add(lasting)
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

// state is what holds. mu is held.
func (l *logLevel) state() admin.LogLevel {
	now := admin.LogLevel{Level: l.Level(), Configured: l.configured}
	if l.until != nil {
		now.Until = l.due.UTC().Truncate(time.Second)
	}
	return now
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

// levels lets the admin API change the level.
type levels struct {
	level *logLevel
	log   *slog.Logger
}

var _ admin.LogLevels = levels{}

// LogLevel implements admin.LogLevels.
func (l levels) LogLevel() admin.LogLevel {
	l.level.mu.Lock()
	defer l.level.mu.Unlock()
	return l.level.state()
}

// SetLogLevel implements admin.LogLevels.
func (l levels) SetLogLevel(to slog.Level, lasting time.Duration) admin.LogLevel {
	return l.level.change(l.log, to, lasting)
}

// logLevels is what the admin API changes the level by; nil: it cannot be changed.
func (p *parts) logLevels() admin.LogLevels {
	if p.level == nil {
		return nil
	}
	return levels{p.level, p.log}
}
