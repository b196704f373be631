package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/teloo/realtime-gateway/api"
	"github.com/teloo/realtime-gateway/node/auth"
	"github.com/teloo/realtime-gateway/streams"
)

// devHost is all that a demonstration listens on: its tokens are for anybody who asks.
const devHost = "127.0.0.1"

type devCmd struct {
	Port  int           `default:"8003"     help:"Port to listen on, of 127.0.0.1."`
	Nodes int           `default:"1"        help:"Nodes to run; more than one stand behind a small sticky proxy."`
	Every time.Duration `default:"1500ms"   help:"About how often an event is made up; 0: never."`
	Redis string        `default:"embedded" enum:"embedded,server"                                                help:"Redis to start: the embedded one, or the installed redis-server."`
}

// Run runs the demonstration until ctx ends.
func (d *devCmd) Run(ctx context.Context, a *app) error {
	if err := d.check(a); err != nil {
		return err
	}
	cfg := d.config()
	log := a.logger(cfg)
	listener, err := listen(ctx, devHost, d.Port)
	if err != nil {
		return fmt.Errorf("--port: %w", err)
	}
	store, err := startDevRedis(ctx, d.Redis, ofGateway(log))
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer store.stop()
	cfg.RedisHost, cfg.RedisPort = devHost, store.port

	demo := newDemo(cfg)
	defer demo.close()
	d.greet(a, listener.Addr().String(), store, demo)

	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { return d.runNodes(ctx, cfg, listener, demo, log) })
	tasks.Go(func() error { return a.level.run(ctx, ofGateway(log)) }) // one for all nodes, which share the log
	if d.Every > 0 {
		tasks.Go(func() error { return newFlow(demo.publisher, d.Every, ofGateway(log)).Run(ctx) })
	}
	return tasks.Wait()
}

func (d *devCmd) check(a *app) error {
	var faults []error
	if c, err := a.config("ENVIRONMENT"); err != nil {
		faults = append(faults, err)
	} else if c.production() {
		faults = append(faults, errors.New("ENVIRONMENT: dev gives tokens to anybody and refuses production; use `gateway serve`"))
	}
	if d.Nodes < 1 || d.Nodes > 9 {
		faults = append(faults, fmt.Errorf("--nodes: %d is not 1 to 9", d.Nodes))
	}
	if d.Every < 0 {
		faults = append(faults, fmt.Errorf("--every: %v is negative", d.Every))
	}
	return errors.Join(faults...)
}

// config is that of the only or first node: the defaults, a key of its own, and no other address than loopback.
func (d *devCmd) config() Config {
	cfg := defaultConfig()
	cfg.Host, cfg.Port = devHost, d.Port
	cfg.NodeName = "dev-1"
	cfg.LogFormat, cfg.LogLevel = "text", slog.LevelWarn
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	cfg.JWTSecretKey = "dev-" + secretText(secret)
	_, _ = rand.Read(secret)
	cfg.AdminAPIKey = "dev-" + secretText(secret)
	cfg.DrainWindow, cfg.ShutdownTimeout = time.Second, 8*time.Second
	cfg.AdvertiseAddr = net.JoinHostPort(devHost, strconv.Itoa(d.Port))
	cfg.ClusterBind, cfg.ClusterSeeds = "", nil
	cfg.HandshakeRate = 0 // all clients have one address
	return cfg
}

func secretText(b []byte) secret { return secret(hex.EncodeToString(b)) }

// runNodes runs one node on listener, or several behind a proxy on it.
func (d *devCmd) runNodes(ctx context.Context, cfg Config, listener net.Listener, demo *demo, log *slog.Logger) error {
	if d.Nodes == 1 {
		return runDevNode(ctx, cfg, listener, demo, log)
	}
	inner, addrs, err := listenMany(ctx, d.Nodes)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	nodes, ctx := errgroup.WithContext(ctx)
	for i := range d.Nodes {
		node := cfg
		node.NodeName = fmt.Sprintf("dev-%d", i+1)
		node.AdvertiseAddr = addrs[i]
		nodes.Go(func() error { return runDevNode(ctx, node, inner[i], demo, log.With("node", node.NodeName)) })
	}
	proxy := newWebServer(newStickyProxy(addrs), ofGateway(log))
	nodes.Go(func() error { return serveHTTP(ctx, proxy, listener) })
	return nodes.Wait()
}

// listenMany opens n free ports, or none.
func listenMany(ctx context.Context, n int) (listeners []net.Listener, addrs []string, err error) {
	for range n {
		l, err := listen(ctx, devHost, 0)
		if err != nil {
			for _, open := range listeners {
				err = errors.Join(err, open.Close())
			}
			return nil, nil, err
		}
		listeners, addrs = append(listeners, l), append(addrs, l.Addr().String())
	}
	return listeners, addrs, nil
}

func runDevNode(ctx context.Context, cfg Config, listener net.Listener, demo *demo, log *slog.Logger) error {
	p, err := build(ctx, cfg, log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	sources, web := p.sources(), cfg.apiConfig()
	demo.show(&sources, &web)
	return p.run(ctx, doors{clients: listener}, sources, web)
}

// greet prints where the demonstration is and tokens to use it with.
func (d *devCmd) greet(a *app, address string, store *devRedis, demo *demo) {
	fmt.Fprintf(a.stdout, "\n  TeLOO realtime gateway, a demonstration on %s\n\n  Page     http://%s/demo\n  Figures  http://%s/stats\n  Events   redis-cli -p %d XADD '{teloo}:events' '*' event solicitud_created data '{\"solicitud_id\":\"S-1\",\"client_id\":\"client-1\"}'\n\n",
		store.kind, address, address, store.port)
	for _, who := range []struct{ role, user string }{{"admin", "admin-1"}, {"advisor", "advisor-1"}, {"client", "client-1"}} {
		token, err := demo.token(who.role, who.user, nil)
		if err != nil {
			continue
		}
		fmt.Fprintf(a.stdout, "  %-8s %s\n", who.role, token)
	}
	fmt.Fprintf(a.stdout, "\n  Operators' page  http://%s/dashboard\n  its key          %s\n\n  Ctrl-C ends it.\n", address, string(demo.cfg.AdminAPIKey))
}

// demo makes tokens and publishes events for the demo page.
type demo struct {
	cfg       Config
	publisher *streams.Publisher
	close     func()
}

func newDemo(cfg Config) *demo {
	client := cfg.newRedis(false)
	return &demo{
		cfg:       cfg,
		publisher: streams.NewPublisher(client, cfg.RedisPrefix),
		close:     func() { _ = client.Close() },
	}
}

func (d *demo) token(role, user string, solicitudes []string) (string, error) {
	if _, known := d.cfg.JWTRoles[role]; !known {
		return "", fmt.Errorf("%w: role %q is unknown", api.ErrInvalid, role)
	}
	return auth.Mint(auth.MintRequest{
		Algorithm: "HS256", Secret: []byte(d.cfg.JWTSecretKey), User: user, Role: role, TTL: 12 * time.Hour, Solicitudes: solicitudes,
	})
}

func (d *demo) publish(ctx context.Context, raw json.RawMessage) (string, error) {
	event, err := streams.ParseEntry("", map[string]any{"payload": string(raw)})
	if err != nil {
		return "", fmt.Errorf("%w: %w", api.ErrInvalid, err)
	}
	ids, err := d.publisher.Publish(ctx, event)
	if err != nil {
		return "", fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	}
	return ids[0], nil
}
