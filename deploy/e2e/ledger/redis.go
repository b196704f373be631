package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
)

// redisServer is the run's redis-server, with an AOF that is on disk before anything is acknowledged, and the proxies
// through which the nodes reach it, one each.
type redisServer struct {
	dir     string
	port    int
	process *process
	direct  redis.UniversalClient // the harness's own way, past the proxies
	many    *redisMany            // nil: this is a single server; else all of it, and there are neither process nor proxies
	since   string                // where this run's log begins, as XRANGE takes it; "": at its beginning
	proxies []*toxiproxy.Proxy
	delays  []*logDelay // behind the proxies; nil: none were asked for
}

// silent drops the client library's remarks.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// startRedis returns what it started also with an error, to be stopped. delays says that the nodes' reading of the log
// can be held back.
func startRedis(ctx context.Context, dir string, nodes int, delays bool, kind string) (*redisServer, error) {
	redis.SetLogger(silent{}) // what it would say of every outage is what the faults are about
	if kind != "" {
		many, err := startMany(ctx, dir, kind)
		return &redisServer{dir: dir, direct: many.client, many: many}, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &redisServer{dir: dir, port: port}
	s.direct = redis.NewClient(&redis.Options{Addr: loopback(port), MaxRetries: -1, DialerRetries: 1, ReadTimeout: 2 * time.Second})
	if err := s.launch(ctx); err != nil {
		return s, err
	}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	for i := range nodes {
		upstream := loopback(port)
		if delays {
			delay, err := startLogDelay(upstream)
			if err != nil {
				return s, fmt.Errorf("proxy to redis: %w", err)
			}
			s.delays = append(s.delays, delay)
			upstream = delay.addr()
		}
		proxy := toxiproxy.NewProxy(server, fmt.Sprintf("redis-gw%d", i+1), "127.0.0.1:0", upstream)
		if err := proxy.Start(); err != nil {
			return s, fmt.Errorf("proxy to redis: %w", err)
		}
		s.proxies = append(s.proxies, proxy)
	}
	return s, nil
}

// launch starts redis-server, also anew after kill: on the same port, with what is in its directory.
func (s *redisServer) launch(ctx context.Context) error {
	var err error
	s.process, err = spawn(spawnPlan{dir: s.dir, name: "redis"}, "redis-server",
		"--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", s.dir, "--daemonize", "no", "--save", "",
		"--appendonly", "yes", "--appendfsync", "always",
		"--auto-aof-rewrite-percentage", "0")
	if err != nil {
		return err
	}
	return until(ctx, "redis answers", 30*time.Second, func() error { return s.direct.Ping(ctx).Err() })
}

func (s *redisServer) kill() error { return s.process.end(syscall.SIGKILL, 10*time.Second) }

// environment tells node i (from 0) where Redis is.
func (s *redisServer) environment(i int) []string {
	if s.many != nil {
		return s.many.environment()
	}
	host, port, _ := strings.Cut(s.proxies[i].Listen, ":")
	return []string{"REDIS_HOST=" + host, "REDIS_PORT=" + port}
}

func (s *redisServer) processes() []*process {
	if s.many != nil {
		return s.many.processes()
	}
	return []*process{s.process}
}

// toxic puts a fault on the proxies of the given nodes (from 0; none: all), in both directions of each if both is set,
// else on what Redis answers.
func (s *redisServer) toxic(kind string, attributes map[string]any, both bool, nodes ...int) error {
	streams := []string{"downstream"}
	if both {
		streams = append(streams, "upstream")
	}
	for _, proxy := range s.chosen(nodes) {
		for _, stream := range streams {
			spec, err := json.Marshal(map[string]any{"type": kind, "stream": stream, "attributes": attributes})
			if err != nil {
				return err
			}
			if _, err := proxy.Toxics.AddToxicJson(bytes.NewReader(spec)); err != nil {
				return fmt.Errorf("adding %s to %s: %w", kind, proxy.Name, err)
			}
		}
	}
	return nil
}

func (s *redisServer) chosen(nodes []int) []*toxiproxy.Proxy {
	if len(nodes) == 0 {
		return s.proxies
	}
	var chosen []*toxiproxy.Proxy
	for _, i := range nodes {
		chosen = append(chosen, s.proxies[i])
	}
	return chosen
}

// heal removes every fault from every proxy, and lets those connect again that refuse.
func (s *redisServer) heal(ctx context.Context) error {
	var errs []error
	for _, proxy := range s.proxies {
		proxy.Toxics.ResetToxics(ctx)
		if err := proxy.Start(); err != nil && !errors.Is(err, toxiproxy.ErrProxyAlreadyStarted) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// refuse closes all nodes' connections to Redis and refuses new ones.
func (s *redisServer) refuse() {
	for _, proxy := range s.proxies {
		proxy.Stop()
	}
}

func (s *redisServer) stop() error {
	if s.many != nil {
		return s.many.stop()
	}
	s.refuse()
	for _, delay := range s.delays {
		delay.stop()
	}
	_ = s.direct.Close()
	if s.process == nil {
		return nil
	}
	return s.process.end(syscall.SIGTERM, 10*time.Second)
}

var errNoAOF = errors.New("no append-only file")

// aof gives the file that the server appends to, and its length.
func (s *redisServer) aof() (string, int64, error) {
	files, err := filepath.Glob(filepath.Join(s.dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) == 0 {
		return "", 0, errors.Join(errNoAOF, err)
	}
	path := files[len(files)-1]
	info, err := os.Stat(path)
	if err != nil {
		return "", 0, err
	}
	return path, info.Size(), nil
}
