package admin

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// How long a change of the log level may be asked to last.
const (
	minLogLevel = time.Second
	maxLogLevel = 24 * time.Hour
)

// LogLevels changes how much this node, and no other, logs.
type LogLevels interface {
	// LogLevel returns what holds at present.
	LogLevel() LogLevel
	// SetLogLevel changes it, for a duration after which the configured level is back (0: until the next change), and
	// returns what holds then.
	SetLogLevel(to slog.Level, lasting time.Duration) LogLevel
}

// LogLevel is how much is logged.
type LogLevel struct {
	Level, Configured slog.Level
	// Until is when the configured level is back; zero: not by itself.
	Until time.Time
}

// logLevels are those that may be asked for; their names are matched exactly.
var logLevels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

func (s *server) logLevelRoutes() []route {
	const path = "/admin/log-level"
	return []route{
		{http.MethodGet, path, s.logLevel},
		{http.MethodPut, path, s.setLogLevel},
	}
}

func (s *server) logLevel(*http.Request) (reply, error) {
	if s.deps.LogLevels == nil {
		return reply{}, errNotFound
	}
	return logLevelReply(s.deps.LogLevels.LogLevel()), nil
}

func (s *server) setLogLevel(r *http.Request) (reply, error) {
	if s.deps.LogLevels == nil {
		return reply{}, errNotFound
	}
	var name, lasts string
	given, err := fields{"level": &name, "for": &lasts}.read(r)
	if err != nil {
		return reply{}, err
	}
	to, ok := logLevels[name]
	if !ok {
		return reply{}, fmt.Errorf("%w: level is not debug, info, warn or error", ErrInvalid)
	}
	var lasting time.Duration
	if given.has("for") {
		lasting, err = time.ParseDuration(lasts)
		if err != nil || lasting < minLogLevel || lasting > maxLogLevel {
			return reply{}, fmt.Errorf("%w: for is not a duration of 1s to 24h, as 10m", ErrInvalid)
		}
	}
	now := s.deps.LogLevels.SetLogLevel(to, lasting)
	// Who did it is seen also where only errors are from now on.
	s.log.Log(r.Context(), max(slog.LevelInfo, to), "admin action", "action", "log-level", "target", "node:"+s.cfg.Node,
		"address", s.deps.ClientAddr(r), "to", to, "lasting", lasting)
	return logLevelReply(now), nil
}

func logLevelReply(l LogLevel) reply {
	return reply{http.StatusOK, struct {
		Level      string    `json:"level"`
		Configured string    `json:"configured"`
		Until      time.Time `json:"until,omitzero"`
	}{strings.ToLower(l.Level.String()), strings.ToLower(l.Configured.String()), l.Until}}
}
