package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLogLevelFallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer // l.mu
		l := newLogLevel(slog.LevelError)
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: l}))
		l.change(log, slog.LevelDebug, time.Minute)
		require.Equal(t, slog.LevelDebug, l.Level())
		require.Contains(t, out.String(), "from=ERROR to=DEBUG lasting=1m0s")
		l.change(log, slog.LevelInfo, 2*time.Minute)
		time.Sleep(90 * time.Second)
		require.Equal(t, slog.LevelInfo, l.Level(), "the first change's end is no longer due")
		l.mu.Lock()
		out.Reset()
		l.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, slog.LevelError, l.Level())
		l.mu.Lock()
		defer l.mu.Unlock()
		require.Contains(t, out.String(), "from=INFO to=ERROR", "said even where only errors are")
	})
}

func TestLogLevelBySignal(t *testing.T) {
	l := newLogLevel(slog.LevelWarn)
	ctx, cancel := context.WithCancel(context.Background())
	// A handler first: a signal that comes before run's would end the tests.
	guard := make(chan os.Signal, 1)
	signal.Notify(guard, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(guard)
	done := make(chan error, 1)
	go func() { done <- l.run(ctx, slog.New(slog.DiscardHandler)) }()
	send := func(s syscall.Signal, want slog.Level) {
		require.Eventually(t, func() bool {
			if l.Level() != want {
				_ = syscall.Kill(syscall.Getpid(), s)
			}
			return l.Level() == want
		}, 10*time.Second, 20*time.Millisecond)
	}
	send(syscall.SIGUSR1, slog.LevelDebug)
	send(syscall.SIGUSR2, slog.LevelWarn)
	cancel()
	require.NoError(t, <-done)
}
