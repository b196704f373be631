package main

import (
	"context"
	"strconv"
)

// fault is one way in which things go wrong, and what must hold nevertheless.
type fault interface {
	about() about
	// inject does the harm and mends it, while events are written and clients are connected.
	inject(ctx context.Context, s *scene) error
	// check gives what this fault alone forbids and was seen, after everything has come to rest.
	check(ctx context.Context, s *scene, r *result) []string
}

// about says what a fault is, what it needs and what its bounds are besides: nothing repeated, reordered, misdelivered
// or lost, and recovered === socket.recovered.
type about struct {
	name, text string

	stayConnected  bool // no client may be disconnected
	allRecovered   bool // every reconnect must be a recovered one
	lossWithNotice bool // loss is allowed where the client was told `recovered: false`
	logMayLose     bool // the log need not hold every event, only none twice or out of order

	redis string // its kind; "": a single server
	wait  int    // how many replicas the writer and the nodes wait for

	clients  int            // 0: as many as asked for
	light    bool           // the clients are light ones, not official; none polls, and they go past the edge
	load     load           // zero: the ordinary one
	options  map[string]any // of the official client; nil: the ordinary ones
	relay    bool           // gossip goes through the relay
	logDelay bool           // a node's reading of the log can be held back
	env      []string       // of the nodes, besides
}

// environment is what the nodes are told besides.
func (a about) environment() []string {
	if a.wait == 0 {
		return a.env
	}
	// Longer than a master is left alone, and shorter than a writer's patience.
	return append(a.env, "REDIS_WAIT_REPLICAS="+strconv.Itoa(a.wait), "REDIS_WAIT_TIMEOUT=3s")
}

// unchecked is for faults that forbid nothing of their own.
type unchecked struct{}

func (unchecked) check(context.Context, *scene, *result) []string { return nil }

// faults are all there are, in the order of `-fault all`.
func faults() []fault {
	return []fault{
		control{},
		killNode{},
		killTwo{},
		rolling{},
		cuts{},
		redisRestart{},
		redisAway{},
		&freeze{},
		&gossipBlock{},
		flush{},
		&identity{},
		lagging{},
		&aofCut{},
		clientKill{},
		outOfMemory{},
		readOnly{},
		&failover{kind: sentinels, wait: 1},
		&failover{kind: sentinels},
		&failover{kind: redisCluster, wait: 1},
		&failover{kind: redisCluster},
		switchover{kind: sentinels, wait: 2},
		switchover{kind: redisCluster, wait: 1},
		&storm{},
		&drain{},
	}
}
