package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startBound = 60 * time.Second
	// stopBound is DRAIN_WINDOW below and the rest of an orderly end.
	stopBound = 30 * time.Second
)

var errUnwell = errors.New("not well")

// gateway is one node.
type gateway struct {
	index  int
	name   string
	port   int // HTTP
	gossip int // where it listens
	heard  int // where the others find it: the same, or the relay
	env    []string
	*process
}

// cluster is everything between the events and the clients: Redis behind its proxies, the nodes, HAProxy, the edge.
type cluster struct {
	dir    string
	binary string
	redis  *redisServer
	nodes  []*gateway
	relay  *gossipRelay // nil: nodes hear each other directly
	proxy  *process
	edge   *edge
	gone   []*process // ended nodes, for their logs
}

type clusterPlan struct {
	dir, binary, haproxy string // haproxy is the example configuration
	nodes                int
	people               []person
	relay                bool
	redis                string // its kind; "": a single server
	env                  []string
	logDelay             bool // the nodes' reading of the log can be held back, and their logs tell who resumed where
}

// startCluster returns what it started also with an error, to be stopped.
func startCluster(ctx context.Context, plan clusterPlan) (*cluster, error) {
	c := &cluster{dir: plan.dir, binary: plan.binary}
	var err error
	if c.redis, err = startRedis(ctx, plan.dir, plan.nodes, plan.logDelay, plan.redis); err != nil {
		return c, err
	}
	if err := c.prepareNodes(plan); err != nil {
		return c, err
	}
	for _, n := range c.nodes {
		if err := c.launch(n); err != nil {
			return c, err
		}
	}
	if err := c.ready(ctx); err != nil {
		return c, err
	}
	port, err := c.startProxy(ctx, plan.haproxy)
	if err != nil {
		return c, err
	}
	c.edge, err = startEdge(loopback(port), plan.people)
	return c, err
}

func (c *cluster) prepareNodes(plan clusterPlan) error {
	var bound, heard []int
	for i := range plan.nodes {
		n := &gateway{index: i, name: fmt.Sprintf("gw%d", i+1)}
		for _, port := range []*int{&n.port, &n.gossip, &n.heard} {
			var err error
			if *port, err = freePort(); err != nil {
				return err
			}
		}
		if !plan.relay {
			n.heard = n.gossip
		}
		c.nodes = append(c.nodes, n)
		bound, heard = append(bound, n.gossip), append(heard, n.heard)
	}
	var seeds []string
	for _, port := range heard {
		seeds = append(seeds, loopback(port))
	}
	for i, n := range c.nodes {
		n.env = append(c.environment(n, strings.Join(seeds, ",")), c.redis.environment(i)...)
		n.env = append(n.env, plan.env...)
		if plan.logDelay {
			n.env = append(n.env, "LOG_LEVEL=debug")
		}
	}
	var err error
	if plan.relay {
		c.relay, err = startGossipRelay(heard, bound)
	}
	return err
}

func (c *cluster) environment(n *gateway, seeds string) []string {
	return []string{
		"ENVIRONMENT=development", "LOG_FORMAT=json", "HOST=127.0.0.1", "PORT=" + strconv.Itoa(n.port),
		"JWT_SECRET_KEY=" + secret, "JWT_ALGORITHM=HS256",
		"NODE_NAME=" + n.name, "CLUSTER_BIND=" + loopback(n.gossip), "CLUSTER_ADVERTISE=" + loopback(n.heard),
		"CLUSTER_SEEDS=" + seeds, "CLUSTER_SECRET=ledger-harness-secret-32-bytes-xx", "DRAIN_WINDOW=5s",
		"SHUTDOWN_TIMEOUT=20s",
		// All clients have one address, and few users.
		"HANDSHAKE_RATE=0", "MAX_SOCKETS_PER_USER=0", "EVENT_RATE=0",
		// The log has to hold what was written and nothing else.
		"CANARY_INTERVAL=0",
	}
}

// launch starts a node, also anew after its end.
func (c *cluster) launch(n *gateway) error {
	if n.process != nil {
		c.gone = append(c.gone, n.process)
	}
	p, err := spawn(spawnPlan{dir: c.dir, name: n.name, env: n.env}, c.binary, "serve")
	if err != nil {
		return err
	}
	n.process = p
	if c.relay != nil {
		c.relay.know(n.index, p.pid())
	}
	return nil
}

