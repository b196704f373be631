package adapter

import (
	"bufio"
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// longestWait bounds one WAIT, so that it is answered within the client's patience; what is held back is read again.
const longestWait = time.Second

// lookEvery is how often a reader that does without replicas looks whether there are enough again.
const lookEvery = time.Second

// errHeldBack says that entries were read that too few replicas have as yet.
var errHeldBack = errors.New("adapter: waiting for Redis' replicas")

// replicas makes the reader deliver only what enough of Redis' replicas have, so that no failover to one of them takes
// back what a client was sent. WAIT goes in one pipeline with the read, over the connection by which the entries came: a
// failover between the two cannot make another server answer for them. It belongs to the reader's goroutine.
//
// WAIT asks for what its connection had Redis do. A read that blocked does not count, but the command between the two does,
// and makes that everything up to then.
type replicas struct {
	c *Cluster
	// behind is when entries were first held back; zero: none are.
	behind time.Time
	// without says that the reader goes on without replicas, looked when it last looked for them.
	without bool
	looked  time.Time
}

func (r *replicas) wanted() bool { return r.c.cfg.WaitReplicas > 0 }

// pipeline is one to the server that has the log: on a Redis Cluster the library would send WAIT to any.
func (r *replicas) pipeline(ctx context.Context) (redis.Pipeliner, error) {
	cluster, ok := r.c.blocking.(*redis.ClusterClient)
	if !ok || !r.wanted() {
		return r.c.blocking.Pipeline(), nil
	}
	server, err := cluster.MasterForKey(ctx, r.c.logKey)
	if err != nil {
		return nil, err
	}
	return server.Pipeline(), nil
}

// answer is what Redis says of its replicas behind a read. The zero value stands for not having been asked.
type answer struct {
	wait *redis.IntCmd
	info *redis.StringCmd
}

// ask adds the question to a pipeline, behind the reads.
func (r *replicas) ask(ctx context.Context, pipe redis.Pipeliner) (a answer) {
	switch {
	case !r.wanted():
	case !r.without:
		a.wait = redis.NewIntCmd(ctx, "wait", r.c.cfg.WaitReplicas, r.step().Milliseconds())
		_ = pipe.Process(ctx, a.wait)
	case time.Since(r.looked) >= lookEvery:
		r.looked = time.Now()
		a.info = pipe.Info(ctx, "replication")
	}
	return a
}

// step is how long one WAIT may take, at least 1 ms: Redis takes 0 for ever.
func (r *replicas) step() time.Duration {
	limit := r.c.cfg.WaitTimeout
	if limit == 0 {
		return longestWait
	}
	if !r.behind.IsZero() {
		limit -= time.Since(r.behind)
	}
	return max(min(limit, longestWait), time.Millisecond)
}

// passed returns nil if what was read may be delivered, and else why it may not.
func (r *replicas) passed(began time.Time, a answer) (err error) {
	defer func() { r.c.heldBack.Store(errors.Is(err, errHeldBack)) }()
	if a.info != nil {
		r.look(a.info)
		return nil
	}
	if a.wait == nil {
		return nil
	}
	have, err := a.wait.Result()
	switch {
	case err != nil:
		return err
	case have >= int64(r.c.cfg.WaitReplicas):
		r.behind = time.Time{}
		return nil
	case r.behind.IsZero():
		r.behind = began
	}
	if limit := r.c.cfg.WaitTimeout; limit == 0 || time.Since(r.behind) < limit {
		return errHeldBack
	}
	r.behind, r.without, r.looked = time.Time{}, true, time.Now()
	r.c.count.withoutReplicas.Add(1)
	r.c.log.Warn("delivering what too few replicas of Redis have: a failover now may take it back",
		"have", have, "want", r.c.cfg.WaitReplicas)
	return nil
}

// look asks replicas again once enough keep up; a refusal leaves no way to tell, so that they are asked.
func (r *replicas) look(info *redis.StringCmd) {
	text, err := info.Result()
	if err != nil && !isRefusal(err) || err == nil && keepUp(text) < r.c.cfg.WaitReplicas {
		return
	}
	r.without = false
	r.c.log.Info("waiting for the replicas of Redis again", "want", r.c.cfg.WaitReplicas)
}

func isRefusal(err error) bool {
	refusal := redis.Error(nil)
	return errors.As(err, &refusal)
}

// mostLag is how long ago, in seconds, a replica that keeps up has been heard of: they report every second.
const mostLag = 2

// keepUp counts the replicas in INFO's section that are in step with their master.
func keepUp(info string) (count int) {
	lines := bufio.NewScanner(strings.NewReader(info))
	for lines.Scan() {
		// slave0:ip=127.0.0.1,port=7001,state=online,offset=56,lag=0
		name, fields, _ := strings.Cut(lines.Text(), ":")
		if !strings.HasPrefix(name, "slave") || !strings.Contains(fields, "state=online") {
			continue
		}
		_, lag, _ := strings.Cut(fields, "lag=")
		lag, _, _ = strings.Cut(lag, ",")
		if seconds, err := strconv.Atoi(lag); err == nil && seconds >= 0 && seconds <= mostLag {
			count++
		}
	}
	return count
}
