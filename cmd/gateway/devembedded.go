//go:build !noembedded

package main

import (
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// startEmbedded runs miniredis. It does not age keys by itself, so a goroutine does.
func startEmbedded(log *slog.Logger) (*devRedis, error) {
	m := miniredis.NewMiniRedis()
	if err := m.StartAddr(net.JoinHostPort(devHost, "0")); err != nil {
		return nil, fmt.Errorf("embedded Redis: %w", err)
	}
	port, err := strconv.Atoi(m.Port())
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("embedded Redis: %w", err)
	}
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		const every = time.Second
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
				m.FastForward(every)
			}
		}
	}()
	log.Info("embedded Redis", "port", port)
	return &devRedis{kind: "an embedded Redis", port: port, stop: func() {
		close(ended)
		<-done
		m.Close()
	}}, nil
}
