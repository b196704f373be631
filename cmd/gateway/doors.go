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

	"golang.org/x/sync/errgroup"

	"github.com/teloo/realtime-gateway/api"
	"github.com/teloo/realtime-gateway/api/dashboard"
)

// doors are a node's open ports.
type doors struct {
	clients net.Listener
	// operators is METRICS_PORT's; nil: they come in by the clients'.
	operators net.Listener
}

func openDoors(ctx context.Context, cfg Config) (doors, error) {
	clients, err := listen(ctx, cfg.Host, cfg.Port)
	if err != nil {
		return doors{}, fmt.Errorf("PORT: %w", err)
	}
	d := doors{clients: clients}
	if cfg.MetricsPort == 0 {
		return d, nil
	}
	if d.operators, err = listen(ctx, cfg.Host, cfg.MetricsPort); err != nil {
		return doors{}, errors.Join(fmt.Errorf("METRICS_PORT: %w", err), clients.Close())
	}
	return d, nil
}

func (d doors) close() error {
	if d.operators == nil {
		return d.clients.Close()
	}
	return errors.Join(d.clients.Close(), d.operators.Close())
}

// listen opens a port; 0 takes a free one.
func listen(ctx context.Context, host string, port int) (net.Listener, error) {
	var config net.ListenConfig
	return config.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
}

// webServer is an HTTP server at its door.
type webServer struct {
	*http.Server
	at net.Listener
}

// webServers are what stands behind the doors.
func (p *parts) webServers(d doors, sources api.Sources, cfg api.Config) ([]webServer, error) {
	operators, err := p.adminAPI()
	if err != nil {
		return nil, err
	}
	if p.page, err = p.operatorsPage(); err != nil {
		return nil, err
	}
	figures := api.New(cfg, sources, p.base)
	public := http.NewServeMux()
	public.Handle(p.cfg.nodeConfig().Path, p.sessionsHandler())
	public.Handle("/", figures)
	private := public
	if d.operators != nil {
		private = http.NewServeMux()
		private.Handle("/", figures)
	}
	if operators != nil {
		private.Handle("/admin/", operators)
	}
	if p.page != nil {
		private.Handle(dashboard.Path, p.page.handler)
		private.Handle(dashboard.Path+"/", p.page.handler)
	}
	observed, err := p.metricsHandler(d.operators != nil)
	if err != nil {
		return nil, err
	}
	if observed != nil {
		private.Handle("GET /metrics", observed)
	}
	servers := []webServer{{newWebServer(public, p.log), d.clients}}
	if d.operators != nil {
		server := newWebServer(private, p.log)
		server.ReadTimeout, server.WriteTimeout = operatorsTimeout, operatorsTimeout
		servers = append(servers, webServer{server, d.operators})
	}
	return servers, nil
}

// operatorsTimeout bounds a request at METRICS_PORT, and its answer; it is longer than an action may take.
const operatorsTimeout = 30 * time.Second

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

// serveAll serves until ctx ends or one server fails.
func serveAll(ctx context.Context, servers []webServer) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, s := range servers {
		all.Go(func() error { return serveHTTP(ctx, s.Server, s.at) })
	}
	return all.Wait()
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
