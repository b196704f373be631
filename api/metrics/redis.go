package metrics

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

const (
	pipelineCommand = "pipeline"
	otherCommand    = "other"
)

// redisCommands are those that have a label's value of their own; every other is "other".
var redisCommands = []string{
	"eval", "evalsha", "get", "hget", "hgetall", "ping", "publish", "pubsub", "set", "spublish", "xack", "xadd", "xautoclaim", "xclaim",
	"xinfo", "xpending", "xrange", "xread", "xreadgroup", "xrevrange", "zadd", "zrange", "zrem", "zscore", pipelineCommand, otherCommand,
}

// redisBuckets are the bounds of a Redis call's duration, in seconds.
var redisBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 3}

// Redis observes the calls of Redis clients.
type Redis struct {
	took   map[string]prometheus.Observer
	failed map[string]prometheus.Counter
	dials  prometheus.Counter
	undone prometheus.Counter
}

// NewRedis adds the metrics of Redis calls.
func NewRedis(r *Registry) *Redis {
	took := Description{
		Name: "teloo_redis_command_duration_seconds", Kind: Histogram, Labels: []string{"command"},
		Help: "How long calls of Redis took, waiting for a connection included; blocking reads excluded",
	}
	failed := Description{
		Name: "teloo_redis_command_errors_total", Kind: Counter, Labels: []string{"command"},
		Help: "Calls of Redis that failed or were refused, blocking reads included",
	}
	tooks := prometheus.NewHistogramVec(durations(took.Name, took.Help, redisBuckets), took.Labels)
	fails := prometheus.NewCounterVec(prometheus.CounterOpts{Name: failed.Name, Help: failed.Help}, failed.Labels)
	r.register(tooks, took)
	r.register(fails, failed)
	m := &Redis{
		took: map[string]prometheus.Observer{}, failed: map[string]prometheus.Counter{},
		dials:  r.counter("teloo_redis_dials_total", "Connections to Redis that were tried"),
		undone: r.counter("teloo_redis_dial_errors_total", "Connections to Redis that failed"),
	}
	for _, name := range redisCommands {
		m.took[name] = tooks.WithLabelValues(name)
		m.failed[name] = fails.WithLabelValues(name)
	}
	return m
}

func (r *Registry) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	r.register(c, Description{Name: name, Kind: Counter, Help: help})
	return c
}

// Watch observes a client's calls; of one for blocking reads their errors alone.
func (m *Redis) Watch(client redis.UniversalClient, blocking bool) {
	h := redisHook{m, blocking}
	client.AddHook(h)
	if cluster, ok := client.(*redis.ClusterClient); ok {
		// A cluster's client does not dial itself.
		cluster.OnNewNode(func(node *redis.Client) { node.AddHook(dialHook{h}) })
	}
}

type redisHook struct {
	*Redis

	blocking bool
}

var (
	_ redis.Hook = redisHook{}
	_ redis.Hook = dialHook{}
)

// DialHook implements redis.Hook.
func (h redisHook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		h.dials.Inc()
		conn, err := next(ctx, network, addr)
		if err != nil {
			h.undone.Inc()
		}
		return conn, err
	}
}

// ProcessHook implements redis.Hook.
func (h redisHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmd)
		h.note(cmd.Name(), began, err)
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (h redisHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmds)
		h.note(pipelineCommand, began, err)
		return err
	}
}

func (h redisHook) note(command string, began time.Time, err error) {
	if _, known := h.took[command]; !known {
		command = otherCommand
	}
	if !h.blocking {
		h.took[command].Observe(time.Since(began).Seconds())
	}
	if isFailure(err) {
		h.failed[command].Inc()
	}
}

// isFailure excludes what is an answer: nothing there, a script that has to be sent in full, a caller that was stopped.
func isFailure(err error) bool {
	return err != nil && !errors.Is(err, redis.Nil) && !errors.Is(err, context.Canceled) && !strings.HasPrefix(err.Error(), "NOSCRIPT")
}

// dialHook observes dials alone.
type dialHook struct{ redisHook }

// ProcessHook implements redis.Hook.
func (dialHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook implements redis.Hook.
func (dialHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// nativeFactor is by how much a native histogram's buckets grow at most.
const nativeFactor = 1.1

func durations(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
	}
}
