//go:build noembedded

package main

import (
	"errors"
	"log/slog"
)

// startEmbedded is not in the image, of which an embedded Redis with its Lua would be a twentieth.
func startEmbedded(*slog.Logger) (*devRedis, error) {
	return nil, errors.New("this build has no embedded Redis; start one with a redis-server by --redis server, or build with `make`")
}
