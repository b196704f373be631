package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/teloo/realtime-gateway/cmd/gateway/doctor"
	"github.com/teloo/realtime-gateway/node/auth"
	"github.com/teloo/realtime-gateway/presence"
	"github.com/teloo/realtime-gateway/streams"
)

type doctorCmd struct {
	URL   string        `help:"The load balancer's address, as clients have it: https://realtime.example.com. Without it, the way in is not examined." placeholder:"URL"`
	Idle  time.Duration `help:"How long a quiet client waits for a proxy to cut it off; PING_INTERVAL and 5 s, if not set."                            placeholder:"DURATION"`
	Quick bool          `help:"Do not wait for that."`
	Key   string        `help:"PEM file with a private key, to sign that client's token by; JWT_SECRET_KEY signs, if not set."                         placeholder:"FILE"     type:"path"`
	JSON  bool          `help:"Print JSON."`
}

// Help is shown below the flags.
func (*doctorCmd) Help() string {
	return "Reads and changes nothing, but for a few connections that it opens and closes. Run it where the nodes run, with their environment. " +
		"A line says ok, warning or FAIL; the exit status is 1 if anything fails."
}

// Run examines everything there is to be examined, and fails if anything does.
func (d *doctorCmd) Run(ctx context.Context, a *app) error {
	target, err := d.target()
	if err != nil {
		return err
	}
	r := &diagnosis{app: a, json: d.JSON, Checks: []doctor.Finding{}}
	read := readConfig(a.environ, a.envFile)
	doctor.Run(ctx, configChecks(read), r.add)
	if len(read.Faults.of([]string{"REDIS_"})) == 0 {
		client := read.Config.newRedis(false)
		defer func() { _ = client.Close() }()
		d.examineRedis(ctx, read.Config, client, r)
	}
	if target != nil {
		d.examineEdge(ctx, read.Config, target, r)
	}
	return r.end()
}

// target is --url; nil: none.
func (d *doctorCmd) target() (*url.URL, error) {
	if d.Idle < 0 || d.Idle > 10*time.Minute {
		return nil, fmt.Errorf("--idle: %v is not between 0 and 10m", d.Idle)
	}
	if d.URL == "" {
		return nil, nil //nolint:nilnil // as documented
	}
	u, err := url.Parse(d.URL)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		return nil, errors.New("--url: is not like https://realtime.example.com")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("--url: has more than scheme, host, port and path")
	}
	return u, nil
}

