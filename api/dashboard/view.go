package dashboard

import (
	"cmp"
	"slices"
	"time"
)

// States of a node.
const (
	stateReady    = "ready"
	stateNotReady = "not_ready"
	stateDraining = "draining"
	stateSilent   = "silent"  // counts as living and does not answer
	stateUnknown  = "unknown" // Redis is away, and nobody can be asked
	stateLost     = "lost"
	stateLeft     = "left" // drained, and gone
)

// view is what a watcher is sent. Times are unix ms.
type view struct {
	At             int64             `json:"at"`
	Node           string            `json:"node"` // who tells
	RedisDownSince int64             `json:"redis_down_since,omitempty"`
	Nodes          []nodeView        `json:"nodes"`
	Users          map[string]int64  `json:"users"`
	Point          point             `json:"point"`
	Unread         int64             `json:"unread"`
	Pending        int64             `json:"pending"`
	Waiting        int64             `json:"waiting"` // ms, of the oldest event not committed
	Dead           int64             `json:"dead"`    // open dead letters
	DeadLately     map[string]uint64 `json:"dead_lately"`
	Refused        map[string]uint64 `json:"refused"`
	RefusedLately  map[string]uint64 `json:"refused_lately"`
	Deploy         *deploy           `json:"deploy,omitempty"`
}

type nodeView struct {
	Name        string           `json:"name"`
	Version     string           `json:"version"`
	State       string           `json:"state"`
	Since       int64            `json:"since,omitempty"` // when it was last heard of, unless it answers
	Reasons     []string         `json:"reasons,omitempty"`
	Started     int64            `json:"started,omitempty"`
	Connections map[string]int64 `json:"connections,omitempty"`
	Total       int64            `json:"total"`
	Polling     int              `json:"polling"`
	WebSocket   int              `json:"websocket"`
	Deliveries  float64          `json:"deliveries"` // a second
	Latency     Latency          `json:"latency"`
	Lag         int64            `json:"lag"` // ms behind the log's end
	Backlog     int              `json:"backlog"`
}

// deploy is what became of the clients since nodes were last started.
type deploy struct {
	Began        int64    `json:"began"`
	Ended        int64    `json:"ended"` // the last start
	Nodes        int      `json:"nodes"` // that were started
	Of           int      `json:"of"`
	Counted      int      `json:"counted"` // nodes whose figures go back that far
	Versions     []string `json:"versions"`
	Recovered    uint64   `json:"recovered"`
	NotRecovered uint64   `json:"not_recovered"`
}

// deployGap is how far apart two nodes' starts may be to belong to one deploy.
const deployGap = 10 * time.Minute

// lastDeploy sums what the nodes counted since the last one began: of those started by it all, of others what came
// after, if their history goes back so far.
func lastDeploy(nodes []Figures, pasts map[string][]sample) *deploy {
	if len(nodes) == 0 {
		return nil
	}
	byStart := slices.SortedFunc(slices.Values(nodes), func(a, b Figures) int { return cmp.Compare(b.Started, a.Started) })
	d := &deploy{Began: byStart[0].Started, Ended: byStart[0].Started, Of: len(nodes)}
	for _, f := range byStart {
		if d.Began-f.Started > deployGap.Milliseconds() {
			break
		}
		d.Began = f.Started
		d.Nodes++
	}
	for i, f := range byStart {
		if !slices.Contains(d.Versions, f.Version) {
			d.Versions = append(d.Versions, f.Version)
		}
		var before sample
		if i >= d.Nodes {
			at, found := sampleAt(pasts[f.Identity], d.Began)
			if !found {
				continue
			}
			before = at
		}
		d.Counted++
		d.Recovered += f.Recovered - min(before.Recovered, f.Recovered)
		d.NotRecovered += f.NotRecovered - min(before.NotRecovered, f.NotRecovered)
	}
	return d
}

// sampleAt is the last sample not after at.
func sampleAt(samples []sample, at int64) (sample, bool) {
	for _, s := range slices.Backward(samples) {
		if s.At <= at {
			return s, true
		}
	}
	return sample{}, false
}

// lagOf is how far a node is behind the log's end as that was before the node was asked.
func lagOf(f Figures, logEnd int64) int64 {
	if f.Position == 0 || f.Position >= logEnd {
		return 0
	}
	return logEnd - f.Position
}

func stateOf(f Figures) string {
	switch {
	case f.Draining:
		return stateDraining
	case f.Ready:
		return stateReady
	default:
		return stateNotReady
	}
}

func newNodeView(f Figures) nodeView {
	v := nodeView{
		Name: f.Name, Version: f.Version, State: stateOf(f), Reasons: f.Reasons, Started: f.Started, Connections: f.Connections,
		Polling: f.Polling, WebSocket: f.WebSocket, Latency: f.Latency, Backlog: f.Backlog,
	}
	for _, n := range f.Connections {
		v.Total += n
	}
	return v
}
