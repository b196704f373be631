package gossip

import (
	"bytes"
	"context"
	"log"
	"log/slog"

	"golang.org/x/time/rate"
)

const (
	maxLogLine = 512
	// Strangers can make memberlist complain as often as they like.
	warningsPerSecond, warningsBurst = 2, 10
)

// logLines turns memberlist's lines into records: complaints are warnings as long as they are few, the rest is for debugging.
type logLines struct {
	log      *slog.Logger
	warnings *rate.Limiter
}

func newLogger(to *slog.Logger) *log.Logger {
	return log.New(&logLines{log: to, warnings: rate.NewLimiter(warningsPerSecond, warningsBurst)}, "", 0)
}

func (l *logLines) Write(line []byte) (int, error) {
	text := bytes.TrimSpace(line)
	word, rest, ok := bytes.Cut(text, []byte("] "))
	level := slog.LevelDebug
	if ok && (bytes.Equal(word, []byte("[WARN")) || bytes.Equal(word, []byte("[ERR"))) && l.warnings.Allow() {
		level = slog.LevelWarn
	}
	if ok {
		text = bytes.TrimPrefix(rest, []byte("memberlist: "))
	}
	ctx := context.Background()
	if l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, "memberlist", "detail", string(text[:min(len(text), maxLogLine)]))
	}
	return len(line), nil
}