// examineRedis stops at a Redis that does not answer.
func (d *doctorCmd) examineRedis(ctx context.Context, c Config, client redis.UniversalClient, r *diagnosis) {
	server := doctor.NewRedis(client, c.RedisPrefix).Listening(c.ingressConfig("").Subscriptions())
	reachable := doctor.Finding{}
	doctor.Run(ctx, []doctor.Check{{Name: "redis", Run: func(ctx context.Context) []doctor.Finding {
		reachable = server.Reachable(ctx)
		return []doctor.Finding{reachable}
	}}}, r.add)
	if reachable.Status == doctor.Failure {
		return
	}
	checks := server.Checks()
	// A presence that is not run only reads.
	watcher, err := presence.New(c.presenceConfig(c.identity(time.Now())), presence.Deps{Redis: client, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		cluster := &doctor.Cluster{
			Presence: watcher.Stats,
			Condition: func(ctx context.Context) (streams.Condition, error) {
				return streams.Inspect(ctx, client, c.RedisPrefix, streams.DefaultConfig().Group)
			},
			Time: func(ctx context.Context) (time.Time, error) { return client.Time(ctx).Result() },
		}
		if c.gossips() {
			g := c.gossipConfig("")
			_, cluster.GossipPort, _ = net.SplitHostPort(g.Bind)
			cluster.Seeds = g.Seeds
		}
		checks = append(checks, cluster.Checks()...)
	}
	doctor.Run(ctx, checks, r.add)
}

func (d *doctorCmd) examineEdge(ctx context.Context, c Config, target *url.URL, r *diagnosis) {
	edge := &doctor.Edge{
		URL: target, Origins: c.CORSOrigins, Idle: d.Idle, TrustedProxies: c.TrustedProxies, HandshakeRate: c.HandshakeRate,
	}
	if edge.Idle == 0 {
		edge.Idle = c.PingInterval + 5*time.Second
	}
	if d.Quick {
		edge.Idle = 0
	} else {
		edge.Token = d.token(c, edge.Idle)
		if edge.Token != "" && isTerminal(r.app.stderr) {
			r.app.say(fmt.Sprintf("waiting for %v as a quiet client; --quick skips that", edge.Idle))
		}
	}
	doctor.Run(ctx, edge.Checks(), r.add)
}

// token lets a client in that gets nothing of its own; empty if there is no key to sign it by.
func (d *doctorCmd) token(c Config, idle time.Duration) string {
	request := auth.MintRequest{User: "gateway-doctor", TTL: idle + time.Minute, Issuer: c.JWTIssuer, Audience: c.JWTAudience}
	for _, name := range sortedKeys(c.JWTRoles) {
		if c.JWTRoles[name] == "client" {
			request.Role = name
		}
	}
	signed, err := (&tokenCmd{Key: d.Key}).sign(c, &request)
	if err != nil {
		return ""
	}
	return signed
}

// configChecks are the examinations of what a node is told.
func configChecks(read reading) []doctor.Check {
	checks := []doctor.Check{{Name: "configuration", Run: func(context.Context) []doctor.Finding { return configFindings(read) }}}
	if len(read.Faults.of([]string{"JWT_"})) > 0 {
		return checks
	}
	return append(checks, doctor.Check{Name: "keys", Run: func(ctx context.Context) []doctor.Finding {
		return []doctor.Finding{keyFinding(ctx, read.Config)}
	}})
}

func configFindings(read reading) []doctor.Finding {
	var found []doctor.Finding
	for _, f := range read.Faults {
		found = append(found, doctor.Finding{Status: doctor.Failure, Says: ConfigError{f}.Error(), Do: "`gateway config` shows all of it"})
	}
	for _, w := range read.Warnings {
		found = append(found, doctor.Finding{Status: doctor.Warning, Says: w, Do: "`gateway config` shows all of it"})
	}
	c := read.Config
	hs, _ := c.algorithmKinds()
	for name, weak := range map[string]bool{
		"JWT_SECRET_KEY": hs && c.JWTSecretKey != "" && len(c.JWTSecretKey) < minSecret,
		"CLUSTER_SECRET": c.gossips() && len(c.ClusterSecret) < minSecret,
	} {
		if weak && !c.production() { // there it is a fault already
			found = append(found, doctor.Finding{
				Status: doctor.Warning, Says: fmt.Sprintf("%s has fewer than %d bytes, which production refuses", name, minSecret),
				Do: "`openssl rand -base64 48` makes one",
			})
		}
	}
	if len(found) == 0 {
		found = append(found, doctor.Finding{Status: doctor.OK, Says: "valid, for " + c.Environment})
	}
	return found
}

// keyFinding loads the keys as a node does.
func keyFinding(ctx context.Context, c Config) doctor.Finding {
	verifier, err := auth.New(ctx, c.authConfig(), slog.New(slog.DiscardHandler))
	switch {
	case err != nil:
		return doctor.Finding{Status: doctor.Failure, Says: err.Error(), Do: "see JWT_SECRET_KEY, JWT_PUBLIC_KEY_PATH and JWT_JWKS_URL"}
	case !verifier.Ready():
		return doctor.Finding{
			Status: doctor.Failure, Says: c.JWTJWKSURL + " gives no key set", Do: "open that address from here; a node without keys refuses all clients",
		}
	}
	return doctor.Finding{Status: doctor.OK, Says: "loaded, as a node does"}
}

// diagnosis gathers findings, and prints each as it comes unless they are to be JSON.
type diagnosis struct {
	app  *app
	json bool

	Checks   []doctor.Finding `json:"checks"`
	Warnings int              `json:"warnings"`
	Failures int              `json:"failures"`
}

func (r *diagnosis) add(f doctor.Finding) {
	r.Checks = append(r.Checks, f)
	switch f.Status {
	case doctor.Warning:
		r.Warnings++
	case doctor.Failure:
		r.Failures++
	case doctor.OK:
	}
	if r.json {
		return
	}
	text := fmt.Sprintf("%-7s  %-18s  %s", f.Status, cell(f.Name), oneLine(f.Says))
	if f.Do != "" {
		text += "; " + f.Do
	}
	_ = tell(r.app, "%s", text)
}

// end tells how many there were, and fails if anything did.
func (r *diagnosis) end() error {
	var err error
	if r.json {
		err = json.NewEncoder(r.app.stdout).Encode(r)
	} else {
		err = tell(r.app, "\n%d ok, %d warnings, %d failures", len(r.Checks)-r.Warnings-r.Failures, r.Warnings, r.Failures)
	}
	if err == nil && r.Failures > 0 {
		err = errReported
	}
	return err
}
