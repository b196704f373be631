// Command interop is a Socket.IO server of Go's, with the gateway's adapter and engine, whose application is the test: it
// does as it is told by HTTP, so that each of the library's calls can be made beside Node's servers.
//
// POST /do takes a command and answers {"value": …} or {"error": "…"}; see command. GET /heard has the server-side events
// that arrived. Binary is {"$binary": "base64"} on the way in and out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

func main() {
	var cfg config
	flag.StringVar(&cfg.name, "name", "", "its name, which every answer to a server-side event carries")
	flag.StringVar(&cfg.redis, "redis", "127.0.0.1:6379", "Redis; a server of a Redis Cluster with -cluster")
	flag.BoolVar(&cfg.cluster, "cluster", false, "Redis is a Redis Cluster")
	flag.StringVar(&cfg.listen, "listen", "127.0.0.1:0", "where to listen")
	flag.DurationVar(&cfg.patience, "patience", time.Second, "how long a request to the other servers waits")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := run(ctx, cfg)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cfg config) error {
	m, err := newMember(cfg, slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	defer m.close()
	server := &http.Server{Addr: cfg.listen, Handler: m.handler(), ReadHeaderTimeout: 10 * time.Second}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.cluster.Run(ctx) })
	g.Go(func() error { return m.engine.Run(ctx) })
	g.Go(func() error {
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
	return g.Wait()
}
