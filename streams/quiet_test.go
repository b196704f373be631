package streams

import "log/slog"

func orderQuiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