// ready waits until every running node is ready and sees all the others.
func (c *cluster) ready(ctx context.Context) error {
	return until(ctx, "nodes ready and known to each other", startBound, func() error {
		for _, n := range c.nodes {
			if fault := n.fault(); fault != "" {
				return fmt.Errorf("%w: %s", errUnwell, fault)
			}
		}
		up := c.up()
		for _, n := range up {
			if status, err := n.get(ctx, "/health/ready", nil); err != nil || status != http.StatusOK {
				return fmt.Errorf("%w: %s ready: %d %w", errUnwell, n.name, status, err)
			}
			s, err := n.stats(ctx)
			if err != nil || len(s.Nodes) != len(up) {
				return fmt.Errorf("%w: %s knows %d nodes: %w", errUnwell, n.name, len(s.Nodes), err)
			}
		}
		return nil
	})
}

func (c *cluster) up() []*gateway {
	return slices.DeleteFunc(slices.Clone(c.nodes), func(n *gateway) bool { return !n.running() })
}

// stats is the part of /stats that the harness checks.
type stats struct {
	ConnectedUsers    int         `json:"connected_users"`
	AdminsConnected   int         `json:"admins_connected"`
	AdvisorsConnected int         `json:"advisors_connected"`
	ClientsConnected  int         `json:"clients_connected"`
	Connections       int         `json:"connections"`
	Nodes             []nodeStats `json:"nodes"`
}

type nodeStats struct {
	Name string `json:"name"`
}

func (n *gateway) stats(ctx context.Context) (stats, error) {
	var s stats
	_, err := n.get(ctx, "/stats", &s)
	return s, err
}

// get asks the node itself, past the load balancer.
func (n *gateway) get(ctx context.Context, path string, into any) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+loopback(n.port)+path, nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }() // read or not wanted
	if into == nil {
		return res.StatusCode, nil
	}
	return res.StatusCode, json.NewDecoder(res.Body).Decode(into)
}

var (
	hostLines   = regexp.MustCompile(`(?m)^.*# host$\n|^\s*server\s.*\n`)
	serverLines = regexp.MustCompile(`(?m)^(\s*default-server .*)$`)
)

// startProxy runs HAProxy with the example configuration, only its addresses replaced, and returns its port.
func (c *cluster) startProxy(ctx context.Context, example string) (int, error) {
	port, err := freePort()
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(example) //nolint:gosec // named by the operator
	if err != nil {
		return 0, err
	}
	var servers strings.Builder
	for _, n := range c.nodes {
		fmt.Fprintf(&servers, "\n    server %s %s cookie %s", n.name, loopback(n.port), n.name)
	}
	config := hostLines.ReplaceAllString(string(text), "")
	config = strings.Replace(config, "bind :80", "bind "+loopback(port), 1)
	config = serverLines.ReplaceAllString(config, "$1"+servers.String())
	file := filepath.Join(c.dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil { //nolint:gosec // the operator's own configuration
		return 0, err
	}
	if c.proxy, err = spawn(spawnPlan{dir: c.dir, name: "haproxy"}, "haproxy", "-db", "-f", file); err != nil {
		return 0, err
	}
	front := gateway{name: "haproxy", port: port}
	return port, until(ctx, "haproxy answers for a node", startBound, func() error {
		status, err := front.get(ctx, "/health/live", nil)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%w: %d", errUnwell, status)
		}
		return err
	})
}

// faults says what is wrong with the processes and their logs.
func (c *cluster) faults() []string {
	all := slices.Concat(c.redis.processes(), []*process{c.proxy}, c.gone)
	for _, n := range c.nodes {
		all = append(all, n.process)
	}
	var faults []string
	for _, p := range all {
		if p == nil {
			continue
		}
		if fault := p.fault(); fault != "" {
			faults = append(faults, fault)
		}
	}
	slices.Sort(faults)
	return slices.Compact(faults)
}

// stop ends everything, Redis last: the nodes say goodbye to it.
func (c *cluster) stop() error {
	var errs []error
	if c.edge != nil {
		c.edge.stop()
	}
	for _, n := range c.nodes {
		if n.process != nil {
			n.signal(syscall.SIGCONT)
			n.signal(syscall.SIGTERM)
		}
	}
	for _, n := range c.nodes {
		if n.process != nil {
			errs = append(errs, n.end(syscall.SIGTERM, stopBound))
		}
	}
	if c.proxy != nil {
		errs = append(errs, c.proxy.end(syscall.SIGTERM, 10*time.Second))
	}
	if c.relay != nil {
		c.relay.stop()
	}
	if c.redis != nil {
		errs = append(errs, c.redis.stop())
	}
	return errors.Join(errs...)
}
