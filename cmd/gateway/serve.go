package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/teloo/realtime-gateway/api"
)

type serveCmd struct{}

// Run runs a node until ctx ends.
func (*serveCmd) Run(ctx context.Context, a *app) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	log := a.logger(cfg)
	tuneMemory(log)
	listener, err := listen(ctx, cfg.Host, cfg.Port)
	if err != nil {
		return fmt.Errorf("PORT: %w", err)
	}
	p, err := build(ctx, cfg, log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	return p.run(ctx, listener, p.sources(), cfg.apiConfig())
}

// listen opens the HTTP port; 0 takes a free one.
func listen(ctx context.Context, host string, port int) (net.Listener, error) {
	var config net.ListenConfig
	return config.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
}

// run starts the parts, serves until ctx ends or a part fails, and stops them in order. It is the one place where the
// order of starting and stopping stands.
func (p *parts) run(ctx context.Context, listener net.Listener, sources api.Sources, cfg api.Config) error {
	defer p.close()
	ctx, failed := context.WithCancelCause(ctx)
	defer failed(nil)

	mux := http.NewServeMux()
	mux.Handle(p.cfg.nodeConfig().Path, p.node.Handler())
	mux.Handle("/", api.New(cfg, sources, p.base))
	web := newWebServer(mux, p.log)

	redisWatch := start("redis watch", p.watchRedis, failed)
	access := start("access", p.runAccess, failed)
	var members *actor
	if p.gossip != nil {
		members = start("gossip", p.gossip.Run, failed)
	}
	log := start("adapter", p.cluster.Run, failed)
	presence := start("presence", p.presence.Run, failed)
	consumer := start("consumer", p.consumer.Run, failed)
	edge := start("node", p.node.Run, failed)
	memory := start("memory", p.releaseMemory, failed)
	serving := start("http", func(ctx context.Context) error { return serveHTTP(ctx, web, listener) }, failed)
	p.log.Info("serving", "address", listener.Addr().String(), "identity", p.identity, "version", buildVersion(),
		"redis", p.cfg.redisPlace())

	<-ctx.Done()

	// Not ready first, so that the load balancer looks elsewhere while the rest is wound up.
	p.log.Info("stopping", "cause", context.Cause(ctx))
	p.stopping.Store(true)
	if p.gossip != nil {
		p.gossip.SetDraining(true)
	}
	limit, cancel := context.WithTimeout(context.Background(), p.cfg.ShutdownTimeout)
	defer cancel()
	consumer.stop(limit, p.log)
	if err := p.node.Drain(limit); err != nil {
		p.log.Warn("sockets left at the end of draining", "sockets", p.node.Stats().Connections, "err", err)
	}
	presence.stop(limit, p.log)
	if members != nil {
		members.stop(limit, p.log)
	}
	p.node.Close()
	for _, part := range []*actor{serving, memory, edge, log, access, redisWatch} {
		part.stop(limit, p.log)
	}
	p.log.Info("stopped")
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// newWebServer has no write timeout: long polls and WebSockets live long, and are ended by Engine.IO's heartbeat.
func newWebServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           boundBodies(handler),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		// A client that leaves in the middle of a request is no more than that.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// bodyTimeout bounds how long the body of a request may take.
const bodyTimeout = 30 * time.Second

// boundBodies gives bodies a deadline, which the server lifts for a connection's next request. Without one it would wait
// for ever for a body that was announced and does not come, even if nobody reads it.
func boundBodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // fails if the client has gone
		}
		next.ServeHTTP(w, r)
	})
}

// serveHTTP serves until ctx ends, then closes what is left.
func serveHTTP(ctx context.Context, web *http.Server, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = web.Close() })
	defer stop()
	if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
